//! No text makes loading panic, and no report is without a word.

use proptest::prelude::*;

use super::*;

fn load_anything(text: &str) {
    match parse(text, &[("routes/x.toml", text)]) {
        Ok(loaded) => assert!(!loaded.warnings.has_errors()),
        Err(report) => {
            assert!(report.has_errors());
            assert!(!report.render(true).is_empty());
            assert!(!report.to_json().as_array().unwrap().is_empty());
        }
    }
    let _ = parse_str(text, Path::new("/edge"));
}

/// Pieces that manifests are made of, so that random ones get deep into the reader.
const PIECES: &[&str] = &[
    "[[routes]]\n",
    "[gateway]\n",
    "[[listeners]]\n",
    "[upstreams.a]\n",
    "[filters.a]\n",
    "[lua]\n",
    "include = ",
    "address = ",
    "match = ",
    "path = ",
    "upstream = ",
    "endpoints = ",
    "tls = ",
    "lua = ",
    "respond = ",
    "redirect = ",
    "files = ",
    "limits = ",
    "timeouts = ",
    "retry = ",
    "on = ",
    "functions = ",
    "{ ",
    " }",
    "[",
    "]",
    "\"",
    ", ",
    "\n",
    "\"a\"",
    "\"/a/*\"",
    "1",
    "-1",
    "0x10",
    "99999999999999999999",
    "1.5",
    "nan",
    "true",
    "2026-01-01",
    "\"5s\"",
    "\"8MiB\"",
    "\"20%\"",
    "\"${env:TENANT}\"",
    "\"${\"",
    "\"$${\"",
    "\"${file:token}\"",
    "\"http://a:1\"",
    "\"[::]:80\"",
    "\"unix:a\"",
    "\"{1}\"",
    "to = ",
    "host = ",
    "ö",
    "\u{0}",
    "\r\n",
    "'''",
    "# c\n",
    ".",
    "=",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_text(text in "\\PC{0,200}") {
        load_anything(&text);
    }

    #[test]
    fn arbitrary_pieces(picks in prop::collection::vec(0..PIECES.len(), 0..60)) {
        let text: String = picks.iter().map(|pick| PIECES[*pick]).collect();
        load_anything(&text);
    }

    #[test]
    fn mutated_manifests(
        edits in prop::collection::vec((0..MAXIMAL.len(), 0..20usize, 0..PIECES.len()), 1..6),
    ) {
        let mut text = MAXIMAL.as_bytes().to_vec();
        for (at, cut, piece) in edits {
            let at = at.min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, PIECES[piece].bytes());
        }
        load_anything(&String::from_utf8_lossy(&text));
    }

    #[test]
    fn a_value_swapped_for_another(line in 0..200usize, piece in 0..PIECES.len()) {
        let swap = |(at, text): (usize, &str)| match text.split_once(" = ") {
            Some((key, _)) if at == line => format!("{key} = {}", PIECES[piece].trim_end()),
            _ => text.to_owned(),
        };
        let text: Vec<_> = MAXIMAL.lines().enumerate().map(swap).collect();
        load_anything(&text.join("\n"));
    }
}

#[test]
fn nesting_is_bounded() {
    let deep =
        |open: &str, close: &str| format!("a = {}{}", open.repeat(20_000), close.repeat(20_000));
    load_anything(&deep("[", "]"));
    load_anything(&deep("{a=", "}"));
    load_anything(&format!("[{}]", "a.".repeat(20_000)));
    let nested = format!(
        "[filters.a]\nlua = \"auth.lua\"\nconfig = {{ a = {}1{} }}",
        "[".repeat(70),
        "]".repeat(70)
    );
    load_anything(&nested);
}
