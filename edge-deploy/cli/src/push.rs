//! `push`: from a folder that `pack` has written to where nodes find it.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use pilotlight_content::{Account, Directory, Error, Place, Settings, Source as _, push as copy};
use pilotlight_fleet::release::{self, Root};

use crate::clock::Clock;
use crate::end::{Stop, end};
use crate::{flags, manifests};

pub(crate) fn push(flags: &flags::Push) -> ExitCode {
    end(pushed(flags).map_err(|error| match error {
        Error::Refused(why) => Stop::Refused(why),
        other => Stop::Failed(other.to_string()),
    }))
}

fn pushed(flags: &flags::Push) -> Result<String, Error> {
    let from = Directory::new(&flags.from);
    let place = Place::parse(&flags.to, Path::new(""))?;
    let to = place.destination(&settings(flags.ca.as_deref(), None)?)?;
    let mut said = String::new();
    // Before what they let be signed.
    let mut before: Option<Root> = None;
    for version in from.roots()? {
        let signed = from.root(version)?;
        let follows = before.filter(|root| root.version.checked_add(1) == Some(version));
        let counts = follows.map_or_else(|| Root::first(&signed), |root| root.next(&signed));
        let (root, _) = counts.map_err(|refused| {
            Error::Refused(format!(
                "root {version} does not count: {refused}\nhint: edge-deploy keys sign FILE --key KEY, where the other keys are"
            ))
        })?;
        // Under another one's number it would be there for good.
        if root.version != version {
            return Err(Error::Refused(format!("roots/{version} is root {}", root.version)));
        }
        to.put_root(version, &signed)?;
        said.push_str(&format!("root {version}\n"));
        before = Some(root);
    }
    let releases = match from.releases() {
        Err(Error::Absent(_)) if !said.is_empty() => Vec::new(),
        releases => releases?,
    };
    if releases.is_empty() && said.is_empty() {
        return Err(Error::Absent(format!("a release in {}", flags.from.display())));
    }
    for (name, version) in releases {
        let signed = from.release(&name, &version)?;
        let refused = |refused| Error::Refused(format!("{name}@{version}: {refused}"));
        let (release, digest) = release::unverified(&signed).map_err(refused)?;
        let new = copy(&from, &*to, &release, &digest, &signed)?;
        said.push_str(&format!("{name}@{version} {digest}: {new} blobs were new\n"));
    }
    Ok(said)
}

/// Whom to trust, and who we are: a file of certificates, and credentials as container tools keep them.
pub(crate) fn settings(ca: Option<&Path>, credentials: Option<&Path>) -> Result<Settings, Error> {
    let read = |path: &Path| {
        fs::read(path).map_err(|e| Error::Refused(format!("cannot read {}: {e}", path.display())))
    };
    let ca = ca.map(read).transpose()?;
    let settings = Settings { ca, account: account(), ..Settings::default() };
    let usual = match (manifests::env("DOCKER_CONFIG"), manifests::env("HOME")) {
        (Some(folder), _) => Some(Path::new(&folder).join("config.json")),
        (None, Some(home)) => Some(Path::new(&home).join(".docker/config.json")),
        (None, None) => None,
    };
    let path = credentials.map(Path::to_path_buf).or(usual.filter(|path| path.is_file()));
    match path {
        Some(path) => settings.with_docker_config(&String::from_utf8_lossy(&read(&path)?)),
        None => Ok(settings),
    }
}

/// As whom object stores are spoken to, as all of their tools are told.
fn account() -> Option<Account> {
    let env = |name: &str| manifests::env(name).filter(|value| !value.is_empty());
    Some(Account {
        id: env("AWS_ACCESS_KEY_ID")?,
        secret: env("AWS_SECRET_ACCESS_KEY")?,
        session: env("AWS_SESSION_TOKEN"),
        region: env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION")),
        endpoint: env("AWS_ENDPOINT_URL_S3").or_else(|| env("AWS_ENDPOINT_URL")),
        clock: Some(Clock::wall),
    })
}
