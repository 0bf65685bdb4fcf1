//! The node's side: an agent that brings releases there, and a launcher that starts the gateway, as two
//! processes that meet in the pointer only.

mod admin;
mod agent;
mod disk;
mod launcher;
mod line;
mod links;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pilotlight_agent::Settings;
use pilotlight_fleet::manifest::Node;
use pilotlight_fleet::release::{PublicKey, Trust};

use crate::{REFUSED, manifests};

pub(crate) use agent::agent;
pub(crate) use launcher::launch;

fn read(file: &Path) -> Result<Node, ExitCode> {
    manifests::read(Node::parse, file)
}

/// What an agent is told of its node.
fn settings(node: &Node) -> Result<Settings, String> {
    let trust = trust(&node.trust, node.threshold, "node.toml")?;
    let (safety, keep, reserve) = (node.safety.clone(), node.keep, node.reserve);
    Ok(Settings { trust, safety, keep, reserve })
}

/// Keys from files, which a manifest names.
pub(crate) fn trust(files: &[PathBuf], threshold: usize, manifest: &str) -> Result<Trust, String> {
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

fn refuse(why: &str) -> ExitCode {
    eprintln!("edge-deploy: {why}");
    ExitCode::from(REFUSED)
}
