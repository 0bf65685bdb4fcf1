//! `examples/fleet` runs, and its transcript in the guide is what it prints. `PILOTLIGHT_BLESS=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod gateway;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Debian's registry.
fn registry() -> PathBuf {
    let found = Command::new(root().join("tools/registry")).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    String::from_utf8(found.stdout).unwrap().trim().into()
}

/// Three ports in a row that nobody has.
fn ports() -> u16 {
    (0..200u16)
        .map(|at| 20000 + 3 * ((std::process::id() as u16 + 97 * at) % 3000))
        .find(|port| (0..3).all(|more| TcpListener::bind(("0.0.0.0", port + more)).is_ok()))
        .unwrap()
}

#[test]
fn a_first_fleet_does_what_the_guide_says() {
    let folder = std::env::temp_dir().join(format!("first-fleet-{}", std::process::id()));
    let port = ports();
    let beside = |program: &Path| program.parent().unwrap().to_owned();
    let folders = [beside(Path::new(env!("CARGO_BIN_EXE_edge-deploy"))), beside(&registry())];
    let own = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
    let gateway = beside(&gateway::gateway());
    let path = std::env::join_paths([gateway].into_iter().chain(folders).chain(own)).unwrap();
    let mut run = Command::new(root().join("examples/fleet/run"));
    let output = run.arg(&folder).env("PATH", path).env("PORT", port.to_string()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let logs = || Command::new("tail").args(["-n", "20"]).args(logs(&folder)).output().unwrap();
    assert!(
        output.status.success(),
        "{said}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&logs().stdout)
    );
    let said = normal(&said, port);

    let page = root().join("docs/guides/first-fleet.md");
    let text = fs::read_to_string(&page).unwrap();
    let (begin, end) = ("```console\n", "```\n");
    let at = text.find(begin).unwrap() + begin.len();
    let to = at + text[at..].find(end).unwrap();
    if std::env::var_os("PILOTLIGHT_BLESS").is_some() {
        fs::write(&page, format!("{}{said}{}", &text[..at], &text[to..])).unwrap();
    } else {
        let told = normal(&text[at..to], 8080);
        assert!(told == said, "the guide's transcript is another one:\n{}", differ(&told, &said));
    }
    fs::remove_dir_all(&folder).unwrap();
}

fn logs(folder: &Path) -> Vec<PathBuf> {
    let all = ["controller.log", "nodes/n1/agent.log", "nodes/n1/launch.log", "watched"];
    all.map(|name| folder.join(name)).into()
}

/// What is another each time, made the same: keys, tokens and digests, ports, times, the order of nodes, and counts of
/// visits.
fn normal(said: &str, port: u16) -> String {
    let mut text = said.to_owned();
    for (at, usual) in (0..3u16).zip(8080..) {
        text = text.replace(&format!(":{}", port + at), &format!(":{usual}"));
    }
    text.lines().map(|line| visits(&row(&ordered(&shortened(line)))) + "\n").collect()
}

fn shortened(line: &str) -> String {
    let ends = [' ', '=', ':', '(', ')', ','];
    let mut out = String::new();
    for word in line.split_inclusive(ends) {
        let plain = word.trim_end_matches(ends);
        let is_hex = plain.len() >= 12 && plain.bytes().all(|byte| byte.is_ascii_hexdigit());
        out.push_str(&if is_hex { word.replace(plain, "5f0c9a2be417...") } else { word.into() });
    }
    out
}

/// Nodes of a wave come in another order with each release.
fn ordered(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let name = |word: &&str| word.trim_end_matches(',').len() == 2 && word.starts_with('n');
    let first = words.iter().position(name).filter(|_| line.contains(", n"));
    let Some((before, nodes)) = first.map(|first| words.split_at(first)) else {
        return line.to_owned();
    };
    let mut nodes: Vec<&str> = nodes.iter().map(|word| word.trim_end_matches(',')).collect();
    nodes.sort_unstable();
    format!("{} {}", before.join(" "), nodes.join(", "))
}

/// A row of `edge-deploy nodes`: how long ago a node was heard of.
fn row(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [node, runs, should, ago, more @ ..] if ago.ends_with('s') && node.len() == 2 => {
            let row = format!("{node:<20} {runs:<20} {should:<20} {:>7}  ", "0s");
            row + &more.join(" ")
        }
        _ => line.to_owned(),
    }
}

/// `filters failed 3 times in 4 requests`: how many there were is chance.
fn visits(line: &str) -> String {
    let Some((before, rest)) = line.split_once("filters failed ") else { return line.to_owned() };
    let after = rest.split_once(" requests").map_or("", |(_, after)| after);
    format!("{before}filters failed 3 times in 3 requests{after}")
}

fn differ(told: &str, said: &str) -> String {
    let pairs = told.lines().map(Some).chain(std::iter::repeat(None)).zip(said.lines());
    let differ = pairs.filter(|(told, said)| *told != Some(*said));
    differ.map(|(told, said)| format!("- {}\n+ {said}\n", told.unwrap_or(""))).take(20).collect()
}
