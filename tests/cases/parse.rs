//! A `.case` file as sections.

/// A case.
#[derive(Debug, Clone, Default)]
pub struct Case {
    pub title: String,
    pub line: usize,
    pub sections: Vec<Section>,
}

/// What stands between two `---` lines.
#[derive(Debug, Clone)]
pub struct Section {
    pub kind: Kind,
    /// The rest of its line.
    pub argument: String,
    pub lines: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Manifest,
    Gateway,
    Listener,
    File,
    Wat,
    Twins,
    UpstreamSaw,
    UpstreamCount,
    Upstream,
    Downstream,
    Expect,
    NoLog,
    Log,
    Only,
}

/// The longest names first: the first that fits is meant.
const KINDS: &[(&str, Kind)] = &[
    ("manifest", Kind::Manifest),
    ("gateway", Kind::Gateway),
    ("listener", Kind::Listener),
    ("file", Kind::File),
    ("wat", Kind::Wat),
    ("twins", Kind::Twins),
    ("upstream saw", Kind::UpstreamSaw),
    ("upstream count", Kind::UpstreamCount),
    ("upstream", Kind::Upstream),
    ("downstream", Kind::Downstream),
    ("expect", Kind::Expect),
    ("no log", Kind::NoLog),
    ("log", Kind::Log),
    ("only", Kind::Only),
];

/// All cases of a file.
///
/// # Errors
/// The first line that makes no sense.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |why: &str| format!("line {}: {why}: {line}", index + 1);
        if let Some(title) = line.strip_prefix("=== ") {
            cases.push(Case { title: title.to_owned(), line: index + 1, sections: Vec::new() });
        } else if let Some(head) = line.strip_prefix("--- ") {
            let case = cases.last_mut().ok_or_else(|| wrong("a section without a case"))?;
            let found =
                KINDS.iter().find_map(|(name, kind)| Some((*kind, head.strip_prefix(name)?)));
            let (kind, argument) = found.ok_or_else(|| wrong("unknown section"))?;
            let argument = argument.trim().to_owned();
            case.sections.push(Section { kind, argument, lines: Vec::new() });
        } else if let Some(section) = cases.last_mut().and_then(|case| case.sections.last_mut()) {
            section.lines.push(line.to_owned());
        } else if !line.is_empty() && !line.starts_with('#') {
            return Err(wrong("a line outside of a section"));
        }
    }
    for section in cases.iter_mut().flat_map(|case| &mut case.sections) {
        while section.lines.last().is_some_and(String::is_empty) {
            section.lines.pop();
        }
    }
    Ok(cases)
}

impl Case {
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(move |s| s.kind == kind)
    }

    /// The lines of all sections of a kind.
    pub fn text(&self, kind: Kind) -> String {
        self.all(kind).map(|s| s.lines.join("\n") + "\n").collect()
    }
}

/// Bytes of a body's lines, joined.
pub fn bytes(lines: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        let mut rest = line.as_bytes();
        while let [first, after @ ..] = rest {
            (rest, _) = match (first, after) {
                (b'\\', [b'n', after @ ..]) => (after, out.push(b'\n')),
                (b'\\', [b'r', after @ ..]) => (after, out.push(b'\r')),
                (b'\\', [b't', after @ ..]) => (after, out.push(b'\t')),
                (b'\\', [b'0', after @ ..]) => (after, out.push(0)),
                (b'\\', [b'\\', after @ ..]) => (after, out.push(b'\\')),
                (b'\\', [b'x', a, b, after @ ..]) => {
                    let digits = [*a, *b];
                    let text = std::str::from_utf8(&digits).unwrap();
                    (after, out.push(u8::from_str_radix(text, 16).unwrap()))
                }
                _ => (after, out.push(*first)),
            };
        }
    }
    out
}

/// `1MiB`, `64KiB` or a number.
pub fn size(text: &str) -> u64 {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];
    let (digits, unit) =
        units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit))).unwrap();
    digits.trim().parse::<u64>().unwrap_or_else(|_| panic!("no size: {text}")) * unit
}

/// `30ms`, `2s`.
pub fn duration(text: &str) -> std::time::Duration {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s').unwrap_or_else(|| panic!("no duration: {text}")), 1000),
    };
    std::time::Duration::from_millis(digits.trim().parse::<u64>().unwrap() * unit)
}
