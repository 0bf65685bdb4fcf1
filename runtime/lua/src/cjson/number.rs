//! Numbers as C's `printf("%.14g")` writes them and `strtod` reads them.

/// Appends a finite number with so many significant digits, as `%.*g` does.
pub(super) fn write(out: &mut Vec<u8>, number: f64, precision: usize) {
    // Whole numbers that have no more digits than that are written as such.
    if number.fract() == 0.0 && number.abs() < 1e14 && precision >= 14 {
        let sign = if number == 0.0 && number.is_sign_negative() { "-" } else { "" };
        out.extend_from_slice(format!("{sign}{}", number as i64).as_bytes());
        return;
    }
    let precision = precision.max(1);
    // One digit, a point, the others, the exponent.
    let text = format!("{number:.*e}", precision - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: Vec<u8> = mantissa.bytes().filter(|byte| *byte != b'.').collect();
    let kept = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    let digits = &digits[..kept];
    out.extend_from_slice(sign.as_bytes());
    if exponent < -4 || exponent >= precision as i32 {
        out.push(digits[0]);
        if let [_, rest @ ..] = digits
            && !rest.is_empty()
        {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
        return;
    }
    // Where the point stands among the digits.
    let point = exponent + 1;
    if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend((point..0).map(|_| b'0'));
        out.extend_from_slice(digits);
        return;
    }
    let point = point as usize;
    for place in 0..point.max(digits.len()) {
        if place == point {
            out.push(b'.');
        }
        out.push(digits.get(place).copied().unwrap_or(b'0'));
    }
}

/// The number that a text begins with, and its length: decimal, hexadecimal, `inf` and `nan` in any
/// case, with a sign.
pub(super) fn read(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let (rest, minus) = (&text[sign..], text[0] == b'-');
    let begins = |word: &[u8]| rest.get(..word.len()).is_some_and(|s| s.eq_ignore_ascii_case(word));
    let (value, len) = if begins(b"infinity") {
        (f64::INFINITY, 8)
    } else if begins(b"inf") {
        (f64::INFINITY, 3)
    } else if begins(b"nan") {
        (f64::NAN, 3)
    } else {
        hexadecimal(rest).or_else(|| decimal(rest))?
    };
    Some((if minus { -value } else { value }, sign + len))
}

fn count(text: &[u8], is_part: fn(&u8) -> bool) -> usize {
    text.iter().take_while(|byte| is_part(byte)).count()
}

/// The length of an exponent after its letter, 0 when there is none.
fn exponent(text: &[u8], letter: u8) -> usize {
    let [first, rest @ ..] = text else { return 0 };
    if !first.eq_ignore_ascii_case(&letter) {
        return 0;
    }
    let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
    match count(&rest[sign..], u8::is_ascii_digit) {
        0 => 0,
        digits => 1 + sign + digits,
    }
}

/// Digits, perhaps a point and more digits: how many bytes, and how many digits before the point.
fn mantissa(text: &[u8], is_digit: fn(&u8) -> bool) -> Option<(usize, usize)> {
    let whole = count(text, is_digit);
    match text.get(whole) {
        Some(b'.') => {
            let fraction = count(&text[whole + 1..], is_digit);
            (whole + fraction > 0).then_some((whole + 1 + fraction, whole))
        }
        _ => (whole > 0).then_some((whole, whole)),
    }
}

fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    let (len, _) = mantissa(text, u8::is_ascii_digit)?;
    let len = len + exponent(&text[len..], b'e');
    let value = std::str::from_utf8(&text[..len]).ok()?.parse().ok()?;
    Some((value, len))
}

fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))?;
    let (len, whole) = mantissa(digits, u8::is_ascii_hexdigit)?;
    let mut value = 0.0;
    for byte in digits[..len].iter().filter(|byte| **byte != b'.') {
        value = value * 16.0 + f64::from((*byte as char).to_digit(16).unwrap_or_default());
    }
    let fraction = (len - whole).saturating_sub(1);
    let power = exponent(&digits[len..], b'p');
    let given = digits.get(len + 1..len + power).and_then(|text| std::str::from_utf8(text).ok());
    let given = given.and_then(|text| text.parse::<i32>().ok()).unwrap_or_default();
    let scale = given.saturating_sub((fraction as i32).saturating_mul(4));
    Some((value * 2f64.powi(scale), 2 + len + power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_printf_writes() {
        for (number, precision, want) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (10.0, 14, "10"),
            (-5.0, 14, "-5"),
            (0.1, 14, "0.1"),
            (1.0 / 3.0, 14, "0.33333333333333"),
            (1.0 / 3.0, 3, "0.333"),
            (2f64.powi(53), 14, "9.007199254741e+15"),
            (2f64.powi(53), 16, "9007199254740992"),
            (99_999_999_999_999.0, 14, "99999999999999"),
            (1e14, 14, "1e+14"),
            (1e15, 16, "1000000000000000"),
            (123_456.0, 3, "1.23e+05"),
            (0.000_1, 14, "0.0001"),
            (0.000_01, 14, "1e-05"),
            (1.5e300, 14, "1.5e+300"),
            (5e-324, 14, "4.9406564584125e-324"),
            (1.5, 14, "1.5"),
            (1234.5678, 14, "1234.5678"),
            (999.9999, 3, "1e+03"),
            (7.0, 1, "7"),
            (70.0, 1, "7e+01"),
        ] {
            let mut out = Vec::new();
            write(&mut out, number, precision);
            assert_eq!(String::from_utf8(out).unwrap(), want, "{number} {precision}");
        }
    }

    #[test]
    fn as_strtod_reads() {
        for (text, want) in [
            ("0.0", Some((0.0, 3))),
            ("-5e3,", Some((-5000.0, 4))),
            ("1.", Some((1.0, 2))),
            (".5", Some((0.5, 2))),
            ("1e", Some((1.0, 1))),
            ("1e+x", Some((1.0, 1))),
            ("0x6.ffp1", Some((13.992_187_5, 8))),
            ("0X10", Some((16.0, 4))),
            ("0x", Some((0.0, 1))),
            ("0123", Some((123.0, 4))),
            ("-inf", Some((f64::NEG_INFINITY, 4))),
            ("+Infinity!", Some((f64::INFINITY, 9))),
            ("-", None),
            ("-v", None),
            (".", None),
        ] {
            assert_eq!(read(text.as_bytes()), want, "{text}");
        }
        assert!(read(b"nan").is_some_and(|(value, len)| value.is_nan() && len == 3));
    }
}
