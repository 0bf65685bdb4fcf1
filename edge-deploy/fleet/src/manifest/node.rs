//! `node.toml`: on the node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pilotlight_config::typed::row::{Row, bytes, count, time};
use pilotlight_config::typed::{At, Named, Size, Whole, tables, words};
use serde::{Deserialize, Serialize};

use super::rollout::typed::Windows as TypedWindows;
use super::{From, Parsed, Scalar, kind, listed, named, or};
use crate::label::{Labels, Value};
use crate::window::{Windows, Zone, zone};

/// What an agent is told of its node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub id: String,
    /// What is known of it.
    pub labels: Labels,
    /// Controllers; the first that answers.
    pub controllers: Vec<String>,
    /// Where content comes from; the first that has it.
    pub sources: Vec<String>,
    /// Files of public keys, or one root.
    pub trust: Vec<PathBuf>,
    /// So many of the keys must have signed.
    pub threshold: usize,
    /// Authorities that sources are known by, in place of the system's.
    pub ca: Option<PathBuf>,
    /// Credentials for sources, as container tools keep them.
    pub credentials: Option<PathBuf>,
    /// A token that admits it to the fleet, once.
    pub token: Option<PathBuf>,
    /// A certificate with its key, by which controllers know it.
    pub identity: Option<PathBuf>,
    /// What should run, where no controller says it.
    pub desired: PathBuf,
    /// Files with secrets, by their names.
    pub secrets: PathBuf,
    /// Where releases are kept.
    pub dir: PathBuf,
    /// So many of them.
    pub keep: usize,
    /// Bytes of the disk that stay free.
    pub reserve: u64,
    /// Bytes a second that are fetched at most.
    pub rate: Option<u64>,
    /// How often what runs is compared with what was laid out.
    pub check: Duration,
    /// When it may switch; at any time if nothing is said.
    pub windows: Option<Windows>,
    /// For which machine code must be made; what the gateway says if nothing is said.
    pub target: Option<String>,
    /// The gateway's admin interface.
    pub admin: Option<String>,
    /// The gateway's program.
    pub program: Option<PathBuf>,
    /// What is too much for a new release.
    pub safety: Safety,
}

/// What is too much for a new release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Safety {
    /// Exits of the gateway...
    pub exits: u64,
    /// ...within this time.
    pub within: Duration,
    /// Who must be reached.
    pub confirm: Confirm,
    /// Within this time.
    pub confirm_in: Duration,
    /// An agent that is gone for so long in a probation has ended it.
    pub silence: Duration,
    /// The gateway's manifest for when what has proved itself crashes, too.
    pub fallback: Option<PathBuf>,
}

/// Who must be reached through a new release before it may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confirm {
    /// Nobody.
    Local,
    /// The controller, if it was reached in the hour before.
    ControllerIfWasOnline,
    /// The controller.
    Controller,
}

words! {
    Confirm, "a confirmation" = [
        "local" => Confirm::Local, "controller-if-was-online" => Confirm::ControllerIfWasOnline,
        "controller" => Confirm::Controller,
    ], later [];
}

tables! {
    /// On the node.
    struct Typed needs [kind, id] {
        /// "node"
        kind: String,
        /// Its name, which no other node has.
        id: String,
        /// What selectors may ask.
        labels: Named<Scalar>,
        /// "https://..."; the first that answers.
        controllers: Vec<At<String>>,
        /// "oci://...", "https://..." or a folder; the first that has it.
        sources: Vec<At<String>>,
        /// Files of public keys; or one root, which says itself who signs, now and later.
        trust: Vec<At<String>>,
        /// So many of these keys must have signed. Default 1. A root has its own.
        threshold: Whole,
        /// Certificates in PEM that sources are known by, in place of the system's.
        ca: String,
        /// Credentials for sources, as Docker and Podman keep them (`config.json`).
        credentials: String,
        /// A file with a token that admits it to the fleet; it gets one of its own for it.
        token: String,
        /// PEM file: a certificate whose name is the node's, and its key, by which controllers know it.
        identity: String,
        /// What should run (JSON), where there is no controller. Default "desired.json".
        desired: String,
        /// A folder of secrets: files by their names. Default "secrets".
        secrets: String,
        /// Where releases are kept.
        store: Store,
        /// When this node may switch, whatever a rollout allows. The way back needs no window. Default: at any time.
        windows: TypedWindows,
        /// The gateway on this node.
        gateway: Gateway,
        /// What is too much for a new release.
        safety: TypedSafety,
    }

    /// Where releases are kept.
    struct Store {
        /// The folder. Default "state".
        dir: String,
        /// So many releases. Default 3, at least 2.
        keep: Whole,
        /// What of the disk stays free. Default "64MiB".
        reserve: Size,
        /// So much is fetched in a second, at most.
        rate: Size,
        /// How often the files that run are compared with what was laid out, and put back. Default "10m".
        check: Duration,
    }

    /// The gateway on this node.
    struct Gateway {
        /// Its admin interface. Default "unix:run/admin.sock".
        admin: String,
        /// Its program. Default: `pilotlight` beside `edge-deploy`, or on PATH.
        program: String,
        /// For which machine code of modules is made, as `pack --target` has it. Default: what the program says.
        target: String,
    }

    /// What is too much for a new release.
    struct TypedSafety {
        /// So many exits of the gateway... Default 3.
        exits: Whole,
        /// ...within this time. Default "60s".
        within: Duration,
        /// Who must be reached through a new release. Default "controller-if-was-online".
        confirm: Confirm,
        /// Within this time. Default "3m".
        confirm_in: Duration,
        /// Without an agent for so long, the launcher ends a probation. Default "30s".
        silence: Duration,
        /// A manifest that the launcher runs for a while when what had proved itself crashes, too: pages that say so, or
        /// plain forwarding. Default: none, it is started again and again.
        fallback: String,
    }
}

