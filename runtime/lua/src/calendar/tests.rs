use super::*;

#[test]
fn forms() {
    let time = 1_290_079_655.25;
    assert_eq!(format(time, Form::Http), "Thu, 18 Nov 2010 11:27:35 GMT");
    assert_eq!(format(time, Form::Cookie), "Thu, 18-Nov-10 11:27:35 GMT");
    assert_eq!(format(2_169_792_000.0, Form::Cookie), "Mon, 04-Oct-2038 08:00:00 GMT");
    assert_eq!(format(time, Form::Rfc3339), "2010-11-18T11:27:35Z");
    assert_eq!(format(time, Form::Millis), "2010-11-18T11:27:35.250Z");
    assert_eq!(format(-5.0, Form::Http), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(format(f64::NAN, Form::Rfc3339), "1970-01-01T00:00:00Z");
    assert_eq!(format(f64::INFINITY, Form::Rfc3339), "9999-12-31T23:59:59Z");
}

#[test]
fn dates_of_http() {
    for (text, time) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777.0)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777.0)),
        ("Sun Nov  6 08:49:37 1994", Some(784_111_777.0)),
        ("Sun Nov 16 08:49:37 1994", Some(784_975_777.0)),
        ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800.0)),
        ("Wed, 29 Feb 2023 00:00:00 GMT", None),
        ("Sun, 06 Nov 1994 24:00:00 GMT", None),
        ("Sun, 06 Foo 1994 08:49:37 GMT", None),
        ("Sun, 6 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov-1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49", None),
        ("abc", None),
        ("", None),
    ] {
        assert_eq!(parse_http(text.as_bytes()), time, "{text}");
    }
}

#[test]
fn times_of_rfc_3339() {
    for (text, time) in [
        ("1985-04-12T23:20:50.52Z", Some(482_196_050.52)),
        ("1996-12-19T16:39:57-08:00", Some(851_042_397.0)),
        ("1990-12-31T23:59:60Z", Some(662_687_999.0)),
        ("2024-02-29 00:00:00z", Some(1_709_164_800.0)),
        ("1969-12-31T23:59:59Z", Some(-1.0)),
        ("2023-02-29T00:00:00Z", None),
        ("2024-02-29T00:00:00", None),
        ("2024-02-29T00:00:00.Z", None),
        ("2024-02-29T00:00:00Zx", None),
        ("2024-02-29", None),
    ] {
        assert_eq!(parse_rfc3339(text.as_bytes()), time, "{text}");
    }
}

#[test]
fn every_day_comes_back() {
    for day in 0..60_000 {
        let text = format(day as f64 * 86_400.0, Form::Http);
        assert_eq!(parse_http(text.as_bytes()), Some(day as f64 * 86_400.0), "{text}");
    }
}

#[test]
fn forms_of_nginx() {
    for (seconds, iso, log) in [
        (0.0, "1970-01-01T00:00:00+00:00", "01/Jan/1970:00:00:00 +0000"),
        (951_782_400.9, "2000-02-29T00:00:00+00:00", "29/Feb/2000:00:00:00 +0000"),
        (1_709_251_199.0, "2024-02-29T23:59:59+00:00", "29/Feb/2024:23:59:59 +0000"),
        (4_102_444_800.0, "2100-01-01T00:00:00+00:00", "01/Jan/2100:00:00:00 +0000"),
    ] {
        assert_eq!(format(seconds, Form::Iso8601), iso);
        assert_eq!(format(seconds, Form::Log), log);
    }
}
