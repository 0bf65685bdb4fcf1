//! How commands end: what they say, and with which code.

use std::fmt::Display;
use std::process::ExitCode;

use crate::{FAILED, REFUSED, print};

/// Why a command does not come to its end.
pub(crate) enum Stop {
    /// It has been said.
    Said(ExitCode),
    /// What was given will not do.
    Refused(String),
    /// Something failed.
    Failed(String),
}

/// Says what has come of it.
pub(crate) fn end(done: Result<String, Stop>) -> ExitCode {
    match done {
        Ok(said) => {
            print(&said);
            ExitCode::SUCCESS
        }
        Err(Stop::Said(code)) => code,
        Err(Stop::Refused(why)) => refuse(why),
        Err(Stop::Failed(why)) => fail(why),
    }
}

pub(crate) fn refuse(why: impl Display) -> ExitCode {
    eprintln!("edge-deploy: {why}");
    ExitCode::from(REFUSED)
}

pub(crate) fn fail(why: impl Display) -> ExitCode {
    eprintln!("edge-deploy: {why}");
    ExitCode::from(FAILED)
}
