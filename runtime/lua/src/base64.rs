//! Base64 (RFC 4648), in the ways that scripts and libraries write and read it.

/// The 64 letters.
pub(crate) type Alphabet = &'static [u8; 64];

pub(crate) const PLAIN: Alphabet =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// For URLs (section 5).
pub(crate) const URL: Alphabet =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const NONE: u8 = 0xff;

/// The values of all bytes.
type Values = [u8; 256];

const fn values(alphabets: &[Alphabet]) -> Values {
    let mut table = [NONE; 256];
    let mut which = 0;
    while which < alphabets.len() {
        let mut value = 0;
        while value < 64 {
            table[alphabets[which][value] as usize] = value as u8;
            value += 1;
        }
        which += 1;
    }
    table
}

const OF_PLAIN: &Values = &values(&[PLAIN]);
const OF_URL: &Values = &values(&[URL]);
const OF_BOTH: &Values = &values(&[PLAIN, URL]);

/// Work between two looks at `stop`; no group of letters or bytes is torn.
const PIECE: usize = 48 * 1024;

/// Appends the text of some bytes; false when it was stopped.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    bytes: &[u8],
    alphabet: Alphabet,
    padded: bool,
    stop: &dyn Fn() -> bool,
) -> bool {
    let letter = |word: u32, place: u32| alphabet[(word >> (18 - 6 * place)) as usize & 63];
    out.reserve(bytes.len().div_ceil(3) * 4);
    bytes.chunks(PIECE).all(|piece| {
        let (groups, rest) = piece.as_chunks::<3>();
        let from = out.len();
        out.resize(from + groups.len() * 4, 0);
        for ([a, b, c], text) in groups.iter().zip(out[from..].as_chunks_mut::<4>().0) {
            let word = u32::from(*a) << 16 | u32::from(*b) << 8 | u32::from(*c);
            *text = [letter(word, 0), letter(word, 1), letter(word, 2), letter(word, 3)];
        }
        if let [a, more @ ..] = rest {
            let word = u32::from(*a) << 16 | more.first().map_or(0, |b| u32::from(*b) << 8);
            (0..2 + more.len() as u32).for_each(|place| out.push(letter(word, place)));
            if padded {
                out.extend((more.len()..2).map(|_| b'='));
            }
        }
        !stop()
    })
}

/// What a reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Both alphabets; padding may be left out, but nothing else may stand there, nor bits be over.
    Strict,
    /// As nginx reads it: up to the first `=`; bits that are over do not matter.
    Nginx,
    /// The same in the alphabet for URLs.
    Url,
    /// As in mail: what is no letter is passed over.
    Mime,
}

/// The bytes of a text; `None` when it is not one, or it was stopped.
pub(crate) fn decode(text: &[u8], reader: Reader, stop: &dyn Fn() -> bool) -> Option<Vec<u8>> {
    let until_padding = || &text[..memchr::memchr(b'=', text).unwrap_or(text.len())];
    let is_letter = |byte: &u8| OF_PLAIN[usize::from(*byte)] != NONE;
    let kept: Vec<u8>;
    let (letters, values) = match reader {
        Reader::Strict => {
            let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
            (&text[..text.len() - padding], OF_BOTH)
        }
        Reader::Nginx => (until_padding(), OF_PLAIN),
        Reader::Url => (until_padding(), OF_URL),
        Reader::Mime => {
            kept = until_padding().iter().copied().filter(is_letter).collect();
            (&kept[..], OF_PLAIN)
        }
    };
    let mut out = Vec::with_capacity(letters.len() / 4 * 3 + 2);
    let mut over = 0;
    for piece in letters.chunks(PIECE) {
        over = decode_piece(&mut out, piece, values).filter(|_| !stop())?;
    }
    (over == 0 || reader != Reader::Strict).then_some(out)
}

/// Appends the bytes of some letters; the bits behind the last of them.
fn decode_piece(out: &mut Vec<u8>, letters: &[u8], values: &Values) -> Option<u32> {
    let (groups, rest) = letters.as_chunks::<4>();
    let value = |letter: u8| values[usize::from(letter)];
    let from = out.len();
    out.resize(from + groups.len() * 3, 0);
    // Not by `map`: its array is written a byte at a time and read whole, for which a processor waits.
    for (&[a, b, c, d], bytes) in groups.iter().zip(out[from..].as_chunks_mut::<3>().0) {
        let (a, b, c, d) = (value(a), value(b), value(c), value(d));
        if a | b | c | d > 63 {
            return None;
        }
        *bytes = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    let mut word = 0;
    for letter in rest {
        let value = Some(value(*letter)).filter(|value| *value < 64)?;
        word = word << 6 | u32::from(value);
    }
    match rest.len() {
        0 => Some(0),
        2 => {
            out.push((word >> 4) as u8);
            Some(word & 0xf)
        }
        3 => {
            out.extend_from_slice(&[(word >> 10) as u8, (word >> 2) as u8]);
            Some(word & 3)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(bytes: &[u8], alphabet: Alphabet, padded: bool) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(encode(&mut out, bytes, alphabet, padded, &|| false));
        out
    }

    fn read(text: &[u8], reader: Reader) -> Option<Vec<u8>> {
        decode(text, reader, &|| false)
    }

    #[test]
    fn goes_both_ways() {
        let long = vec![7; 2 * PIECE + 1];
        for bytes in [b"", b"f", b"fo", b"foo", b"foob", b"\0\xff~", &long[..]] as [&[u8]; 7] {
            for (alphabet, padded) in [(PLAIN, true), (PLAIN, false), (URL, true), (URL, false)] {
                let text = write(bytes, alphabet, padded);
                assert_eq!(read(&text, Reader::Strict).as_deref(), Some(bytes));
                let own = if alphabet == PLAIN { Reader::Nginx } else { Reader::Url };
                assert_eq!(read(&text, own).as_deref(), Some(bytes));
            }
        }
        assert_eq!(write(b"foob", PLAIN, true), b"Zm9vYg==");
        assert_eq!(write(b"\xfb\xff", URL, false), b"-_8");
        assert!(!encode(&mut Vec::new(), &long, PLAIN, true, &|| true));
        assert_eq!(decode(&write(&long, PLAIN, true), Reader::Nginx, &|| true), None);
    }

    #[test]
    fn readers_differ_in_what_they_take() {
        for (text, readers) in [
            ("Zm9vYg", [true, true, true]),
            ("Zm9vYh==", [false, true, true]),
            ("Zm9vYg==x", [false, true, true]),
            ("Zm9vY", [false, false, false]),
            ("Zm=v", [false, true, true]),
            ("Zm9v\n", [false, false, false]),
            ("-_8", [true, false, true]),
            ("+/8", [true, true, false]),
        ] {
            let all = [Reader::Strict, Reader::Nginx, Reader::Url];
            assert_eq!(
                all.map(|reader| read(text.as_bytes(), reader).is_some()),
                readers,
                "{text:?}"
            );
        }
        assert_eq!(read(b" Zm9v\r\n Yg==", Reader::Mime).as_deref(), Some(&b"foob"[..]));
        assert_eq!(read(b"Zm9vY", Reader::Mime), None);
    }
}
