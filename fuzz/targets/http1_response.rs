//! What we take for a response, httparse takes for the same one; and it is never ambiguous.
#![no_main]

use pilotlight_server::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(Ok(ours)) = fuzz::response(bytes) else { return };
    assert!(ours.length.is_none() || !ours.chunked, "two lengths");

    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut theirs = httparse::Response::new(&mut fields);
    let parsed = theirs.parse(bytes).expect("httparse refuses what we take");
    assert_eq!(parsed, httparse::Status::Complete(ours.size));
    assert_eq!(theirs.code, Some(ours.head.status));
    assert_eq!(theirs.headers.len(), ours.head.fields.len());
    for (theirs, (_, name, value)) in theirs.headers.iter().zip(ours.head.fields.iter()) {
        assert!(theirs.name.as_bytes().eq_ignore_ascii_case(name));
        assert_eq!(theirs.value, value);
    }
});
