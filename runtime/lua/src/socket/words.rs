//! What scripts and the log are told of sockets: OpenResty's words, which libraries look for.

use std::io;

use pilotlight_filter::host::{Level, LogLine, Services};

/// Too long a wait.
pub(crate) const TIMEOUT: &str = "timeout";
/// Nothing more from there.
pub(crate) const CLOSED: &str = "closed";
/// A socket of another exchange.
pub(crate) const BAD_REQUEST: &str = "bad request";

/// Why something failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The script's second result.
    pub(crate) why: String,
    /// What came before it failed.
    pub(crate) partial: Option<Vec<u8>>,
    /// A line for the log, where socket errors are logged.
    pub(crate) line: Option<String>,
}

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Failure {
        Failure { why: why.into(), ..Failure::default() }
    }

    pub(crate) fn line(self, line: String) -> Failure {
        Failure { line: Some(line), ..self }
    }

    pub(crate) fn partial(self, partial: Vec<u8>) -> Failure {
        Failure { partial: Some(partial), ..self }
    }

    /// The system failed at `call`, towards the peer that `name` says.
    pub(crate) fn system(call: &str, error: &io::Error, name: &str) -> Failure {
        let said = said(error);
        let number = error.raw_os_error().unwrap_or_default();
        let line = format!("{call} failed ({number}: {said}){name}");
        Failure::new(said.to_lowercase()).line(line)
    }
}

/// The system's sentence without the number behind it.
fn said(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A line at the level of details, if anybody reads those.
pub(crate) fn debug(services: &dyn Services, line: impl FnOnce() -> String) {
    if services.logs(Level::Debug) {
        let message = &line();
        services.log(&LogLine { level: Level::Debug, filter: "", id: "", message, fields: &[] });
    }
}

/// What stands before the peer in log lines, and before one that is a file.
pub(super) const UPSTREAM: &str = ", upstream: ";
pub(super) const UNIX: &str = ", upstream: unix:";

/// The peer in log lines, as OpenResty's show it.
pub(crate) fn named(host: &str, port: u16, address: &str) -> String {
    match port {
        0 => format!("{UPSTREAM}{host}({address})"),
        port => format!("{UPSTREAM}{host}:{port}({address})"),
    }
}
