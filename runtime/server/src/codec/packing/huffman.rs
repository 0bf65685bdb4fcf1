//! The Huffman code of strings (RFC 7541 appendix B). It is canonical, so that the lengths
//! of its codes say all of it.

/// Bits of each byte's code. The end-of-string code has 30, all ones.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
const LONGEST: usize = 30;

struct Tables {
    /// Bytes in the order of their codes.
    order: [u8; 256],
    /// By length: the first code, the place of its byte in `order`, and what is past the last
    /// code of this length, moved to the top of 32 bits.
    first: [u32; LONGEST + 1],
    place: [u16; LONGEST + 1],
    limit: [u64; LONGEST + 1],
    /// Codes of at most eight bits: byte and length, by what begins with them. Length 0: longer.
    short: [(u8, u8); 256],
}

static TABLES: Tables = build();

const fn build() -> Tables {
    let mut tables = Tables {
        order: [0; 256],
        first: [0; LONGEST + 1],
        place: [0; LONGEST + 1],
        limit: [0; LONGEST + 1],
        short: [(0, 0); 256],
    };
    let (mut code, mut next, mut length) = (0u32, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        (tables.first[length], tables.place[length]) = (code, next as u16);
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                tables.order[next] = byte as u8;
                if length <= 8 {
                    let mut tail = 0;
                    while tail < 1 << (8 - length) {
                        let at = (code as usize) << (8 - length) | tail;
                        tables.short[at] = (byte as u8, length as u8);
                        tail += 1;
                    }
                }
                (code, next) = (code + 1, next + 1);
            }
            byte += 1;
        }
        tables.limit[length] = (code as u64) << (32 - length);
        length += 1;
    }
    tables
}

/// Bytes that break the code: a cut or huge number, wrong padding, the end-of-string code within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadCode;

/// Appends what `coded` means to `out`: at most 8/5 of its length.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), BadCode> {
    let (mut held, mut bits, mut rest) = (0u64, 0u32, coded.iter());
    loop {
        while bits <= 32 {
            let Some(byte) = rest.next() else { break };
            held = held << 8 | u64::from(*byte);
            bits += 8;
        }
        // The next 32 bits, ones behind the end.
        let window = match bits {
            0 => return Ok(()),
            1..32 => (held << (32 - bits)) as u32 | u32::MAX >> bits,
            _ => (held >> (bits - 32)) as u32,
        };
        match find(window) {
            Some((byte, length)) if u32::from(length) <= bits => {
                out.push(byte);
                bits -= u32::from(length);
            }
            // RFC 7541 section 5.2: less than a byte of padding, all ones.
            _ if bits < 8 && window == u32::MAX => return Ok(()),
            _ => return Err(BadCode),
        }
    }
}

fn find(window: u32) -> Option<(u8, u8)> {
    let short = TABLES.short[(window >> 24) as usize];
    if short.1 > 0 {
        return Some(short);
    }
    let length = (9..=LONGEST).find(|length| u64::from(window) < TABLES.limit[*length])?;
    let code = window >> (32 - length);
    let place = usize::from(TABLES.place[length]) + (code - TABLES.first[length]) as usize;
    Some((*TABLES.order.get(place)?, length as u8))
}
