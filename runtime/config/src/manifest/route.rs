//! Routes: what happens to which requests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::place::Place;

/// What happens to the requests that it matches.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Where it is defined.
    pub place: Place,
    /// Which requests.
    pub matcher: Match,
    /// The chain: indexes into `Manifest::filters`, in the order of the request.
    pub filters: Vec<usize>,
    /// What answers them.
    pub target: Target,
    /// The whole exchange.
    pub total: Option<Duration>,
    /// From the request's last byte to the response's first. Overrides the upstream's.
    pub upstream_timeout: Option<Duration>,
    /// When a request is sent again; `None`: the one retry of a stale connection.
    pub retry: Option<Retry>,
    /// A template: `{1}` is what the first `*` matched; `{host}`, `{path}`, `{query}`.
    pub rewrite: Option<String>,
    /// Values that scripts read by name.
    pub vars: BTreeMap<String, String>,
    /// Only scripts reach it.
    pub internal: bool,
    /// Overrides the listener's `body_bytes`.
    pub body_bytes: Option<u64>,
}

/// Which requests: all conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// Lower case; `*.example.com` matches one or more labels. `None`: any host.
    pub host: Option<String>,
    /// `/a/b` exactly, or `/a/*` for all below. Each `*` is a capture. `None`: any path.
    pub path: Option<String>,
    /// Empty: any method.
    pub methods: Vec<String>,
    /// Lower-case name and exact value; the value `*` asks only that the field is there.
    pub headers: Vec<(String, String)>,
    /// Parameter and exact value; the value `*` asks only that the parameter is there.
    pub query: Vec<(String, String)>,
    /// Names of listeners; empty: all.
    pub listeners: Vec<String>,
}

/// What a route leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// An index into `Manifest::upstreams`.
    Upstream(usize),
    /// A fixed answer.
    Respond(Respond),
    /// A redirect.
    Redirect(Redirect),
    /// A folder of files.
    Files(Files),
    /// A script that answers: an index into `Manifest::filters`, not named in any chain.
    Script(usize),
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Respond {
    /// The status code.
    pub status: u16,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A redirect.
#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    /// The status code.
    pub status: u16,
    /// A URL or path template: `{1}` is what the first `*` matched, `{path}` and `{query}` the request's own.
    pub to: String,
}

/// A folder of files.
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    /// The folder.
    pub root: PathBuf,
    /// Served for a folder.
    pub index: Vec<String>,
    /// Added to each answer.
    pub cache_control: Option<String>,
}

/// When a request is sent again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Further tries, at least 1.
    pub attempts: u32,
    /// When no connection could be made.
    pub connect: bool,
    /// When the upstream answers with one of these.
    pub statuses: Vec<u16>,
    /// Share of the requests of the last window that may be retries: 0.2 is 20 %.
    pub budget: f64,
}
