//! How tests went: for people, in TAP, as JUnit's XML.

use std::fmt::Write as _;

use crate::outcome::{Ended, File, Outcome};

/// A file's tests, a line each; what went wrong stands below.
pub(crate) fn people(file: &File) -> String {
    let mut text = format!("{}\n", file.name);
    for test in &file.tests {
        let word = if test.has_passed() { "ok  " } else { "FAIL" };
        let _ = writeln!(text, "  {word}  {}", plain(title(test)));
        for line in details(test) {
            let _ = writeln!(text, "        {line}");
        }
    }
    text
}

/// The last line.
pub(crate) fn sum(files: &[File]) -> String {
    let tests = || files.iter().flat_map(|file| &file.tests);
    let passed = tests().filter(|test| test.has_passed()).count();
    match tests().count() - passed {
        0 => format!("\n{passed} passed\n"),
        failed => format!("\n{passed} passed, {failed} failed\n"),
    }
}

/// A file's tests in TAP 14, numbered behind those before.
pub(crate) fn tap(file: &File, before: usize) -> String {
    let mut text = String::new();
    for (index, test) in file.tests.iter().enumerate() {
        let word = if test.has_passed() { "ok" } else { "not ok" };
        let name = format!("{}: {}", file.name, title(test));
        let name = plain(&name).replace('\\', "\\\\").replace('#', "\\#");
        let _ = writeln!(text, "{word} {} - {name}", before + index + 1);
        let details = details(test);
        if !details.is_empty() {
            text.push_str("  ---\n  message: |\n");
            for line in details {
                let _ = writeln!(text, "    {line}");
            }
            text.push_str("  ...\n");
        }
    }
    text
}

/// All of it in the form that CI servers read.
pub(crate) fn junit(files: &[File]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for file in files {
        let count = |what: fn(&Ended) -> bool| file.tests.iter().filter(|t| what(&t.ended)).count();
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">",
            escape(&file.name),
            file.tests.len(),
            count(|ended| matches!(ended, Ended::Failed { .. })),
            count(|ended| matches!(ended, Ended::Broken { .. })),
        );
        for test in &file.tests {
            case(&mut text, file, test);
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn case(text: &mut String, file: &File, test: &Outcome) {
    let names = format!("classname=\"{}\" name=\"{}\"", escape(&file.name), escape(title(test)));
    let (element, message) = match &test.ended {
        Ended::Passed => {
            let _ = writeln!(text, "    <testcase {names}/>");
            return;
        }
        Ended::Failed { message, .. } => ("failure", message),
        Ended::Broken { message, .. } => ("error", message),
    };
    let first = message.lines().next().unwrap_or_default();
    let whole = details(test).join("\n");
    let _ = writeln!(
        text,
        "    <testcase {names}>\n      <{element} message=\"{}\">{}</{element}>\n    </testcase>",
        escape(first),
        escape(&whole),
    );
}

/// A file that could not be run has no name of a test.
fn title(test: &Outcome) -> &str {
    if test.name.is_empty() { "(the file)" } else { &test.name }
}

/// What went wrong, and what was written on the way.
fn details(test: &Outcome) -> Vec<String> {
    let (Ended::Failed { message, trace } | Ended::Broken { message, trace }) = &test.ended else {
        return Vec::new();
    };
    let lines = message.lines().chain(trace.lines()).map(str::to_owned);
    let printed = test.printed.iter().flat_map(|text| text.lines()).map(|line| format!("| {line}"));
    lines.chain(printed).map(|line| plain(&line)).collect()
}

/// On one line, without what a terminal or a parser takes for something else.
fn plain(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

/// Text within XML 1.0, which has no control characters at all.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() && c != '\t' => out.push('?'),
            '\u{fffe}' | '\u{ffff}' => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
