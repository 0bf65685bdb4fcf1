//! `controller.toml`: what `serve` reads.

use std::path::{Path, PathBuf};

use pilotlight_config::typed::{At, tables, words};
use serde::{Deserialize, Serialize};

use super::{From, Parsed, kind, listed, or};

/// A controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Controller {
    /// Where it listens.
    pub address: String,
    /// Where others reach it.
    pub url: Option<String>,
    /// Certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Authorities of nodes' certificates.
    pub clients: Option<PathBuf>,
    /// "sqlite:FILE" or "postgres://...".
    pub store: String,
    /// Where content lies.
    pub sources: Vec<String>,
    /// Files of public keys.
    pub trust: Vec<PathBuf>,
    /// The fleet's manifest.
    pub fleet: Option<PathBuf>,
    /// Who is admitted.
    pub enrol: Enrol,
}

/// Which nodes are admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enrol {
    /// Those with a token or a certificate.
    Token,
    /// Any: trials on one machine.
    Open,
}

words! {
    Enrol, "an enrolment" = ["token" => Enrol::Token, "open" => Enrol::Open], later [];
}

tables! {
    /// What `serve` reads.
    struct Typed needs [kind] {
        /// "controller"
        kind: String,
        /// Where it listens. Default "[::]:9443".
        address: String,
        /// Where nodes and operators reach it: what a controller that stands by tells them. Default: the address.
        url: String,
        /// Its certificate.
        tls: Tls,
        /// "sqlite:FILE" (default "sqlite:controller.db") or "postgres://...".
        store: String,
        /// "oci://...", "https://..." or a folder.
        sources: Vec<At<String>>,
        /// Files of public keys, or one root; what follows from it is looked for at the start.
        trust: Vec<At<String>>,
        /// The fleet's manifest.
        fleet: String,
        /// Which nodes are admitted: "token" (default), or "open" for any.
        enrol: Enrol,
    }

    /// A certificate with its key.
    struct Tls needs [certificate, key] {
        /// PEM file: the certificate, then its chain.
        certificate: String,
        /// PEM file: the private key.
        key: String,
        /// PEM file: authorities whose certificates say who a node is.
        clients: String,
    }
}

impl Controller {
    /// Reads `controller.toml`.
    pub fn parse(text: &str, file: &Path, from: From<'_>) -> Parsed<Controller> {
        let (typed, mut scene) = from.open::<Typed>(text, file)?;
        kind(typed.kind.as_ref(), "controller", &mut scene);
        if let Some(store) = &typed.store {
            let known = ["sqlite:", "postgres://", "postgresql://"];
            if !known.iter().any(|scheme| store.starts_with(scheme)) {
                // It may hold a password, so it is not shown.
                let hint = "\"sqlite:controller.db\" or \"postgres://...\"".to_owned();
                scene.error(&store.place, "this is not the URL of a store", Some(hint));
            }
        }
        let mut clients = None;
        let tls = typed.tls.and_then(|tls| {
            let tls = tls.value;
            clients = tls.clients.map(|path| scene.file(&path, "the authorities"));
            let certificate = scene.file(&tls.certificate?, "the certificate");
            Some((certificate, scene.file(&tls.key?, "the key")))
        });
        let trust = listed(typed.trust);
        let controller = Controller {
            address: or(typed.address, "[::]:9443".into()),
            url: typed.url.map(|url| url.value),
            tls,
            clients,
            store: or(typed.store, "sqlite:controller.db".into()),
            sources: listed(typed.sources),
            trust: trust.iter().map(|path| scene.path(path)).collect(),
            fleet: typed.fleet.map(|path| scene.file(&path, "the fleet's manifest")),
            enrol: or(typed.enrol, Enrol::Token),
        };
        scene.finish(controller)
    }
}
