//! `quarantine`: what a node has given up and does not try again by itself, and the word that lets it.

use std::fmt::Write as _;
use std::process::ExitCode;

use pilotlight_agent::Pointer;

use super::disk::Disk;
use super::read;
use crate::end::{fail, refuse};
use crate::{flags, print};

/// Fewer digits of a digest may be an accident.
const DIGITS: usize = 8;

pub(crate) fn quarantine(flags: &flags::Quarantine) -> ExitCode {
    let node = match read(&flags.node) {
        Ok(node) => node,
        Err(code) => return code,
    };
    let mut disk = match Disk::open(&node.dir) {
        Ok(disk) => disk,
        Err(error) => return refuse(format!("{}: {error}", node.dir.display())),
    };
    let done = match flags.lift.as_deref() {
        None => Pointer::read(&disk).map(|pointer| list(&pointer)),
        Some(lift) => {
            let begins = lift.trim_start_matches("sha256:");
            let begins = if lift == "all" { "" } else { begins };
            if lift != "all" && begins.len() < DIGITS {
                return refuse("--lift takes `all`, or at least 8 digits of a digest");
            }
            Pointer::lift(&mut disk, begins).map(|lifted| format!("{lifted} may be tried again\n"))
        }
    };
    match done {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => fail(format!("the disk: {error}")),
    }
}

fn list(pointer: &Pointer) -> String {
    let mut text = String::new();
    for denied in &pointer.denied {
        let message = denied.message.lines().next().unwrap_or_default();
        let _ = writeln!(text, "{} {}: {message}", denied.release, denied.failure.name());
    }
    text
}
