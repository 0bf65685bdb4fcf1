//! Tests of filters, without a network: `pilotlight test`.
//!
//! ```text
//! *_test.lua ─▶ suite ─▶ a VM with test.lua ─ host ─▶ subject (a filter, loaded by its engine)
//!                              │                        │
//!                              └──────── world ─────────┘  clock, fetches, dictionaries, log
//! ```
//! The engines are the gateway's own; what is around them is the test's: time goes on when everybody
//! waits, and what is fetched is what the test says.

mod clock;
mod files;
mod host;
mod outcome;
mod report;
mod request;
mod subject;
mod suite;
mod turn;
mod values;
mod world;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use pilotlight_config::{Manifest, Report};
use pilotlight_filter::{Engine, Plan};

use crate::files::Scratch;
use crate::outcome::File;

/// What tests are run with.
pub struct Bench {
    /// One of each kind.
    pub engines: Vec<Arc<dyn Engine>>,
    /// What the engine of a name loads of a manifest, at a time.
    pub plan: fn(&Manifest, &str, f64) -> Plan,
    /// The environment.
    pub env: fn(&str) -> Option<String>,
}

/// Why nothing was run.
#[derive(Debug)]
pub enum Refusal {
    /// A path that is wrong, or nothing to run.
    Usage(String),
    /// The manifest beside the tests.
    Manifest(Box<Report>),
}

/// All tests that were run.
pub struct Summary(Vec<File>);

impl Summary {
    /// Whether all have passed.
    pub fn has_passed(&self) -> bool {
        self.0.iter().flat_map(|file| &file.tests).all(outcome::Outcome::has_passed)
    }

    /// As XML that CI servers read.
    pub fn junit(&self) -> String {
        report::junit(&self.0)
    }
}

/// Runs every `*_test.lua` below these paths (files are taken whatever they are called), and says to
/// `print` how it goes: for people, or in TAP.
///
/// # Errors
/// When a path or a manifest is wrong, or there is no test.
pub fn run(
    bench: Bench,
    paths: &[PathBuf],
    tap: bool,
    print: &mut dyn FnMut(&str),
) -> Result<Summary, Refusal> {
    let bench = Rc::new(bench);
    let found = files::find(paths).map_err(Refusal::Usage)?;
    let scratch = Scratch::new();
    let mut done = Vec::new();
    let mut count = 0;
    if tap {
        print("TAP version 14\n");
    }
    for path in found {
        let name = path.strip_prefix(".").unwrap_or(&path).display().to_string();
        let file = suite::run(&bench, &path, &name, scratch.path())?;
        print(&if tap { report::tap(&file, count) } else { report::people(&file) });
        count += file.tests.len();
        done.push(file);
    }
    print(&if tap { format!("1..{count}\n") } else { report::sum(&done) });
    Ok(Summary(done))
}
