//! `pack`: from manifests and files to one signed release, and blobs by their digests.

mod gather;
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pilotlight_content::{Destination as _, Directory};
use pilotlight_fleet::label::Value;
use pilotlight_fleet::manifest::{self, Fleet};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{self, File, PrivateKey, Release};

use crate::{FAILED, REFUSED, flags, gateway, manifests, print};
use gather::{Gathered, Refused};

pub(crate) fn pack(flags: &flags::Pack) -> ExitCode {
    match packed(flags) {
        Ok(said) => {
            print(&said);
            ExitCode::SUCCESS
        }
        Err(Stop::Said(code)) => code,
        Err(Stop::Refused(why)) => refuse(&why, REFUSED),
        Err(Stop::Failed(why)) => refuse(&why, FAILED),
    }
}

fn refuse(why: &str, code: u8) -> ExitCode {
    eprintln!("edge-deploy: {why}");
    ExitCode::from(code)
}

/// Why nothing was packed.
enum Stop {
    /// It has been said.
    Said(ExitCode),
    /// What was given will not do.
    Refused(String),
    /// Something failed.
    Failed(String),
}

fn packed(flags: &flags::Pack) -> Result<String, Stop> {
    let typed = manifests::read(manifest::Release::parse, &flags.release).map_err(Stop::Said)?;
    let folder = std::path::absolute(&flags.release).unwrap_or_else(|_| flags.release.clone());
    let folder = folder.parent().unwrap_or(Path::new("/"));
    let keys = keys(&flags.keys)?;
    let vars = vars(flags.fleet.as_deref(), folder)?;

    let gathered = gather::gather(&typed, folder, &vars).map_err(|refused| match refused {
        Refused::Manifest(report) => {
            manifests::say(&report);
            Stop::Said(ExitCode::from(REFUSED))
        }
        Refused::Other(why) => Stop::Refused(why),
    })?;
    manifests::say(&gathered.warnings);
    let release = release(&typed, folder, &gathered)?;
    let signed = release.sign(&keys).map_err(|refused| Stop::Refused(refused.to_string()))?;

    if !release.tests.is_empty() {
        let missing = gathered
            .references
            .iter()
            .find(|(kind, name)| kind == "fleet" && !vars.contains_key(name));
        if let Some((_, name)) = missing {
            return Err(Stop::Refused(format!(
                "the tests need a value for ${{fleet:{name}}}\nhint: vars = {{ {name} = ... }} in fleet.toml beside the release, or --fleet FILE"
            )));
        }
        let gateway = gateway::find(flags.gateway.as_deref()).map_err(Stop::Refused)?;
        tests::run(&release, &gathered.files, &vars, &gateway).map_err(Stop::Failed)?;
    }
    write(&release, &signed, &gathered.files, &flags.output)
}

fn keys(files: &[PathBuf]) -> Result<Vec<PrivateKey>, Stop> {
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file)
            .map_err(|error| Stop::Refused(format!("cannot read {}: {error}", file.display())))?;
        PrivateKey::parse(&text).ok_or_else(|| {
            Stop::Refused(format!("{} is no private key of `edge-deploy keys new`", file.display()))
        })
    };
    files.iter().map(read).collect()
}

/// What the fleet's manifest says of all nodes; where it says it of some only, what the first of them have.
fn vars(file: Option<&Path>, folder: &Path) -> Result<BTreeMap<String, String>, Stop> {
    let beside = folder.join("fleet.toml");
    let file = match file {
        Some(file) => file,
        None if beside.exists() => &beside,
        None => return Ok(BTreeMap::new()),
    };
    let fleet = manifests::read(Fleet::parse, file).map_err(Stop::Said)?;
    let groups = fleet.groups.iter().map(|group| &group.vars);
    let nodes = fleet.nodes.values().map(|node| &node.vars);
    let mut vars = BTreeMap::new();
    for (name, value) in std::iter::once(&fleet.vars).chain(groups).chain(nodes).flatten() {
        vars.entry(name.clone()).or_insert_with(|| plain(value));
    }
    Ok(vars)
}

/// A value as it stands in a manifest.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => other.to_string(),
    }
}

fn release(typed: &manifest::Release, folder: &Path, gathered: &Gathered) -> Result<Release, Stop> {
    for (kind, name) in &gathered.references {
        if kind.starts_with("secret") && !typed.secrets.contains(name) {
            return Err(Stop::Refused(format!(
                "${{{kind}:{name}}} is no secret of this release\nhint: secrets = [\"{name}\"] in release.toml"
            )));
        }
    }
    let mut files = BTreeMap::new();
    for (name, path) in &gathered.files {
        let failed = |error| Stop::Failed(format!("cannot read {}: {error}", path.display()));
        let bytes = fs::read(path).map_err(failed)?;
        if bytes.windows(PRIVATE.len()).any(|part| part == PRIVATE) {
            return Err(Stop::Refused(format!(
                "{name} is a private key: what is secret stays on the nodes\nhint: secrets = [\"NAME\"] in release.toml, \"${{secret-file:NAME}}\" in place of the path"
            )));
        }
        let program = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o100 != 0;
        let size = bytes.len() as u64;
        files.insert(name.clone(), File { digest: Digest::of_bytes(&bytes), size, program });
    }
    let within = |path: &PathBuf| {
        let inner = path.strip_prefix(folder).ok().and_then(Path::to_str);
        inner.map(str::to_owned).ok_or_else(|| {
            Stop::Refused(format!("{} is outside of the release's folder", path.display()))
        })
    };
    Ok(Release {
        name: typed.name.clone(),
        version: typed.version.clone(),
        epoch: typed.epoch,
        gateway: gathered.gateway.clone(),
        needs: typed.needs.clone(),
        free_disk: typed.free_disk,
        tests: typed.tests.iter().map(within).collect::<Result<_, _>>()?,
        secrets: typed.secrets.clone(),
        render: gathered.render.clone(),
        files,
    })
}

/// Stands in the first line of every private key in PEM.
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

fn write(
    release: &Release,
    signed: &[u8],
    files: &BTreeMap<String, PathBuf>,
    output: &Path,
) -> Result<String, Stop> {
    let failed = |error: pilotlight_content::Error| Stop::Failed(error.to_string());
    let to = Directory::new(output);
    let mut new = 0;
    for (name, path) in files {
        let Some(file) = release.files.get(name) else { continue };
        if !to.has(&file.digest).map_err(failed)? {
            let opened = fs::File::open(path);
            let mut content =
                opened.map_err(|e| Stop::Failed(format!("{}: {e}", path.display())))?;
            to.put_blob(&file.digest, file.size, &mut content).map_err(failed)?;
            new += 1;
        }
    }
    let digest = release::digest(signed).unwrap_or_default();
    to.put_release(release, &digest, signed).map_err(failed)?;
    let bytes: u64 = release.blobs().values().sum();
    Ok(format!(
        "{}@{} {digest}: {} files, {} bytes, {new} new\n",
        release.name,
        release.version,
        files.len(),
        bytes + signed.len() as u64,
    ))
}
