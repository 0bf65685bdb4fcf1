//! Nodes: who they are, what they say, what they are told.

use pilotlight_fleet::manifest::Enrol;
use pilotlight_fleet::message::{Desired, Status};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::is_name;
use pilotlight_fleet::rollout::{Failure, Now, Reported};
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Asked, Core, Outcome, Request, refused};
use crate::store::{Placed, Record, Role, Wish, Write};

/// A node that says nothing new is written down so often, in seconds.
const SEEN: i64 = 600;
/// Bounds of what a node may say of itself.
const LABELS: usize = 64;
const NODES: usize = 1_000_000;
const DENIED: usize = 64;
const WARNINGS: usize = 16;
/// Characters of what it says in its own words.
const WORDS: usize = 2048;
/// The shortest token.
const SECRET: usize = 32;

impl Core {
    /// A node that has a token for all gets one of its own.
    pub(super) fn enrol(&mut self, request: &Request, now: Now) -> Asked<Answer> {
        #[derive(Deserialize)]
        struct Enrolment {
            node: String,
            /// The token that it will have: its own choice, so that an answer that is lost loses nothing.
            secret: String,
        }
        let Enrolment { node, secret } = Core::read(request)?;
        let may = self.token(request).is_some_and(|token| token.role == Role::Enrol);
        if !may && self.settings.enrol != Enrol::Open {
            return refused(401, "a token for enrolment is needed");
        }
        if !is_name(&node) {
            return refused(400, "this is no name for a node");
        }
        if secret.len() < SECRET {
            return refused(400, "the node's own token is too short");
        }
        let (name, hash) = (format!("node:{node}"), Digest::of_bytes(secret.as_bytes()));
        match self.tokens.get(&name) {
            Some(token) if token.hash == hash => {}
            // Else whoever has the token could speak for every node.
            Some(_) => {
                return refused(409, format!("{node} is enrolled; an operator may revoke {name}"));
            }
            None if self.hashes.contains_key(&hash) => return refused(409, "this token is taken"),
            None => self.admit(&name, Role::Node, hash, "controller", now),
        }
        Ok(Answer::json(&json!({ "node": node })))
    }

    /// A node says where it is, and asks what it should run.
    pub(super) fn poll(&mut self, request: &Request, now: Now) -> Asked<Outcome> {
        let status: Status = Core::read(request)?;
        let id = status.node.clone();
        if !is_name(&id) || status.labels.len() > LABELS {
            return refused(400, "this is no node");
        }
        if !self.is_node(request, &id) {
            return refused(401, format!("who says that this is {id}?"));
        }
        self.polls += 1;
        self.hear(status, now)?;
        let tag = self.tag(&id, now);
        if request.query.get("have") == Some(&tag) {
            return Ok(Outcome::Wait { node: id });
        }
        Ok(Outcome::Answer(self.told(&id, now)))
    }

    /// What a node should run, with its tag.
    pub(crate) fn told(&self, id: &str, now: Now) -> Answer {
        let body = json!({ "tag": self.tag(id, now), "desired": self.desired(id, now) });
        Answer::json(&body)
    }

    fn tag(&self, id: &str, now: Now) -> String {
        let Some(record) = self.nodes.get(id) else { return "0".into() };
        let until = record.wish.until.filter(|until| *until > now.steady).unwrap_or(0);
        format!("{}.{}.{until}", record.wish.serial, u8::from(record.wish.switch))
    }

    fn desired(&self, id: &str, now: Now) -> Desired {
        let Some(record) = self.nodes.get(id) else { return Desired::default() };
        let wish = &record.wish;
        // What it has proved before it may have again: its disk may be a new one.
        let proven = wish.placed.is_some() && wish.placed == record.good;
        let left = wish.until.filter(|_| !proven).map(|until| until.saturating_sub(now.steady));
        Desired {
            serial: wish.serial,
            release: wish.placed.as_ref().map(|placed| placed.release.clone()),
            vars: wish.placed.as_ref().map(|placed| placed.vars.clone()).unwrap_or_default(),
            switch: proven || wish.switch && left != Some(0),
            lease: left,
            probation: Some(wish.probation),
            retry: wish.retry,
        }
    }

