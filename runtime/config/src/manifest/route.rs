//! Routes: what happens to which requests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Admission, PathRegex, Priority};
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
    /// Variables of scripts, with the values that they begin with.
    pub vars: BTreeMap<String, String>,
    /// Only scripts and `errors` reach it: by its match, if it has one, or by its name.
    pub internal: bool,
    /// Where a request goes on when its answer has an error's status; the first that names the
    /// status counts.
    pub errors: Vec<ErrorPage>,
    /// Overrides the listener's `body_bytes`.
    pub body_bytes: Option<u64>,
    /// How many of its requests are let in at a time; `None`: as many as come.
    pub admission: Option<Admission>,
    /// Who is let in first, here and at its upstream.
    pub priority: Priority,
}

/// Which requests: all conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// Lower case; `*.example.com` matches one or more labels. `None`: any host.
    pub host: Option<String>,
    /// `/a/b` exactly, `/a/*` for all below, `/a*` for all that begins so. Each `*` is a capture.
    /// `None`: any path.
    pub path: Option<String>,
    /// Instead of `path`; its groups are the captures.
    pub regex: Option<PathRegex>,
    /// Empty: any method.
    pub methods: Vec<String>,
    /// Lower-case name and exact value; the value `*` asks only that the field is there.
    pub headers: Vec<(String, String)>,
    /// Parameter and exact value; the value `*` asks only that the parameter is there.
    pub query: Vec<(String, String)>,
    /// Names of listeners; empty: all.
    pub listeners: Vec<String>,
}

/// Where a request goes on when its answer has one of some statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// From 300 to 599, ascending.
    pub on: Vec<u16>,
    /// Where to.
    pub to: ErrorTarget,
    /// What the client sees.
    pub status: ErrorStatus,
}

/// Where a request with an error goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorTarget {
    /// A path, perhaps with a query: the route that matches it, internal ones too.
    Path(String),
    /// The route of this name.
    Route(Arc<str>),
    /// The client is sent to this URL.
    Url(String),
}

/// The status that the client sees instead of an error's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorStatus {
    /// The error's own.
    Same,
    /// This.
    Fixed(u16),
    /// That of the answer which stands in.
    Own,
}

/// What a route leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// An index into `Manifest::upstreams`.
    Upstream(usize),
    /// The same, of one that has a `split`.
    Split(usize),
    /// A fixed answer.
    Respond(Respond),
    /// A redirect.
    Redirect(Redirect),
    /// A folder of files.
    Files(Files),
    /// A script or component that answers, an index into `Manifest::filters`: a filter that is in no chain, or
    /// the one of the route's chain that has `openresty.content`.
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
