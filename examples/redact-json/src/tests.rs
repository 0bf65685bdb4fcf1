use pilotlight_sdk::testing::{Host, Request, Response};

use super::{Rc, Redact, Redactor, Rules};

const CONFIG: &str = r#"{ "fields": ["phone", "address"] }"#;

const DOCUMENT: &str = r#"{"name": "Ann", "mail":"ann.lee+shop@mail.example.org", "Phone" : "+41 \"12\" 34",
 "n": [1, {"address": {"street": "A \"}\" 1", "zip": [8000, null]}, "a@b": true}],
 "note": "to bob@x.org, eve@y.co.uk.\nbob@z.org or cy\u0040w.org; me@home @nobody @", "ph\u006fne": -12.5e3, "x": 1}"#;

const MASKED: &str = r#"{"name": "Ann", "mail":"***", "Phone" : "***",
 "n": [1, {"address": "***", "a@b": true}],
 "note": "to ***, ***.\n*** or ***; me@home @nobody @", "ph\u006fne": "***", "x": 1}"#;

fn masked(pieces: &[&[u8]]) -> String {
    let rules = Rc::new(Rules::new(vec!["Phone".into(), "address".into()], true, "***"));
    let mut redactor = Redactor::new(&rules);
    let mut out = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        out.extend(redactor.push(piece, index + 1 == pieces.len()));
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn what_is_named_is_masked() {
    assert_eq!(masked(&[DOCUMENT.as_bytes()]), MASKED);
}

#[test]
fn pieces_make_no_difference() {
    let bytes = DOCUMENT.as_bytes();
    for at in 0..=bytes.len() {
        assert_eq!(masked(&[&bytes[..at], &bytes[at..]]), MASKED, "cut at {at}");
    }
    assert_eq!(masked(&bytes.chunks(1).collect::<Vec<_>>()), MASKED);
    assert_eq!(masked(&bytes.chunks(7).collect::<Vec<_>>()), MASKED);
}

#[test]
fn what_is_no_json_passes() {
    for text in ["", "\"", "{\"a\": \"x@", "\"\\", "\"\\u00", "]]}}", "\"phone\"", "1 2 3"] {
        assert!(masked(&[text.as_bytes()]).len() <= text.len(), "{text}");
    }
    assert_eq!(masked(&[b"\"phone\": "]), "\"phone\": ");
}

#[test]
fn answers_are_masked_as_they_stream() {
    let mut host = Host::of::<Redact>(CONFIG).unwrap();
    let request = Request::get("/").header("accept-encoding", "gzip");
    let (first, second) = DOCUMENT.split_at(60);
    let json = Response::new(200)
        .header("content-type", "application/problem+json; charset=utf-8")
        .header("content-length", "9");
    let outcome = host.exchange(request.clone(), json.clone().body(first).body(second));
    assert_eq!(outcome.text(), MASKED);
    assert_eq!(outcome.chunks.len(), 2);
    assert_eq!(outcome.headers.get("content-length"), None);
    assert_eq!(outcome.request.unwrap().headers.get("accept-encoding"), None);

    let text = Response::new(200).header("content-type", "text/plain").body(DOCUMENT);
    assert_eq!(host.exchange(request.clone(), text).text(), DOCUMENT);
    let encoded = json.header("content-encoding", "gzip").body("...");
    assert_eq!(host.exchange(request, encoded).status, 502);
}

#[test]
fn configurations_are_looked_at() {
    for (config, said) in
        [(r#"{"emails": false}"#, "nothing to mask"), (r#"{"field": []}"#, "unknown field")]
    {
        let refused = Host::of::<Redact>(config).err().unwrap();
        assert!(refused.contains(said), "{refused}");
    }
    assert!(Host::of::<Redact>("").is_ok());
}
