use super::*;

#[test]
fn every_known_name_is_found_in_any_case() {
    for (text, id) in Name::TABLE {
        assert_eq!(Name::of(text.as_bytes()), *id, "{text}");
        assert_eq!(Name::of(text.to_uppercase().as_bytes()), *id, "{text}");
    }
}

#[test]
fn near_misses_are_other() {
    for text in [
        "",
        "h",
        "hosts",
        "hast",
        "content_length",
        "content-lengti",
        "via ",
        "x-request-ie",
        "x\rrequest-id",
        "via\0",
        "x-request\rid",
    ] {
        assert_eq!(Name::of(text.as_bytes()), Name::Other, "{text}");
    }
}
