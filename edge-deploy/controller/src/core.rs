//! What the controller decides, without a socket, a file or a clock.
//!
//! [`Core::ask`] takes a request and gives an answer; what must last is in [`Core::writes`], and goes to the store
//! before the answer goes anywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pilotlight_fleet::manifest::{Enrol, Fleet};
use pilotlight_fleet::message::Wanted;
use pilotlight_fleet::plan::{Digest, hex};
use pilotlight_fleet::release::{Release, Trust};
use pilotlight_fleet::rollout::Now;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Serialize;

use crate::store::{Audit, Error, Record, Role, Saved, Store, Token, Write};

mod agents;
mod lists;
mod operators;
mod pages;
mod rollouts;

use rollouts::Running;

/// What a controller is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may sign releases.
    pub trust: Trust,
    /// Values and holds.
    pub fleet: Fleet,
    /// Which nodes are admitted.
    pub enrol: Enrol,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST` or `DELETE`.
    pub method: String,
    /// Its path.
    pub path: String,
    /// What stands behind `?`, decoded.
    pub query: BTreeMap<String, String>,
    /// The token that came with it.
    pub token: Option<String>,
    /// The certificate that the client has proved to have.
    pub certificate: Option<CertificateDer<'static>>,
    /// Its body.
    pub body: Vec<u8>,
    /// What was asked for by [`Outcome::Fetch`], or why there is none.
    pub fetched: Option<Result<Vec<u8>, String>>,
    /// Bytes of chance, for tokens.
    pub chance: [u8; 24],
}

/// What comes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// An answer.
    Answer(Answer),
    /// Nothing new for this node: to be asked again when there is, or its time is up.
    Wait {
        /// The node.
        node: String,
    },
    /// Content is needed; then it is asked again.
    Fetch(Content),
}

/// Content that lies at the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A signed release.
    Release {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// A blob, not longer than [`SHOWN`].
    Blob(Digest),
}

/// The largest blob that operators may look at.
pub const SHOWN: u64 = 1 << 20;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// As in HTTP.
    pub status: u16,
    /// The type of the body.
    pub kind: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Nothing to say.
    pub fn nothing() -> Answer {
        Answer { status: 204, kind: JSON, body: Vec::new() }
    }

    fn json(body: &impl Serialize) -> Answer {
        match serde_json::to_vec(body) {
            Ok(body) => Answer { status: 200, kind: JSON, body },
            Err(error) => Answer::refusal(500, &error.to_string()),
        }
    }

    /// What one says who does not lead: it lives, it is not ready, and where to go.
    pub(crate) fn stands_by(request: &Request, leader: Option<&str>) -> Answer {
        if request.path == "/healthz" {
            return Answer::text("stands by\n");
        }
        let leads = match leader {
            Some(leader) => format!("{leader} leads"),
            None => "nobody is known to lead".into(),
        };
        let why = format!("this controller stands by: {leads}");
        let body = serde_json::json!({ "error": why, "leader": leader }).to_string().into_bytes();
        Answer { status: 503, kind: JSON, body }
    }

    pub(crate) fn text(text: &str) -> Answer {
        Answer { status: 200, kind: "text/plain", body: text.into() }
    }

    /// No, and why.
    pub fn refusal(status: u16, why: &str) -> Answer {
        let body = serde_json::json!({ "error": why }).to_string().into_bytes();
        Answer { status, kind: JSON, body }
    }
}

const JSON: &str = "application/json";

/// A refusal on its way.
type Asked<T> = Result<T, Answer>;

fn refused<T>(status: u16, why: impl AsRef<str>) -> Asked<T> {
    Err(Answer::refusal(status, why.as_ref()))
}

/// The controller.
pub struct Core {
    settings: Settings,
    nodes: BTreeMap<String, Record>,
    releases: HashMap<Digest, Release>,
    rollouts: BTreeMap<u64, Running>,
    tokens: BTreeMap<String, Token>,
    /// Their names, by what is known of them.
    hashes: HashMap<Digest, String>,
    /// When each node was heard of, in the controller's time.
    heard: HashMap<String, u64>,
    last: Option<Audit>,
    writes: Vec<Write>,
    /// Nodes whose wish has changed.
    changed: BTreeSet<String>,
    polls: u64,
}

impl Core {
    /// What was kept, as it was.
    pub fn new(settings: Settings, store: &mut dyn Store, saved: Saved) -> Result<Core, Error> {
        let mut core = Core {
            settings,
            nodes: saved.nodes.into_iter().map(|node| (node.node.id.clone(), node)).collect(),
            releases: saved.releases.into_iter().collect(),
            rollouts: BTreeMap::new(),
            hashes: saved.tokens.iter().map(|t| (t.hash.clone(), t.name.clone())).collect(),
            tokens: saved.tokens.into_iter().map(|token| (token.name.clone(), token)).collect(),
            heard: HashMap::new(),
            last: saved.audit,
            writes: Vec::new(),
            changed: BTreeSet::new(),
            polls: 0,
        };
        for begun in saved.rollouts {
            let (snapshot, journal) = (store.snapshot(begun.id)?, store.journal(begun.id)?);
            core.rollouts.insert(begun.id, Running::replay(begun, snapshot, journal));
        }
        core.forget();
        Ok(core)
    }

    /// The latest time that was written down.
    pub fn latest(&self) -> u64 {
        self.rollouts.values().map(Running::latest).max().unwrap_or(0)
    }

    /// Without an operator nobody could do anything: the first one's token, once.
    pub fn first_token(&mut self, chance: &[u8; 24], now: Now) -> Option<String> {
        if self.tokens.values().any(|token| token.role == Role::Admin) {
            return None;
        }
        Some(self.give("admin", Role::Admin, chance, "controller", now))
    }

    /// A new token for this name.
    fn give(&mut self, name: &str, role: Role, chance: &[u8; 24], by: &str, now: Now) -> String {
        let text = hex(chance);
        self.admit(name, role, Digest::of_bytes(text.as_bytes()), by, now);
        text
    }

    /// Whoever has what this is the digest of is this name.
    fn admit(&mut self, name: &str, role: Role, hash: Digest, by: &str, now: Now) {
        let token = Token { name: name.into(), role, hash };
        self.hashes.insert(token.hash.clone(), name.into());
        self.tokens.insert(name.into(), token.clone());
        self.writes.push(Write::Token(token));
        self.note(by, format!("gave a token for {role:?} to {name}"), now);
    }

    /// What must last, in its order.
    pub fn writes(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.writes)
    }

    /// Nodes that are to be asked about again.
    pub fn changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// A line of the audit log.
    fn note(&mut self, who: &str, what: String, now: Now) {
        let (seq, before) = match &self.last {
            Some(last) => (last.seq + 1, Some(last.digest())),
            None => (1, None),
        };
        let line = Audit { seq, at: now.wall, who: who.into(), what, before };
        self.last = Some(line.clone());
        self.writes.push(Write::Audit(line));
    }

    /// Takes a request.
    pub fn ask(&mut self, request: &Request, store: &mut dyn Store, now: Now) -> Outcome {
        let asked = self.route(request, store, now);
        asked.unwrap_or_else(Outcome::Answer)
    }

    fn route(&mut self, request: &Request, store: &mut dyn Store, now: Now) -> Asked<Outcome> {
        let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        let answer = match (request.method.as_str(), path.as_slice()) {
            ("POST", ["v1", "desired"]) => return self.poll(request, now),
            ("POST", ["v1", "enrol"]) => self.enrol(request, now)?,
            ("GET", ["healthz" | "readyz"]) => Answer::text("ok\n"),
            ("GET", [""]) => {
                self.who(request, Role::Viewer)?;
                self.page(now)
            }
            ("GET", ["metrics"]) => {
                self.who(request, Role::Viewer)?;
                self.metrics(now)
            }
            ("POST", ["v1", "plan"]) => return self.plan(request),
            ("POST", ["v1", "rollouts"]) => return self.apply(request, now),
            ("GET", ["v1", "rollouts"]) => self.list(request)?,
            ("GET", ["v1", "rollouts", id]) => self.status(request, id)?,
            ("POST", ["v1", "rollouts", id, verb]) => self.operate(request, id, verb, now)?,
            ("GET", ["v1", "blobs", digest]) => return self.blob(request, digest),
            ("GET", ["v1", "nodes"]) => self.inventory(request, now)?,
            ("GET", ["v1", "tokens"]) => self.list_tokens(request)?,
            ("POST", ["v1", "tokens"]) => self.give_token(request, now)?,
            ("DELETE", ["v1", "tokens", name]) => self.revoke(request, name, now)?,
            ("GET", ["v1", "audit"]) => {
                self.who(request, Role::Viewer)?;
                let after = request.query.get("after").and_then(|after| after.parse().ok());
                match store.audit(after.unwrap_or(0), 1000) {
                    Ok(lines) => Answer::json(&lines),
                    Err(error) => return refused(503, error.to_string()),
                }
            }
            _ => return refused(404, "there is nothing here"),
        };
        Ok(Outcome::Answer(answer))
    }

    /// The token that came with a request, if it is one.
    fn token(&self, request: &Request) -> Option<&Token> {
        let hash = Digest::of_bytes(request.token.as_ref()?.as_bytes());
        self.tokens.get(self.hashes.get(&hash)?)
    }

    /// Who asks, if they may.
    fn who(&self, request: &Request, least: Role) -> Asked<String> {
        match self.token(request) {
            Some(token) if token.role >= least => Ok(token.name.clone()),
            Some(token) => refused(403, format!("{} may not do this", token.name)),
            None => refused(401, "an operator's token is needed"),
        }
    }

    /// Whether a node is who it says.
    fn is_node(&self, request: &Request, node: &str) -> bool {
        if self.settings.enrol == Enrol::Open {
            return true;
        }
        let named = self.token(request).filter(|token| token.role == Role::Node);
        if named.is_some_and(|token| token.name.strip_prefix("node:") == Some(node)) {
            return true;
        }
        // A certificate names the node as it would a host.
        let certificate = request.certificate.as_ref();
        certificate.is_some_and(|certificate| {
            let parsed = rustls::server::ParsedCertificate::try_from(certificate);
            let name = ServerName::try_from(node);
            matches!((parsed, name), (Ok(parsed), Ok(name)) if
                rustls::client::verify_server_name(&parsed, &name).is_ok())
        })
    }

    /// A release that is known, by its name.
    fn wanted(&self, digest: &Digest) -> Option<Wanted> {
        let release = self.releases.get(digest)?;
        Some(Wanted {
            name: release.name.clone(),
            version: release.version.clone(),
            digest: Some(digest.clone()),
        })
    }

    fn read<'r, T: serde::Deserialize<'r>>(request: &'r Request) -> Asked<T> {
        serde_json::from_slice(&request.body)
            .or_else(|error| refused(400, format!("this cannot be read: {error}")))
    }
}
