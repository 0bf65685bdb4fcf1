//! `pack`: from manifests and files to one signed release, and blobs by their digests.

mod compile;
mod folder;
mod gather;
mod tests;
mod ways;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pilotlight_content::{Destination as _, Directory, Source as _};
use pilotlight_fleet::label::Value;
use pilotlight_fleet::manifest::{self, Fleet};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{self, File, Release};
use pilotlight_fleet::version::Needs;

use crate::clock::Clock;
use crate::end::{Stop, end};
use crate::{REFUSED, flags, gateway, keys, manifests};
use folder::Folder;
use gather::{Gathered, Refused};

pub(crate) fn pack(flags: &flags::Pack) -> ExitCode {
    end(packed(flags))
}

fn packed(flags: &flags::Pack) -> Result<String, Stop> {
    let typed = manifests::read(manifest::Release::parse, &flags.release).map_err(Stop::Said)?;
    let folder = std::path::absolute(&flags.release).unwrap_or_else(|_| flags.release.clone());
    let folder = folder.parent().unwrap_or(Path::new("/"));
    let keys = keys::private(&flags.keys)?;
    let vars = vars(flags.fleet.as_deref(), folder)?;

    let compiles = !flags.targets.is_empty();
    let gathered = gather::gather(&typed, folder, &vars, compiles);
    let gathered = gathered.map_err(|refused| match refused {
        Refused::Manifest(report) => {
            manifests::say(&report);
            Stop::Said(ExitCode::from(REFUSED))
        }
        Refused::Other(why) => Stop::Refused(why),
    })?;
    manifests::say(&gathered.warnings);
    if compiles && gathered.compiled.is_empty() {
        return Err(Stop::Refused(
            "--target has nothing to compile\nhint: name modules/x.cwasm in the gateway's manifest, and lay modules/x.wasm beside it"
                .into(),
        ));
    }
    let mut release = release(&typed, folder, &gathered)?;
    let scratch = Folder::new("pack").map_err(Stop::Failed)?;
    let mut places = places(&release.files, &gathered.files);
    for target in &flags.targets {
        let gateway = gateway::find(flags.gateway.as_deref()).map_err(Stop::Refused)?;
        let made = compile::compile(&gathered.compiled, Some(target), &gateway, &scratch);
        let made = made.map_err(Stop::Failed)?;
        let mut files = BTreeMap::new();
        for (name, path) in &made {
            files.insert(name.clone(), file(path)?.0);
        }
        places.extend(self::places(&files, &made));
        release.targets.insert(target.clone(), files);
    }
    if compiles {
        release.needs = Some(needs(release.needs.as_ref(), flags)?);
    }
    test(&release, &gathered, &vars, flags, &scratch)?;
    let there = Directory::new(&flags.output);
    let packed = ways::add(&mut release, &places, &there, &flags.bases).map_err(Stop::Refused)?;
    // Builds that are to be the same everywhere say when they are.
    let said = manifests::env("SOURCE_DATE_EPOCH").and_then(|text| text.parse::<i64>().ok());
    let now = Clock::wall();
    let time = said.unwrap_or(now);
    if time > now.saturating_add(DAY) {
        return Err(Stop::Refused(format!("SOURCE_DATE_EPOCH: {time} is yet to come")));
    }
    let unfit = |refused: release::Refused| Stop::Refused(refused.to_string());
    let signed = release.sign_at(&keys, time).map_err(unfit)?;
    // Who has signed it before goes on having signed it.
    let signed = match there.release(&release.name, &release.version) {
        Ok(old) if release::digest(&old) == release::digest(&signed) => {
            release::countersign(&old, &keys, time).map_err(unfit)?
        }
        _ => signed,
    };
    write(&release, &signed, (&places, &packed), &there)
}

/// Where contents are read.
fn places(
    of: &BTreeMap<String, File>,
    files: &BTreeMap<String, PathBuf>,
) -> BTreeMap<Digest, PathBuf> {
    let place =
        |(name, file): (&String, &File)| Some((file.digest.clone(), files.get(name)?.clone()));
    of.iter().filter_map(place).collect()
}

