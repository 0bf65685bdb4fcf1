//! What is written in a certificate (RFC 5280): a short walk over its DER.

use std::net::IpAddr;

/// The parts that the gateway tells filters, or picks certificates by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Certificate {
    /// RFC 4514 form.
    pub(super) subject: String,
    /// The last common name of the subject.
    pub(super) common_name: Option<String>,
    /// Alternative names: DNS names, addresses and URIs.
    pub(super) san: Vec<String>,
    /// Those of them that name servers.
    pub(super) dns: Vec<String>,
    /// Seconds since 1970 after which it is not valid.
    pub(super) not_after: u64,
}

/// What a chain is made of: who vouches for which key, and how long. Names are DER.
#[derive(Clone, Copy)]
pub(super) struct Outline<'a> {
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// Seconds since 1970 between which it is valid.
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    /// The key's AlgorithmIdentifier, without its outermost tag, and its bits.
    pub(super) algorithm: &'a [u8],
    pub(super) key: &'a [u8],
    /// Both as they stand there: a SubjectPublicKeyInfo.
    pub(super) public_key: &'a [u8],
}

const SEQUENCE: u8 = 0x30;
const BITS: u8 = 0x03;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];

/// Names of attribute types (RFC 4514 section 3).
const TYPES: [(&[u8], &str); 9] = [
    (COMMON_NAME, "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01], "UID"),
];

impl<'a> Outline<'a> {
    /// Reads a certificate of any version; `None` when its outer form is not one.
    #[cold]
    pub(super) fn read(der: &'a [u8]) -> Option<Outline<'a>> {
        Outline::read_with_rest(der).map(|(outline, _)| outline)
    }

    fn read_with_rest(der: &'a [u8]) -> Option<(Outline<'a>, Der<'a>)> {
        let mut body = Der(Der(Der(der).expect(SEQUENCE)?).expect(SEQUENCE)?);
        if body.0.first() == Some(&VERSION) {
            body.next()?;
        }
        // Serial number, signature algorithm.
        for _ in 0..2 {
            body.next()?;
        }
        let issuer = body.expect(SEQUENCE)?;
        let mut validity = Der(body.expect(SEQUENCE)?);
        let mut time = || validity.next().and_then(|(kind, time)| seconds(kind, time));
        let (not_before, not_after) = (time()?, time()?);
        let subject = body.expect(SEQUENCE)?;
        let rest = body.0;
        let mut info = Der(body.expect(SEQUENCE)?);
        let public_key = &rest[..rest.len() - body.0.len()];
        let algorithm = info.expect(SEQUENCE)?;
        // The first octet says how many bits of the last are unused: none.
        let (_, key) = info.expect(BITS)?.split_first()?;
        let outline =
            Outline { issuer, subject, not_before, not_after, algorithm, key, public_key };
        Some((outline, body))
    }
}

impl Certificate {
    /// Reads a certificate; `None` when its outer form is not one.
    pub(super) fn read(der: &[u8]) -> Option<Certificate> {
        let (outline, mut body) = Outline::read_with_rest(der)?;
        let mut read = Certificate { not_after: outline.not_after, ..Certificate::default() };
        read.subject(outline.subject)?;
        while let Some((tag, content)) = body.next() {
            if tag == EXTENSIONS {
                read.extensions(Der(content).expect(SEQUENCE)?)?;
            }
        }
        Some(read)
    }

    /// The distinguished name, last part first (RFC 4514 section 2.1).
    fn subject(&mut self, name: &[u8]) -> Option<()> {
        let (mut name, mut parts) = (Der(name), Vec::new());
        while !name.0.is_empty() {
            let mut set = Der(name.expect(SET)?);
            let mut part = String::new();
            while !set.0.is_empty() {
                let mut pair = Der(set.expect(SEQUENCE)?);
                let kind = pair.expect(OID)?;
                let whole = pair.0;
                let (tag, value) = pair.next()?;
                if !part.is_empty() {
                    part.push('+');
                }
                let known = TYPES.iter().find(|(oid, _)| *oid == kind).zip(text(tag, value));
                match known {
                    Some(((_, name), value)) => {
                        part.push_str(name);
                        part.push('=');
                        escape(&mut part, &value);
                        if kind == COMMON_NAME {
                            self.common_name = Some(value);
                        }
                    }
                    None => {
                        part.push_str(&dotted(kind));
                        part.push_str("=#");
                        part.push_str(&hex(whole));
                    }
                }
            }
            parts.push(part);
        }
        parts.reverse();
        self.subject = parts.join(",");
        Some(())
    }

    fn extensions(&mut self, list: &[u8]) -> Option<()> {
        let mut list = Der(list);
        while !list.0.is_empty() {
            let mut extension = Der(list.expect(SEQUENCE)?);
            if extension.expect(OID)? != ALTERNATIVE_NAMES {
                continue;
            }
            let (mut tag, mut content) = extension.next()?;
            if tag != OCTETS {
                // `critical`, a boolean, may stand before.
                (tag, content) = extension.next()?;
            }
            if tag == OCTETS {
                self.alternatives(Der(content).expect(SEQUENCE)?);
            }
        }
        Some(())
    }

    fn alternatives(&mut self, names: &[u8]) {
        let mut names = Der(names);
        while let Some((tag, value)) = names.next() {
            let ascii = || value.is_ascii().then(|| String::from_utf8_lossy(value).into_owned());
            match tag {
                0x82 => {
                    let name = ascii().map(|name| name.to_ascii_lowercase());
                    self.dns.extend(name.clone());
                    self.san.extend(name);
                }
                0x86 => self.san.extend(ascii()),
                0x87 => self.san.extend(address(value)),
                _ => {}
            }
        }
    }
}

/// Elements one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and what is in it.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let (digits, after) = rest.split_at_checked(count)?;
            length = digits.iter().fold(0, |n, d| n << 8 | usize::from(*d));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

/// The text of a string type; `None` for other types.
fn text(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        // UTF8String, NumericString, PrintableString, T61String, IA5String, VisibleString.
        0x0c | 0x12 | 0x13 | 0x14 | 0x16 | 0x1a => Some(String::from_utf8_lossy(value).into()),
        // BMPString.
        0x1e => {
            let units = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            Some(char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect())
        }
        _ => None,
    }
}

/// RFC 4514 section 2.4.
fn escape(out: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', c]),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            '#' if at == 0 => out.push_str("\\#"),
            c if c.is_ascii_control() => out.push_str(&format!("\\{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
}

fn dotted(oid: &[u8]) -> String {
    let mut parts: Vec<u64> = Vec::new();
    let mut number = 0u64;
    for byte in oid {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if parts.is_empty() {
                let first = (number / 40).min(2);
                parts.extend([first, number - first * 40]);
            } else {
                parts.push(number);
            }
            number = 0;
        }
    }
    parts.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

fn address(octets: &[u8]) -> Option<String> {
    let address = match <[u8; 4]>::try_from(octets) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
    };
    Some(address.to_string())
}

/// UTCTime or GeneralizedTime (RFC 5280 section 4.1.2.5), in seconds since 1970.
fn seconds(kind: u8, time: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (kind, digits.len()) {
        (0x17, 12) => {
            let short: i64 = digits[..2].parse().ok()?;
            (if short < 50 { 2000 + short } else { 1900 + short }, &digits[2..])
        }
        (0x18, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let clock = part(4)? * 3600 + part(6)? * 60 + part(8)?;
    // Days since 1970 of a civil date; years begin in March, so that leap days come last.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let of_era = year - era * 400;
    let days = of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1;
    u64::try_from((era * 146_097 + days - 719_468) * 86_400 + clock).ok()
}

/// SHA-256.
pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}

/// SHA-256 in lower-case hex.
pub(super) fn fingerprint(der: &[u8]) -> String {
    hex(&digest(der))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
        out
    })
}
