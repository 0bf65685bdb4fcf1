//! A world for an agent: releases, a gateway and a disk, all made up.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod disk;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use disk::Disk;
use pilotlight_agent::{
    Agent, Anchor, Counters, Files as _, Generation, Next, Observation, Pointer, Settings, Trouble,
    World, delta, launch,
};
use pilotlight_fleet::manifest::{Confirm, Safety};
use pilotlight_fleet::message::{Desired, Wanted};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{File, Packed, PrivateKey, Release, Root, Trust, is_plain};
use pilotlight_fleet::rollout::Reported;

pub(crate) fn key(seed: u8) -> PrivateKey {
    PrivateKey::new([seed; 32], &format!("key-{seed}")).unwrap()
}

pub(crate) fn trust(seeds: &[u8]) -> Trust {
    Trust { keys: seeds.iter().map(|seed| key(*seed).public().clone()).collect(), threshold: 1 }
}

/// Keys of roots are 1 and 2; this one says that releases are signed by these.
pub(crate) fn root(version: u64, releases: &[u8]) -> Vec<u8> {
    let root = Trust { threshold: 2, ..trust(&[1, 2]) };
    let root = Root { version, expires: Some(2_000_000_000), root, release: trust(releases) };
    root.sign(&[key(1), key(2)], 1_700_000_000 + i64::try_from(version).unwrap()).unwrap()
}

pub(crate) fn settings() -> Settings {
    let safety = Safety {
        exits: 3,
        within: Duration::from_secs(60),
        confirm: Confirm::Local,
        confirm_in: Duration::from_secs(180),
        silence: Duration::from_secs(30),
        fallback: None,
    };
    let anchor = Anchor::Root(root(1, &[9]));
    let check = Duration::from_secs(600);
    Settings { anchor, safety, keep: 2, reserve: 1000, windows: None, check }
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
    /// Roots that a source has...
    pub(crate) roots: BTreeMap<u64, Vec<u8>>,
    /// ...and the one that is asked after it.
    pub(crate) origin: BTreeMap<u64, Vec<u8>>,
    /// What the clock says.
    pub(crate) wall: i64,
    /// What is known to be past, as sources were told.
    pub(crate) past: i64,
    /// Nobody can start the gateway.
    pub(crate) unlaunched: bool,
    /// Of the gateway's process.
    pub(crate) starts: u64,
    /// Starts that were made because a release needs them.
    pub(crate) restarts: usize,
    pub(crate) fetched: u64,
}

/// The module of each release: large, and little of it changes.
fn module(version: &str) -> Vec<u8> {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut bytes: Vec<u8> = (0..3000).map(|_| next()).collect();
    bytes.splice(1500..1510, version.bytes().cycle().take(20));
    bytes
}

const MANIFEST: &str =
    "[gateway]\ncache_dir = '${fleet:cache}'\n[[listeners]]\naddress = '127.0.0.1:0'\n";

impl Made {
    /// With releases of all sorts.
    pub(crate) fn full() -> Made {
        let mut world = Made::default();
        for (version, epoch) in [
            ("1.0", 5),
            ("2.0", 5),
            ("3.0", 5),
            ("old", 4),
            ("new", 6),
            ("bad", 5),
            ("crash", 5),
            ("anew", 5),
            ("moved", 5),
        ] {
            world.add(version, epoch);
        }
        world
    }

    /// A release as `pack` makes it; its version says how it behaves: `bad` fails its tests, `crash` its probation, `anew`
    /// needs another start, `moved` has its manifest elsewhere.
    pub(crate) fn add(&mut self, version: &str, epoch: u64) -> Digest {
        self.add_with(version, epoch, |_| {})
    }