    /// What a node says overrides what is believed of it.
    fn hear(&mut self, mut status: Status, now: Now) -> Asked<()> {
        bound(&mut status);
        let id = status.node;
        let is_new = !self.nodes.contains_key(&id);
        if is_new && self.nodes.len() >= NODES {
            return refused(503, "there are too many nodes");
        }
        let mut record = self.nodes.remove(&id).unwrap_or_default();
        if record.boots.first() == Some(&status.boot) && status.seq <= record.seq && !is_new {
            // It has overtaken this one.
            self.nodes.insert(id, record);
            return Ok(());
        }
        let old = record.clone();
        if record.boots.first() != Some(&status.boot) {
            // A start that was over is back: two of them live.
            record.doubled |= record.boots.contains(&status.boot);
            record.boots.retain(|boot| *boot != status.boot);
            record.boots.insert(0, status.boot);
            record.boots.truncate(4);
        }
        record.seq = status.seq;
        record.node.id = id.clone();
        record.node.labels = status.labels;
        record.node.gateway = status.gateway;
        record.node.free_disk = status.free_disk;
        record.node.runs = status.runs;
        record.node.denied = status.denied.iter().map(|denied| denied.release.clone()).collect();
        (record.tries, record.progress, record.denied) =
            (status.tries, status.progress, status.denied);
        (record.warnings, record.mended) = (status.warnings, status.drift);
        self.settle(&mut record);
        let replaced = status.seen > record.wish.serial;
        if replaced {
            // It has followed a wish that nobody here has given: this store is an old one.
            // What that one was is not known: it stays as it is, whatever was wished when the backup was made.
            let runs = record.node.runs.as_ref();
            let placed = record.good.clone().filter(|good| runs.is_some_and(|runs| good.is(runs)));
            let probation = record.wish.probation;
            record.wish = Wish { serial: status.seen + 1, placed, probation, ..Wish::default() };
            self.changed.insert(id.clone());
        }
        let (rollout, relabelled) =
            (record.rollout, is_new || old.node.labels != record.node.labels);
        let doubled = record.doubled && !old.doubled;
        self.heard.insert(id.clone(), now.steady);
        let told = Record { seen: old.seen, seq: old.seq, ..record.clone() };
        if told != old || now.wall - old.seen >= SEEN {
            record.seen = now.wall;
            self.writes.push(Write::Node(Box::new(record.clone())));
        }
        self.nodes.insert(id.clone(), record);
        if doubled {
            self.note(&id, "two agents report under this name: is one a clone?".into(), now);
        }
        if replaced && !is_new {
            let why =
                format!("{id} has followed a wish that was not given here: is this an old backup?");
            self.note(&id, why.clone(), now);
            self.pause_all(&why, now);
        }
        if relabelled {
            self.join(&id, now);
        }
        if let Some(rollout) = self.nodes.get(&id).and_then(|record| record.rollout).or(rollout) {
            self.report(rollout, &id, status.sample, now);
        }
        Ok(())
    }

    /// What it has committed is what it goes on from.
    fn settle(&self, record: &mut Record) {
        let Some(runs) = &record.node.runs else { return };
        if record.good.as_ref().is_some_and(|good| good.is(runs)) {
            return;
        }
        let wished = record.wish.placed.clone().filter(|placed| placed.is(runs));
        let before = record.before.clone().filter(|placed| placed.is(runs));
        let known = || {
            let vars = self.settings.fleet.vars(&record.node.id, &record.node.labels).ok()?;
            Some(Placed { release: self.wanted(runs)?, vars })
        };
        record.good = wished.or(before).or_else(known);
    }
}

/// What a node says in its own words is kept and shown to people: so much of it, and nothing that moves a cursor.
fn bound(status: &mut Status) {
    status.denied.truncate(DENIED);
    status.warnings.truncate(WARNINGS);
    let words = status.warnings.iter_mut().chain(&mut status.gateway);
    let words = words.chain(status.denied.iter_mut().map(|denied| &mut denied.message));
    for text in words.chain(status.progress.iter_mut().flat_map(|said| &mut said.message)) {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        *text = text.chars().take(WORDS).map(plain).collect();
    }
}

/// Where a node is with a release, by what it says: a function of its state, whatever was heard before.
pub(super) fn reading(record: &Record, digest: &Digest) -> Reported {
    let Wish { serial, placed, retry, .. } = &record.wish;
    let meant = placed.as_ref().is_some_and(|placed| placed.is(digest));
    let said = record.progress.as_ref().filter(|progress| meant && progress.serial == *serial);
    let said = said.map(|progress| progress.reported);
    let failed = matches!(said, Some(Reported::Rejected | Reported::Failed(_)));
    let denied = record.denied.iter().find(|denied| denied.release == *digest);
    match (denied, said) {
        _ if record.tries.as_ref() == Some(digest) => Reported::Switching,
        _ if record.node.runs.as_ref() == Some(digest) => Reported::Committed,
        (Some(denied), _) if !retry || !meant || failed => match denied.failure {
            Failure::Rejected => Reported::Rejected,
            failure => Reported::Failed(failure),
        },
        // It is not what it runs: then it has been lost since.
        (_, None | Some(Reported::Committed)) => Reported::Idle,
        (_, Some(said)) => said,
    }
}
