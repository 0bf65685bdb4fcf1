//! `release.toml`: what may run.

use std::path::{Path, PathBuf};

use pilotlight_config::typed::{At, Refusal, Size, Whole, tables};
use serde::{Deserialize, Serialize};

use super::{From, Parsed, kind, listed, or};
use crate::version::Needs;

/// What may run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Only rises: a node that has committed one takes none with a lower.
    pub epoch: u64,
    /// The gateway's manifest.
    pub gateway: PathBuf,
    /// What the gateway must be.
    pub needs: Option<Needs>,
    /// Bytes that must be free on a node.
    pub free_disk: u64,
    /// Tests of filters, or folders of them.
    pub tests: Vec<PathBuf>,
    /// Names of secrets; the nodes have the values.
    pub secrets: Vec<String>,
    /// Whether the gateway is started anew for it.
    pub restart: bool,
}

tables! {
    /// What may run.
    struct Typed needs [kind, name, version, gateway] {
        /// "release"
        kind: String,
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// A node that has committed a release takes none with a lower epoch. Default 0.
        epoch: Whole,
        /// The gateway's manifest, with all that it refers to.
        gateway: String,
        /// What a node must have.
        needs: TypedNeeds,
        /// Tests of filters: files or folders.
        tests: Vec<At<String>>,
        /// Names of secrets; the nodes have the values.
        secrets: Vec<At<String>>,
        /// Whether nodes start their gateway anew for it; else it is told to load it. Default false.
        restart: bool,
    }

    /// What a node must have.
    struct TypedNeeds {
        /// The gateway's version: ">=0.1".
        gateway: String,
        /// Free on the node's disk.
        free_disk: Size,
    }
}

impl Release {
    /// Reads `release.toml`.
    pub fn parse(text: &str, file: &Path, from: From<'_>) -> Parsed<Release> {
        let (typed, mut scene) = from.open::<Typed>(text, file)?;
        kind(typed.kind.as_ref(), "release", &mut scene);
        for (name, noun) in [(&typed.name, "release"), (&typed.version, "version")] {
            if let Some(name) = name {
                scene.name(name, noun);
            }
        }
        let needs = typed.needs.map(|needs| needs.value).unwrap_or_default();
        let version = needs.gateway.and_then(|text| {
            let needs = Needs::parse(&text);
            let refuse = || {
                Refusal::new(
                    format!("{:?} is no range of versions", text.value),
                    "such as \">=0.1\" or \">=0.1, <2\"",
                )
            };
            scene.accept(&text.place, needs.ok_or_else(refuse))
        });
        let gateway = typed.gateway.map(|path| scene.file(&path, "the gateway's manifest"));
        let tests = listed(typed.tests).iter().map(|path| scene.path(path)).collect();
        let release = Release {
            name: typed.name.map(|name| name.value).unwrap_or_default(),
            version: typed.version.map(|version| version.value).unwrap_or_default(),
            epoch: typed.epoch.map_or(0, |epoch| epoch.value.0),
            gateway: gateway.unwrap_or_default(),
            needs: version,
            free_disk: or(needs.free_disk, Size(0)).0,
            tests,
            secrets: listed(typed.secrets),
            restart: or(typed.restart, false),
        };
        scene.finish(release)
    }
}