    pub(crate) fn add_with(
        &mut self,
        version: &str,
        epoch: u64,
        change: impl FnOnce(&mut Release),
    ) -> Digest {
        let gateway = if version.contains("moved") { "edge.toml" } else { "pilotlight.toml" };
        let script = format!("-- {version}\n{}", "return {}\n".repeat(20));
        let contents = [
            (gateway, MANIFEST.as_bytes().to_vec()),
            ("filters/auth.lua", script.into_bytes()),
            ("filters/deep/same.lua", b"return 1\n".to_vec()),
            ("bin/start", b"#!/bin/sh\n".to_vec()),
            ("empty", Vec::new()),
            ("modules/m.cwasm", module(version)),
        ];
        let mut files = BTreeMap::new();
        for (path, bytes) in contents {
            assert!(is_plain(path));
            let digest = Digest::of_bytes(&bytes);
            let (size, program) = (bytes.len() as u64, path == "bin/start");
            files.insert(path.to_owned(), File { digest: digest.clone(), size, program });
            self.blobs.insert(digest, bytes);
        }
        let mut packed = BTreeMap::new();
        if version != "1.0" {
            let patch = delta::pack(&module("1.0"), &module(version)).unwrap();
            let (digest, size) = (Digest::of_bytes(&patch), patch.len() as u64);
            let from = Some(Digest::of_bytes(&module("1.0")));
            self.blobs.insert(digest.clone(), patch);
            let way = Packed { from, digest, size };
            packed.insert(Digest::of_bytes(&module(version)), vec![way]);
        }
        let mut release = Release {
            name: "edge".into(),
            version: version.into(),
            epoch,
            gateway: gateway.into(),
            tests: vec!["filters".into()],
            render: vec![gateway.into()],
            restart: version.contains("anew"),
            files,
            packed,
            ..Release::default()
        };
        change(&mut release);
        let signed = release.sign_at(&[key(9), key(10)], 1_750_000_000).unwrap();
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
        (digest, size): (&Digest, u64),
        from: u64,
        _: usize,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Trouble> {
        self.asked += 1;
        self.fetched += size - from;
        let bytes = self.blobs.get(digest).filter(|_| !self.offline);
        let bytes = bytes.ok_or_else(|| Trouble::Passing("the network".into()))?;
        for part in bytes[usize::try_from(from).unwrap()..].chunks(100) {
            take(part)?;
        }
        Ok(())
    }

    fn root(&mut self, version: u64, _: usize, take: &mut dyn FnMut(&str, &[u8]) -> bool) {
        for (source, roots) in [("mirror", &self.roots), ("origin", &self.origin)] {
            let root = roots.get(&version).filter(|_| !self.offline);
            if root.is_some_and(|root| take(source, root)) {
                return;
            }
        }
    }

    fn time(&mut self, past: i64) -> (i64, bool) {
        self.past = self.past.max(past);
        (self.wall.max(self.past), self.wall >= self.past)
    }

    fn target(&mut self) -> String {
        "x86_64-unknown-linux-gnu".into()
    }

    fn is_launched(&mut self) -> bool {
        !self.unlaunched
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

    fn switch(&mut self, generation: &Generation, starts: u64) -> Result<(), String> {
        self.switches += 1;
        self.restarts += usize::from(starts > self.starts);
        self.starts = starts;
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
        Release::verify(&signed, &trust(&[9, 10])).expect("an unsigned release");
    assert_eq!(digest, generation.release);
    for (path, file) in &release.files {
        let bytes = disk.read(&format!("{folder}/{path}"), 1 << 20);
        let bytes = bytes.unwrap_or_else(|error| panic!("{path}: {error}"));
        if release.render.contains(path) {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains("cache \\\"") && text.contains("$${env:X}\""), "{text}");
        } else {
            assert_eq!(Digest::of_bytes(&bytes), file.digest, "{path}");
        }
        assert_eq!(disk.is_program(&format!("{folder}/{path}")), path == "bin/start", "{path}");
    }
    world.runs = Some(generation.clone());
    world.starts = Pointer::read(disk).ok()?.starts;
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

/// A node with its agent.
pub(crate) struct Node {
    pub(crate) agent: Agent,
    pub(crate) disk: Disk,
    pub(crate) world: Made,
    pub(crate) now: Duration,
}

impl Node {
    /// One that runs 1.0.
    pub(crate) fn new() -> Node {
        let mut world = Made::full();
        let disk = node(&mut world, "1.0");
        Node { agent: Agent::new(settings()), disk, world, now: Duration::from_secs(10) }
    }

    pub(crate) fn want(&mut self, desired: Desired) -> (Option<Reported>, String) {
        self.agent.desire(desired, self.now);
        settle(&mut self.agent, &mut self.disk, &mut self.world, &mut self.now).unwrap();
        let progress = self.agent.progress().cloned();
        let message = progress.as_ref().and_then(|p| p.message.clone()).unwrap_or_default();
        (progress.map(|progress| progress.reported), message)
    }

    pub(crate) fn runs(&mut self) -> String {
        let good = Pointer::read(&self.disk).unwrap().good.unwrap();
        assert_eq!(self.world.runs.as_ref(), Some(&good));
        boots(&mut self.disk, &mut self.world).unwrap().name
    }

    /// One that has nothing yet.
    pub(crate) fn empty() -> Node {
        let (world, disk) = (Made::full(), Disk::new());
        Node { agent: Agent::new(settings()), disk, world, now: Duration::from_secs(10) }
    }

    /// Makes so many steps, however long they take.
    pub(crate) fn steps(&mut self, count: usize) {
        for _ in 0..count {
            match self.agent.step(&mut self.disk, &mut self.world, self.now).unwrap() {
                Next::Now => self.now += Duration::from_millis(1),
                Next::Later(pause) => self.now += pause,
                Next::Settled => self.now += Duration::from_secs(1),
            }
        }
    }

    pub(crate) fn settle(&mut self) {
        settle(&mut self.agent, &mut self.disk, &mut self.world, &mut self.now).unwrap();
    }

    /// Lets it live for so many seconds.
    pub(crate) fn idle(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while self.now < until {
            self.steps(1);
        }
    }

    /// What comes of a wish that is not fulfilled.
    pub(crate) fn try_for(&mut self, version: &str, serial: u64) -> (Option<Reported>, String) {
        self.agent.desire(desired(version, serial), self.now);
        self.steps(60);
        let progress = self.agent.progress().cloned();
        let message = progress.as_ref().and_then(|p| p.message.clone()).unwrap_or_default();
        (progress.map(|progress| progress.reported), message)
    }
}
