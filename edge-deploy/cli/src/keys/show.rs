//! `keys show`: what is in a file of keys, a root or a release, and who has signed it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pilotlight_fleet::release::{self, PrivateKey, PublicKey, Root, Trust, root};
use pilotlight_fleet::window::day;

use super::bytes;
use crate::clock::Clock;
use crate::end::{Stop, end};

/// Shows each file; the roots among them as a chain.
pub(crate) fn show(files: &[PathBuf]) -> ExitCode {
    let mut text = String::new();
    let mut before: Option<Root> = None;
    for file in files {
        match one(file, &mut before) {
            Ok(said) => text.push_str(&said),
            Err(stop) => return end(Err(stop)),
        }
    }
    end(Ok(text))
}

fn one(file: &Path, before: &mut Option<Root>) -> Result<String, Stop> {
    let bytes = bytes(file)?;
    let shown = file.display();
    let text = String::from_utf8_lossy(&bytes);
    if let Some(key) = PublicKey::parse(&text) {
        return Ok(format!("{shown}: public key {} ({})\n", key.id(), key.name()));
    }
    if let Some(key) = PrivateKey::parse(&text) {
        let key = key.public();
        return Ok(format!("{shown}: private key {} ({})\n", key.id(), key.name()));
    }
    let refused = |refused| Stop::Refused(format!("{shown}: {refused}"));
    if let Ok(root) = root::unverified(&bytes) {
        let mut text = format!("{shown}: root {}", root.version);
        if let Some(expires) = root.expires {
            let is_over = if root.is_expired(Clock::wall()) { "expired on" } else { "until" };
            let _ = write!(text, ", {is_over} {}", day(expires));
        }
        text.push('\n');
        role(&mut text, "roots", &root.root);
        role(&mut text, "releases", &root.release);
        signers(&mut text, &bytes)?;
        let counts = match before.as_ref() {
            Some(before) if before.version.saturating_add(1) == root.version => before.next(&bytes),
            _ => Root::first(&bytes),
        };
        let _ = match counts {
            Ok(_) => writeln!(text, "  it counts"),
            Err(refused) => writeln!(text, "  it does not count: {refused}"),
        };
        *before = Some(root);
        return Ok(text);
    }
    let (release, digest) = release::unverified(&bytes).map_err(refused)?;
    let mut text = format!("{shown}: release {}@{} {digest}\n", release.name, release.version);
    signers(&mut text, &bytes)?;
    Ok(text)
}

fn role(text: &mut String, what: &str, trust: &Trust) {
    let _ = writeln!(text, "  {} of these sign {what}:", trust.threshold);
    for key in &trust.keys {
        let _ = writeln!(text, "    {} ({})", key.id(), key.name());
    }
}

fn signers(text: &mut String, bytes: &[u8]) -> Result<(), Stop> {
    let signers = release::signers(bytes).map_err(|why| Stop::Refused(why.to_string()))?;
    for (id, time) in signers {
        let _ = writeln!(text, "  signed by {id} on {}", day(time));
    }
    Ok(())
}
