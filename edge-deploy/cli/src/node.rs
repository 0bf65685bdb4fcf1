//! The node's side: an agent that brings releases there, and a launcher that starts the gateway, as two
//! processes that meet in the pointer only.

mod admin;
mod agent;
mod disk;
mod launched;
mod launcher;
mod line;
mod links;
mod quarantine;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pilotlight_agent::{Anchor, Settings};
use pilotlight_fleet::manifest::Node;
use pilotlight_fleet::release::{PublicKey, Root, Trust};

use crate::manifests;

pub(crate) use agent::agent;
pub(crate) use launcher::launch;
pub(crate) use quarantine::quarantine;

fn read(file: &Path) -> Result<Node, ExitCode> {
    manifests::read(Node::parse, file)
}

/// What an agent is told of its node.
fn settings(node: &Node) -> Result<Settings, String> {
    Ok(Settings {
        anchor: anchor(&node.trust, node.threshold, "node.toml")?,
        safety: node.safety.clone(),
        keep: node.keep,
        reserve: node.reserve,
        windows: node.windows.clone(),
        check: node.check,
    })
}

/// A root, if that is what a manifest names, or else keys.
pub(crate) fn anchor(
    files: &[PathBuf],
    threshold: usize,
    manifest: &str,
) -> Result<Anchor, String> {
    if let [file] = files {
        let shown = file.display();
        let bytes = std::fs::read(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
        if PublicKey::parse(&String::from_utf8_lossy(&bytes)).is_none() {
            return match Root::first(&bytes) {
                Ok(_) => Ok(Anchor::Root(bytes)),
                Err(why) => Err(format!("{shown} is neither a public key nor a root: {why}")),
            };
        }
    }
    trust(files, threshold, manifest).map(Anchor::Keys)
}

/// Keys from files, which a manifest names.
fn trust(files: &[PathBuf], threshold: usize, manifest: &str) -> Result<Trust, String> {
    let mut keys = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let key = PublicKey::parse(&text);
        keys.push(key.ok_or_else(|| format!("{} is no public key", file.display()))?);
    }
    if keys.is_empty() {
        return Err(format!(
            "nobody is trusted\nhint: trust = [\"keys/release.pub\"] in {manifest}"
        ));
    }
    Ok(Trust { keys, threshold })
}
