//! What we take for a request, httparse takes for the same one; and it is never ambiguous.
#![no_main]

use pilotlight_server::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(Ok(ours)) = fuzz::request(bytes) else { return };
    assert!(ours.length.is_none() || !ours.chunked, "two lengths");

    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut theirs = httparse::Request::new(&mut fields);
    let parsed = theirs.parse(bytes).expect("httparse refuses what we take");
    assert_eq!(parsed, httparse::Status::Complete(ours.size));
    assert_eq!(theirs.method.unwrap().as_bytes(), ours.head.method_text());

    // Host is kept apart, the rest is the same, in order.
    let list: Vec<_> =
        theirs.headers.iter().filter(|field| !field.name.eq_ignore_ascii_case("host")).collect();
    assert_eq!(list.len(), ours.head.fields.len());
    for (theirs, (_, name, value)) in list.iter().zip(ours.head.fields.iter()) {
        assert!(theirs.name.as_bytes().eq_ignore_ascii_case(name));
        assert_eq!(theirs.value, value);
        assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
    }
});
