//! Exchanges as text: `*.case` files, run over HTTP/1, 2 and 3.
//!
//! ```text
//! === what the case shows
//! --- manifest          routes, filters, upstreams; `$app` is an upstream's address, `$dead` refuses
//! --- gateway           lines below [gateway]
//! --- listener          lines below both [[listeners]]
//! --- file NAME         a file beside the manifest; `--- wat NAME` assembles it
//!                       (a guest behind prelude.wat, or a `(module` as it stands)
//! --- twins A B         run once with each: `$twin` becomes `lua = "A"` or `wasm = "B"`
//! --- upstream NAME     the bytes it answers with; again for its second answer, the last repeats
//! --- downstream        a request, as HTTP/1 writes it; `--- expect` tells its answer
//! --- upstream saw NAME the first request that it was asked; again for the second
//! --- upstream count N  how many it was asked in all
//! --- log, --- no log   texts that must, or must not, stand together in one line of the log
//! --- only h1: reason
//! ```
//! Lines of a body are joined as they are; `\n`, `\r`, `\t`, `\0` and `\xNN` are bytes. Lines that begin with
//! `@` are orders; `run.rs` and `script.rs` know them. A field line `name: ~part` wants a part, `name: *` any
//! value, `! name` no such field. `{version}`, `{scheme}` and `{protocol}` are those of the run.

mod expect;
mod parse;
mod run;
mod script;

use std::path::PathBuf;

use self::parse::Case;

fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|p| p.extension().is_some_and(|e| e == "case")).collect();
    files.sort();
    files
}

/// All cases of a file, and only those whose title holds `CASE` when that is set.
fn check(name: &str) {
    let path = files().into_iter().find(|p| p.file_stem().unwrap() == name);
    let path = path.unwrap_or_else(|| panic!("there is no {name}.case"));
    let text = std::fs::read_to_string(&path).unwrap();
    let cases = parse::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!cases.is_empty(), "{name}.case is empty");
    let only = std::env::var("CASE").unwrap_or_default();
    let failures: Vec<String> = cases
        .iter()
        .filter(|case| case.title.contains(&only))
        .flat_map(|case: &Case| crate::support::run(run::run(case)))
        .collect();
    assert!(failures.is_empty(), "{} failed:\n\n{}", failures.len(), failures.join("\n\n"));
}

macro_rules! suites {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        /// A file without a test would never run.
        #[test]
        fn every_file_is_named() {
            let named = [$(stringify!($name)),*];
            for file in files() {
                let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
                assert!(named.contains(&stem.as_str()), "{stem}.case is not named in cases/mod.rs");
            }
        }

        /// The suite is what its documents say it is.
        #[test]
        fn there_are_many() {
            let count: usize = files()
                .iter()
                .map(|file| parse::parse(&std::fs::read_to_string(file).unwrap()).unwrap().len())
                .sum();
            assert!(count >= 80, "{count} cases");
        }
    };
}

suites!(
    routing,
    answers,
    files_target,
    forwarding,
    bodies,
    interim,
    upstreams,
    limits,
    lua,
    wasm,
    chains,
    waiting,
    sockets,
    openresty,
    transforms,
    judged
);
