//! Files: how long, none dead, nothing left for later.

use super::tree::{Text, code, files, is_in, none, root, sources};

/// Lines past which a file is more than one idea.
const LINES_MAX: usize = 500;

/// Files that may be longer: so many lines, and why.
const LONG: &[(&str, usize, &str)] = &[(
    "runtime/config/src/manifest.rs",
    560,
    "a flat list of plain types, one a table of the manifest",
)];

const EVERYWHERE: &[&str] =
    &["sdk", "runtime", "edge-deploy", "examples", "tests", "fuzz", "tools", ".ci", "docs"];

#[test]
fn a_file_is_one_idea() {
    let mut complaints = Vec::new();
    for file in files(EVERYWHERE, &[".rs", ".lua", ".py", ".wat"]) {
        let lines = file.text.lines().count();
        let most = LONG.iter().find(|(path, ..)| *path == file.path).map_or(LINES_MAX, |row| row.1);
        if lines > most {
            complaints.push(format!("{}: {lines} lines, at most {most}", file.path));
        }
    }
    for (path, ..) in LONG {
        if !root().join(path).exists() {
            complaints.push(format!("{path}: a row for a file that is not there"));
        }
    }
    none(&complaints);
}

#[test]
fn no_file_is_dead() {
    let all = files(&["sdk", "runtime", "edge-deploy", "tests"], &[".rs"]);
    let mut complaints = Vec::new();
    for file in &all {
        let parts: Vec<&str> = file.path.split('/').collect();
        let (name, folders) = parts.split_last().unwrap();
        let stem = name.trim_end_matches(".rs");
        // Roots: src/lib.rs, src/main.rs, build.rs, tests/main.rs, and a crate's tests/*.rs and
        // examples/*.rs.
        let is_root = matches!(*name, "lib.rs" | "main.rs" | "build.rs")
            || matches!(folders.last(), Some(&"tests" | &"examples"))
                && folders.len() > 1
                && matches!(folders[0], "runtime" | "edge-deploy" | "sdk")
                && !folders.contains(&"src");
        if is_root {
            continue;
        }
        let (module, owner) = match stem {
            "mod" => (*folders.last().unwrap(), &folders[..folders.len() - 1]),
            _ => (stem, folders),
        };
        let declares = |candidate: &Text| {
            let code = code(&candidate.text);
            code.contains(&format!("mod {module};"))
                || candidate.text.contains(&format!("\"{module}.rs\""))
        };
        let beside = owner.join("/");
        let owners = ["lib.rs", "main.rs", "mod.rs"].map(|name| format!("{beside}/{name}"));
        let is_owner =
            |path: &str| path == format!("{beside}.rs") || owners.iter().any(|o| o == path);
        // A crate's own tests are each a root, and may share modules.
        let crate_test = |path: &str| {
            path.strip_prefix(&format!("{beside}/")).is_some_and(|rest| !rest.contains('/'))
                && beside.ends_with("/tests")
        };
        if !all.iter().any(|c| (is_owner(&c.path) || crate_test(&c.path)) && declares(c)) {
            complaints.push(format!("{}: no module declares it", file.path));
        }
    }
    // The build takes the whole prelude: a file of it is alive when something runs it by its name.
    let engine = sources(&["runtime/lua"]);
    let scripts = files(&["runtime/lua/src"], &[".lua"]);
    for file in &scripts {
        let parts = file.path.rsplit_once('/').unwrap();
        let stem = parts.1.trim_end_matches(".lua");
        let mut others =
            engine.iter().chain(scripts.iter().filter(|other| other.path != file.path));
        if !others.any(|source| source.text.contains(stem)) {
            complaints.push(format!("{}: nothing runs it", file.path));
        }
    }
    none(&complaints);
}

/// Words that mean "later", "not here" or "only on my machine", written so that this file has none.
fn unwanted() -> [String; 7] {
    ["#[ign|ore", "FIX|ME", "XX|X", "/wo|rk/", "/ro|ot/", "/tmp/ba|sh_jobs", "assert!(tr|ue)"]
        .map(|word| word.replace('|', ""))
}

#[test]
fn nothing_is_left_for_later() {
    let mut complaints = Vec::new();
    let ends = [".rs", ".lua", ".py", ".sh", ".toml", ".md", ".wat", "/run", "/test"];
    for file in files(EVERYWHERE, &ends) {
        if is_in(&file.path, "docs/performance.md") {
            continue;
        }
        for word in unwanted() {
            if let Some(line) = file.text.lines().position(|line| line.contains(&word)) {
                complaints.push(format!("{}:{}: {word}", file.path, line + 1));
            }
        }
    }
    none(&complaints);
}
