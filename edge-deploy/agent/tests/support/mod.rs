//! A world for an agent: releases, a gateway and a disk, all made up.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod disk;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use disk::Disk;
use pilotlight_agent::{
    Agent, Counters, Files as _, Generation, Next, Observation, Pointer, Settings, Trouble, World,
    launch,
};
use pilotlight_fleet::manifest::{Confirm, Safety};
use pilotlight_fleet::message::{Desired, Wanted};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{File, PrivateKey, Release, Trust, is_plain};

pub(crate) fn key() -> PrivateKey {
    PrivateKey::new([9; 32], "release").unwrap()
}

pub(crate) fn settings() -> Settings {
    let safety = Safety {
        exits: 3,
        within: Duration::from_secs(60),
        confirm: Confirm::Local,
        confirm_in: Duration::from_secs(180),
        silence: Duration::from_secs(30),
    };
    let trust = Trust { keys: vec![key().public().clone()], threshold: 1 };
    Settings { trust, safety, keep: 2, reserve: 1000 }
}

/// What sources have, and how the gateway does.
#[derive(Clone, Default)]
pub(crate) struct Made {
    pub(crate) releases: BTreeMap<(String, String), Vec<u8>>,
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    /// What the gateway runs.
    pub(crate) runs: Option<Generation>,
    pub(crate) requests: u64,
    pub(crate) filter_errors: u64,
    pub(crate) offline: bool,
    /// The gateway does not answer.
    pub(crate) away: bool,
    pub(crate) secrets: Vec<String>,
    /// Calls of sources.
    pub(crate) asked: usize,
    pub(crate) switches: usize,
}

const MANIFEST: &str =
    "[gateway]\ncache_dir = '${fleet:cache}'\n[[listeners]]\naddress = '127.0.0.1:0'\n";

impl Made {
    /// A release as `pack` makes it; its version says how it behaves: `bad` fails its tests, `crash` its probation.
    pub(crate) fn add(&mut self, version: &str, epoch: u64) -> Digest {
        let script = format!("-- {version}\n{}", "return {}\n".repeat(20));
        let contents = [
            ("pilotlight.toml", MANIFEST.to_owned()),
            ("filters/auth.lua", script),
            ("filters/deep/same.lua", "return 1\n".into()),
            ("bin/start", "#!/bin/sh\n".into()),
            ("empty", String::new()),
        ];
        let mut files = BTreeMap::new();
        for (path, text) in contents {
            assert!(is_plain(path));
            let digest = Digest::of_bytes(text.as_bytes());
            let (size, program) = (text.len() as u64, path == "bin/start");
            files.insert(path.to_owned(), File { digest: digest.clone(), size, program });
            self.blobs.insert(digest, text.into_bytes());
        }
        let release = Release {
            name: "edge".into(),
            version: version.into(),
            epoch,
            gateway: "pilotlight.toml".into(),
            needs: None,
            free_disk: 0,
            tests: vec!["filters".into()],
            secrets: Vec::new(),
            render: vec!["pilotlight.toml".into()],
            files,
        };
        let signed = release.sign(&[key()]).unwrap();
        let digest = pilotlight_fleet::release::digest(&signed).unwrap();
        self.releases.insert(("edge".into(), version.into()), signed);
        digest
    }
}

impl World for Made {
    fn release(&mut self, name: &str, version: &str, _: usize) -> Result<Vec<u8>, Trouble> {
        self.asked += 1;
        let found = self.releases.get(&(name.into(), version.into())).filter(|_| !self.offline);
        found.cloned().ok_or_else(|| Trouble::Passing("the network".into()))
    }

