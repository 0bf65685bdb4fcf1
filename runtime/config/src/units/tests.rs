#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn durations() {
    let ms = |text| duration(text).map(|d| d.as_millis());
    assert_eq!(ms("250ms"), Ok(250));
    assert_eq!(ms("5s"), Ok(5_000));
    assert_eq!(ms("2m"), Ok(120_000));
    assert_eq!(ms("1h"), Ok(3_600_000));
    assert_eq!(ms("0s"), Ok(0));
    assert_eq!(ms("5 sec"), Err(Wrong::Form(Some("5s".into()))));
    assert_eq!(ms("5S"), Err(Wrong::Form(Some("5s".into()))));
    assert_eq!(ms("1.5s"), Err(Wrong::Form(None)));
    assert_eq!(ms("-1s"), Err(Wrong::Form(None)));
    assert_eq!(ms(""), Err(Wrong::Form(None)));
    assert_eq!(ms("s"), Err(Wrong::Form(None)));
    assert_eq!(ms("99999999h"), Err(Wrong::TooLarge));
    assert_eq!(ms("99999999999999999999999s"), Err(Wrong::TooLarge));
}

#[test]
fn sizes() {
    assert_eq!(size("512B"), Ok(512));
    assert_eq!(size("64KiB"), Ok(65_536));
    assert_eq!(size("8MiB"), Ok(8 << 20));
    assert_eq!(size("64KB"), Err(Wrong::Form(Some("64KiB".into()))));
    assert_eq!(size("64k"), Err(Wrong::Form(Some("64KiB".into()))));
    assert_eq!(size("8 M"), Err(Wrong::Form(Some("8MiB".into()))));
    assert_eq!(size("64"), Err(Wrong::Form(None)));
    assert_eq!(size("99999999TiB"), Err(Wrong::TooLarge));
}

#[test]
fn shares() {
    assert_eq!(share("20%"), Ok(0.2));
    assert_eq!(share("0.5%"), Ok(0.005));
    assert_eq!(share("120%"), Err(Wrong::TooLarge));
    assert_eq!(share("20"), Err(Wrong::Form(Some("20%".into()))));
    assert_eq!(share("inf%"), Err(Wrong::Form(None)));
    assert_eq!(share("-1%"), Err(Wrong::Form(None)));
}

#[test]
fn shown_in_the_shortest_exact_form() {
    for text in ["250ms", "5s", "90s", "2m", "1h", "0ms"] {
        assert_eq!(show_duration(duration(text).unwrap()), text);
    }
    for text in ["512B", "64KiB", "1000B", "8MiB", "0B"] {
        assert_eq!(show_size(size(text).unwrap()), text);
    }
}

#[test]
fn rates() {
    assert_eq!(rate("100/s"), Ok((100, 1_000)));
    assert_eq!(rate("1000/min"), Ok((1000, 60_000)));
    assert_eq!(rate("600/h"), Ok((600, 3_600_000)));
    assert_eq!(rate("5/m"), Err(Wrong::Form(Some("5/min".into()))));
    assert_eq!(rate("50"), Err(Wrong::Form(Some("50/s".into()))));
    assert_eq!(rate("0/s"), Err(Wrong::Form(None)));
    assert_eq!(rate("99999999999/s"), Err(Wrong::TooLarge));
    for text in ["", "/s", "-1/s", "+1/s", "5/day", "a/s"] {
        assert_eq!(rate(text), Err(Wrong::Form(None)), "{text}");
    }
}