const KEEP: Row = count("keep", 3, 2, 100);
const THRESHOLD: Row = count("threshold", 1, 1, 16);
const RATE: Row = bytes("rate", 1 << 40, 1024, 1 << 40);
const RESERVE: Row = bytes("reserve", 64 << 20, 0, 1 << 40);
const CHECK: Row = time("check", 600_000, 1_000, 24 * 3_600_000);
const EXITS: Row = count("exits", 3, 1, 100);
const WITHIN: Row = time("within", 60_000, 1_000, 3_600_000);
const SILENCE: Row = time("silence", 30_000, 1_000, 3_600_000);
const CONFIRM_IN: Row = time("confirm_in", 180_000, 1_000, 24 * 3_600_000);

impl Node {
    /// Reads `node.toml`.
    pub fn parse(text: &str, file: &Path, from: From<'_>) -> Parsed<Node> {
        let (typed, mut scene) = from.open::<Typed>(text, file)?;
        kind(typed.kind.as_ref(), "node", &mut scene);
        if let Some(id) = &typed.id {
            scene.name(id, "node");
        }
        for url in typed.controllers.iter().flat_map(|list| list.iter()) {
            if !url.starts_with("https://") && !url.starts_with("http://") {
                let hint = "such as \"https://fleet.example\"".to_owned();
                scene.error(&url.place, "this is not the URL of a controller", Some(hint));
            }
        }
        let store = typed.store.map(|store| store.value).unwrap_or_default();
        let safety = typed.safety.map(|safety| safety.value).unwrap_or_default();
        let trust = listed(typed.trust).iter().map(|path| scene.path(path)).collect();
        let gateway = typed.gateway.map(|gateway| gateway.value).unwrap_or_default();
        let labels = named(typed.labels, |value| value.0);
        let windows = typed.windows.and_then(|windows| {
            let meant = windows.value.meant(&mut scene)?;
            let site = local(meant, &labels);
            if site.is_none() {
                let hint = "a label `tz`, or an IANA name such as \"Europe/Berlin\"".to_owned();
                scene.error(&windows.place, "this node does not say whose time it has", Some(hint));
            }
            site
        });
        let node = Node {
            id: typed.id.map(|id| id.value).unwrap_or_default(),
            labels,
            controllers: listed(typed.controllers),
            sources: listed(typed.sources),
            trust,
            threshold: scene.usize(typed.threshold.as_ref(), &THRESHOLD),
            ca: typed.ca.map(|path| scene.file(&path, "the authorities")),
            credentials: typed.credentials.map(|path| scene.file(&path, "the credentials")),
            token: typed.token.map(|path| scene.path(&path)),
            identity: typed.identity.map(|path| scene.file(&path, "the identity")),
            desired: scene.path(&or(typed.desired, "desired.json".into())),
            secrets: scene.path(&or(typed.secrets, "secrets".into())),
            dir: scene.path(&or(store.dir, "state".into())),
            keep: scene.usize(store.keep.as_ref(), &KEEP),
            reserve: scene.size(store.reserve.as_ref(), &RESERVE),
            rate: store.rate.as_ref().map(|rate| scene.size(Some(rate), &RATE)),
            check: scene.time(store.check.as_ref(), &CHECK),
            windows,
            target: gateway.target.map(|target| target.value),
            admin: gateway.admin.map(|admin| admin.value),
            program: gateway.program.map(|path| scene.path(&path)),
            safety: Safety {
                exits: scene.whole(safety.exits.as_ref(), &EXITS),
                within: scene.time(safety.within.as_ref(), &WITHIN),
                confirm: or(safety.confirm, Confirm::ControllerIfWasOnline),
                confirm_in: scene.time(safety.confirm_in.as_ref(), &CONFIRM_IN),
                silence: scene.time(safety.silence.as_ref(), &SILENCE),
                fallback: safety.fallback.map(|path| scene.file(&path, "the fallback")),
            },
        };
        scene.finish(node)
    }
}

/// A node's own windows are in the time of its site, which it knows.
fn local(windows: Windows, labels: &Labels) -> Option<Windows> {
    let named = match (&windows.zone, labels.get("tz")) {
        (Zone::Named(name), _) | (Zone::Site, Some(Value::Text(name))) => name.clone(),
        (Zone::Site, _) => return None,
    };
    zone(&named)?;
    Some(Windows { zone: Zone::Named(named), ..windows })
}