    fn blob(
        &mut self,
        (digest, _): (&Digest, u64),
        from: u64,
        _: usize,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Trouble> {
        self.asked += 1;
        let bytes = self.blobs.get(digest).filter(|_| !self.offline);
        let bytes = bytes.ok_or_else(|| Trouble::Passing("the network".into()))?;
        for part in bytes[usize::try_from(from).unwrap()..].chunks(100) {
            take(part)?;
        }
        Ok(())
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.secrets.iter().any(|secret| secret == name).then(|| format!("/secrets/{name}"))
    }

    fn version(&mut self) -> Option<String> {
        Some("0.1.0".into())
    }

    fn test(&mut self, generation: &Generation, _: &Release) -> Result<(), Trouble> {
        match generation.name.contains("bad") {
            true => Err(Trouble::Bad("a test does not pass".into())),
            false => Ok(()),
        }
    }

    fn switch(&mut self, generation: &Generation) -> Result<(), String> {
        self.switches += 1;
        self.runs = Some(generation.clone());
        Ok(())
    }

    fn observe(&mut self) -> Observation {
        self.requests += 5;
        if self.runs.as_ref().is_some_and(|runs| runs.name.contains("crash")) {
            self.filter_errors += 5;
        }
        let (requests, filter_errors) = (self.requests, self.filter_errors);
        let counters = Counters { requests, errors: filter_errors, filter_errors };
        Observation { ready: !self.away, counters: Some(counters) }
    }
}

pub(crate) fn desired(version: &str, serial: u64) -> Desired {
    let wanted = Wanted { name: "edge".into(), version: version.into(), digest: None };
    Desired {
        serial,
        release: Some(wanted),
        vars: [("cache".to_owned(), format!("cache \"{version}\" ${{env:X}}").as_str().into())]
            .into(),
        switch: true,
        probation: Some(3000),
        ..Desired::default()
    }
}

/// Runs an agent until it is settled.
///
/// Errors: the power failed.
pub(crate) fn settle(
    agent: &mut Agent,
    disk: &mut Disk,
    world: &mut Made,
    now: &mut Duration,
) -> io::Result<()> {
    for _ in 0..2000 {
        match agent.step(disk, world, *now)? {
            Next::Now => *now += Duration::from_millis(1),
            Next::Later(pause) => *now += pause,
            Next::Settled => return Ok(()),
        }
        if disk.is_dark() {
            return Err(io::Error::other("the power failed"));
        }
        if world.offline && *now > Duration::from_secs(100_000) {
            return Ok(());
        }
    }
    panic!("the agent does not settle: {:?}", agent.progress());
}

/// What the launcher starts is whole and signed, file by file.
pub(crate) fn boots(disk: &mut Disk, world: &mut Made) -> Option<Generation> {
    let start = launch::start(disk).ok()?.expect("a node without anything to run");
    if disk.is_dark() {
        return None;
    }
    let generation = start.generation;
    let folder = format!("generations/{}", generation.id);
    let signed =
        disk.read(&format!("{folder}.release"), 1 << 20).expect("a release without its signature");
    let (release, digest) =
        Release::verify(&signed, &settings().trust).expect("an unsigned release");
    assert_eq!(digest, generation.release);
    for (path, file) in &release.files {
        let bytes = disk.read(&format!("{folder}/{path}"), 1 << 20);
        let bytes = bytes.unwrap_or_else(|error| panic!("{path}: {error}"));
        if path == "pilotlight.toml" {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains("cache \\\"") && text.contains("$${env:X}\""), "{text}");
        } else {
            assert_eq!(Digest::of_bytes(&bytes), file.digest, "{path}");
        }
        assert_eq!(disk.is_program(&format!("{folder}/{path}")), path == "bin/start", "{path}");
    }
    world.runs = Some(generation.clone());
    // It has started, and counts anew.
    (world.requests, world.filter_errors) = (0, 0);
    Some(generation)
}

/// A node that runs this release.
pub(crate) fn node(world: &mut Made, version: &str) -> Disk {
    let mut disk = Disk::new();
    let mut agent = Agent::new(settings());
    let mut now = Duration::from_secs(1);
    agent.desire(desired(version, 1), now);
    settle(&mut agent, &mut disk, world, &mut now).unwrap();
    let pointer = Pointer::read(&disk).unwrap();
    assert_eq!(pointer.good.unwrap().name, format!("edge@{version}"));
    disk
}