/// Machine code is of one version of the gateway.
fn needs(typed: Option<&Needs>, flags: &flags::Pack) -> Result<Needs, Stop> {
    let gateway = gateway::find(flags.gateway.as_deref()).map_err(Stop::Refused)?;
    let version = gateway::version(&gateway);
    let text = match (typed, version) {
        (_, None) => None,
        (None, Some(version)) => Some(format!("={version}")),
        (Some(typed), Some(version)) => Some(format!("{typed}, ={version}")),
    };
    let needs = text.as_deref().and_then(Needs::parse);
    needs.ok_or_else(|| Stop::Failed(format!("{} does not say its version", gateway.display())))
}

/// Runs the tests of a release, if it has any.
fn test(
    release: &Release,
    gathered: &Gathered,
    vars: &BTreeMap<String, String>,
    flags: &flags::Pack,
    scratch: &Folder,
) -> Result<(), Stop> {
    if release.tests.is_empty() {
        return Ok(());
    }
    let missing =
        gathered.references.iter().find(|(kind, name)| kind == "fleet" && !vars.contains_key(name));
    if let Some((_, name)) = missing {
        return Err(Stop::Refused(format!(
            "the tests need a value for ${{fleet:{name}}}\nhint: vars = {{ {name} = ... }} in fleet.toml beside the release, or --fleet FILE"
        )));
    }
    let gateway = gateway::find(flags.gateway.as_deref()).map_err(Stop::Refused)?;
    let mut files = gathered.files.clone();
    // Here they run on this machine.
    let made = compile::compile(&gathered.compiled, None, &gateway, scratch);
    files.extend(made.map_err(Stop::Failed)?);
    tests::run(release, &files, vars, &gateway).map_err(Stop::Failed)
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
        let (file, is_secret) = file(path)?;
        if is_secret {
            return Err(Stop::Refused(format!(
                "{name} is a private key: what is secret stays on the nodes\nhint: secrets = [\"NAME\"] in release.toml, \"${{secret-file:NAME}}\" in place of the path"
            )));
        }
        files.insert(name.clone(), file);
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
        restart: typed.restart,
        files,
        ..Release::default()
    })
}

/// A builder's clock may be that much behind another one's, in seconds.
const DAY: i64 = 86_400;
/// Stands in the first line of every private key in PEM.
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// A file as a release has it, and whether it is a private key.
fn file(path: &Path) -> Result<(File, bool), Stop> {
    let failed = |error| Stop::Failed(format!("cannot read {}: {error}", path.display()));
    let bytes = fs::read(path).map_err(failed)?;
    let program = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o100 != 0;
    let file = File { digest: Digest::of_bytes(&bytes), size: bytes.len() as u64, program };
    Ok((file, bytes.windows(PRIVATE.len()).any(|part| part == PRIVATE)))
}

fn write(
    release: &Release,
    signed: &[u8],
    (places, packed): (&BTreeMap<Digest, PathBuf>, &ways::Blobs),
    to: &Directory,
) -> Result<String, Stop> {
    let failed = |error: pilotlight_content::Error| Stop::Failed(error.to_string());
    let mut new = 0;
    for (blob, size) in release.blobs() {
        if to.has(blob).map_err(failed)? {
            continue;
        }
        new += 1;
        if let Some(bytes) = packed.get(blob) {
            to.put_blob(blob, size, &mut &**bytes).map_err(failed)?;
        } else if let Some(path) = places.get(blob) {
            let opened = fs::File::open(path);
            let mut content =
                opened.map_err(|e| Stop::Failed(format!("{}: {e}", path.display())))?;
            to.put_blob(blob, size, &mut content).map_err(failed)?;
        }
    }
    let digest = release::digest(signed).unwrap_or_default();
    to.put_release(release, &digest, signed).map_err(failed)?;
    let files = release.targets.values().fold(release.files.len(), |sum, files| sum + files.len());
    let bytes: u64 = release.blobs().values().sum();
    Ok(format!(
        "{}@{} {digest}: {files} files, {} bytes, {new} new\n",
        release.name,
        release.version,
        bytes + signed.len() as u64,
    ))
}
