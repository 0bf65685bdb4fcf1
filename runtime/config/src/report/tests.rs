#![allow(clippy::unwrap_used)]
use super::*;

const TEXT: &str = "a = 1\n\tschlüssel = \"apis\" # ö\r\nlast";

fn report() -> Report {
    let file = Arc::new(PathBuf::from("/etc/edge/edge.toml"));
    let mut report = Report::about(Path::new("/etc/edge"), Path::new("conf"));
    report.add_source(file, TEXT);
    report
}

fn place(part: &str) -> Place {
    let start = TEXT.find(part).unwrap();
    let file = Arc::new(PathBuf::from("/etc/edge/edge.toml"));
    Place { file, start, end: start + part.len() }
}

#[test]
fn columns_count_characters_and_tabs_keep_the_caret_in_line() {
    let mut report = report();
    report.push(
        Problem::error(place("\"apis\""), "unknown upstream \"apis\"")
            .also("the first one is here", place("a"))
            .hint("did you mean \"api\"?"),
    );
    let expected = "\
conf/edge.toml:2:14: unknown upstream \"apis\"
    2 | \tschlüssel = \"apis\" # ö
      | \t            ^^^^^^
conf/edge.toml:1:1: the first one is here
    1 | a = 1
      | ^
hint: did you mean \"api\"?
";
    assert_eq!(report.render(false), expected);
    assert_eq!(
        report.to_json(),
        serde_json::json!([{
            "file": "conf/edge.toml", "line": 2, "column": 14, "end_column": 20,
            "message": "unknown upstream \"apis\"", "severity": "error",
            "hint": "did you mean \"api\"?",
            "also": { "file": "conf/edge.toml", "line": 1, "column": 1, "end_column": 2,
                      "message": "the first one is here" },
        }])
    );
}

#[test]
fn warnings_say_so_and_do_not_refuse() {
    let mut report = report();
    report.push(Problem::warning(place("last"), "not used"));
    assert!(!report.has_errors());
    assert_eq!(
        report.render(false),
        "conf/edge.toml:3:1: warning: not used\n    3 | last\n      | ^^^^\n"
    );
    assert!(report.render(true).contains("\x1b[1;33m^^^^\x1b[0m"));
}

#[test]
fn a_script_is_read_for_its_excerpt() {
    let folder = std::env::temp_dir().join(format!("pilotlight-report-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("auth.lua"), "local a\nif then\n").unwrap();
    let mut report = Report::about(&folder, Path::new(""));
    report.push(Problem::error((folder.join("auth.lua"), 2, 4), "unexpected symbol near 'then'"));
    assert_eq!(
        report.render(false),
        "auth.lua:2:4: unexpected symbol near 'then'\n    2 | if then\n      |    ^\n"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn places_past_the_end_or_inside_a_character_are_fine() {
    for (start, end) in [(999, 2000), (TEXT.len(), TEXT.len()), (11, 12), (12, 11), (0, 999)] {
        let mut report = report();
        let place = Place { start, end, ..place("a") };
        report.push(Problem::error(place, "x"));
        assert!(report.render(false).starts_with("conf/edge.toml:"));
    }
}

#[test]
fn what_a_file_holds_never_speaks_to_the_terminal() {
    let file = Arc::new(PathBuf::from("x"));
    let mut report = Report::default();
    report.add_source(file.clone(), "a = \"\x1b[2J\"");
    report.push(Problem::error(Place { file, start: 0, end: 1 }, "bad \x1b[2J"));
    assert!(!report.render(false).contains('\x1b'));
}

#[test]
fn long_lines_are_clipped_around_the_caret() {
    let text = format!("{}here{}", "x".repeat(5000), "y".repeat(5000));
    let file = Arc::new(PathBuf::from("x"));
    let mut report = Report::default();
    report.add_source(file.clone(), text);
    report.push(Problem::error(Place { file, start: 5000, end: 5004 }, "bad"));
    let shown = report.render(false);
    let lines: Vec<_> = shown.lines().collect();
    let caret = lines[2].chars().position(|c| c == '^').unwrap();
    assert!(lines[1].chars().count() < 200);
    assert_eq!(lines[1].chars().skip(caret).take(4).collect::<String>(), "here");
}

#[test]
fn a_report_is_bounded() {
    let mut report = Report::default();
    for _ in 0..10_000 {
        report.push(Problem::error(Spot::Nowhere, "x"));
    }
    assert_eq!(report.problems.len(), MOST + 1);
}
