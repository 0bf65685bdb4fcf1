use super::*;

fn file() -> File {
    let outcome = |name: &str, ended| Outcome {
        name: name.into(),
        ended,
        printed: vec!["a\u{1b}[1m".into()],
    };
    let trace = String::from("called");
    File {
        name: "a_test.lua".into(),
        tests: vec![
            outcome("fine # \"so\"", Ended::Passed),
            outcome("no", Ended::Failed { message: "1 < 2\n& more".into(), trace: trace.clone() }),
            outcome("", Ended::Broken { message: "broken".into(), trace }),
        ],
    }
}

#[test]
fn people_see_what_went_wrong() {
    let text = people(&file());
    assert!(text.contains("  ok    fine"), "{text}");
    assert!(text.contains("  FAIL  no\n        1 < 2\n        & more\n        called\n"), "{text}");
    assert!(text.contains("(the file)"), "{text}");
    assert_eq!(sum(&[file()]), "\n1 passed, 2 failed\n");
}

#[test]
fn tap_has_no_stray_signs() {
    let text = tap(&file(), 4);
    assert!(text.starts_with("ok 5 - a_test.lua: fine \\# \"so\"\nnot ok 6 - "), "{text}");
    assert!(text.contains("    | a?[1m\n  ...\n"), "{text}");
}

#[test]
fn junit_is_escaped() {
    let text = junit(&[file()]);
    assert!(text.contains("tests=\"3\" failures=\"1\" errors=\"1\""), "{text}");
    assert!(text.contains("name=\"fine # &quot;so&quot;\"/>"), "{text}");
    assert!(text.contains("<failure message=\"1 &lt; 2\">1 &lt; 2&#10;&amp; more"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}
