//! Operators: plans and rollouts.

use std::collections::{BTreeMap, HashMap};

use pilotlight_fleet::manifest::{Approve, Rollout};
use pilotlight_fleet::plan::{Content, Digest, Plan};
use pilotlight_fleet::release::Release;
use pilotlight_fleet::rollout::{Failure, Now, Phase, Step};
use serde::Deserialize;
use serde_json::{Value, json};

use super::rollouts::Running;
use super::{Answer, Asked, Content as Lies, Core, Outcome, Request, refused};
use crate::store::{Begun, Happened, Role, Write};

/// Nodes that an answer names one by one.
const NAMED: usize = 100;

#[derive(Deserialize)]
struct Asks {
    rollout: Rollout,
    #[serde(default)]
    plan: Option<Digest>,
}

/// A plan, and what it was made with.
struct Planned {
    plan: Plan,
    /// Of the plan and of the values that nodes would get.
    digest: Digest,
    release: Release,
}

impl Core {
    /// Who would get it.
    pub(super) fn plan(&mut self, request: &Request) -> Asked<Outcome> {
        self.who(request, Role::Viewer)?;
        let Asks { rollout, .. } = Core::read(request)?;
        match self.planned(rollout, request)? {
            Ok(planned) => Ok(Outcome::Answer(Answer::json(&self.described(&planned)))),
            Err(fetch) => Ok(fetch),
        }
    }

    /// What a file of a release holds: anything that lies at the sources was meant to be read by nodes.
    pub(super) fn blob(&self, request: &Request, digest: &str) -> Asked<Outcome> {
        self.who(request, Role::Viewer)?;
        let Ok(digest) = Digest::try_from(digest.to_owned()) else {
            return refused(400, "this is no digest");
        };
        match &request.fetched {
            None => Ok(Outcome::Fetch(Lies::Blob(digest))),
            Some(Ok(bytes)) if Digest::of_bytes(bytes) == digest => {
                let body = bytes.clone();
                Ok(Outcome::Answer(Answer { status: 200, kind: "application/octet-stream", body }))
            }
            Some(Ok(_)) => refused(502, format!("what the sources have there is not {digest}")),
            Some(Err(why)) => refused(502, why),
        }
    }

    /// Begins a rollout whose plan somebody has seen.
    pub(super) fn apply(&mut self, request: &Request, now: Now) -> Asked<Outcome> {
        let by = self.who(request, Role::Operator)?;
        let Asks { rollout, plan: seen } = Core::read(request)?;
        let Some(seen) = seen else { return refused(400, "the digest of a plan is needed") };
        let planned = match self.planned(rollout, request)? {
            Ok(planned) => planned,
            Err(fetch) => return Ok(fetch),
        };
        if planned.digest != seen {
            let why = format!("the fleet has changed: this plan is {} now", planned.digest);
            return refused(409, why);
        }
        if planned.plan.nodes.is_empty() {
            return refused(409, "no node is in this rollout");
        }
        self.are_free(&planned.plan)?;
        let id = self.rollouts.keys().last().map_or(1, |last| last + 1);
        let name = format!("{}@{}", planned.release.name, planned.release.version);
        self.note(
            &by,
            format!("began rollout {id} of {name} to {} nodes", planned.plan.nodes.len()),
            now,
        );
        let digest = planned.plan.content.digest.clone();
        self.writes.push(Write::Release(digest.clone(), Box::new(planned.release.clone())));
        self.releases.insert(digest, planned.release);
        for turn in &planned.plan.nodes {
            if let Some(record) = self.nodes.get_mut(&turn.id) {
                record.rollout = Some(id);
                self.writes.push(Write::Node(Box::new(record.clone())));
            }
        }
        let fleet = self.settings.fleet.clone();
        let begun = Begun { id, plan: planned.plan, fleet, by, now };
        self.writes.push(Write::Rollout(Box::new(begun.clone())));
        let (running, commands) = Running::begin(begun);
        let ids: Vec<String> = running.places.keys().cloned().collect();
        self.rollouts.insert(id, running);
        self.forget();
        self.carry_out(id, &commands, now);
        // Those who wait on a line are there.
        let within = 120_000;
        for node in ids {
            let heard = self.heard.get(&node);
            if heard.is_some_and(|heard| now.steady.saturating_sub(*heard) < within) {
                self.report(id, &node, None, now);
            }
        }
        self.happen(id, Happened::Tick, now);
        Ok(Outcome::Answer(Answer::json(&json!({ "rollout": id }))))
    }

    /// A node is in one rollout at a time; one that only waits for stragglers gives them up to a newer one.
    fn are_free(&self, plan: &Plan) -> Asked<()> {
        for (id, running) in &self.rollouts {
            let busy = !matches!(running.machine.phase(), Phase::Converging | Phase::Ended(_));
            let shared = plan.nodes.iter().filter(|turn| {
                let record = self.nodes.get(&turn.id);
                running.places.contains_key(&turn.id)
                    && record.is_some_and(|record| record.rollout == Some(*id))
            });
            let shared = if busy { shared.count() } else { 0 };
            if shared > 0 {
                let why =
                    format!("rollout {id} is under way on {shared} of these nodes: abort it first");
                return refused(409, why);
            }
        }
        Ok(())
    }

    /// A plan over the fleet as it is; without the release that is asked for.
    fn planned(&self, rollout: Rollout, request: &Request) -> Asked<Result<Planned, Outcome>> {
        let (name, version) = (rollout.release.clone(), rollout.version.clone());
        let signed = match &request.fetched {
            None => return Ok(Err(Outcome::Fetch(Lies::Release { name, version }))),
            Some(Err(why)) => return refused(502, format!("{name}@{version}: {why}")),
            Some(Ok(signed)) => signed,
        };
        let verified = Release::verify(signed, &self.settings.trust);
        let (release, digest) =
            verified.or_else(|why| refused(422, format!("{name}@{version}: {why}")))?;
        if (&release.name, &release.version) != (&name, &version) {
            return refused(
                422,
                format!("the source has {}@{} there", release.name, release.version),
            );
        }
        let content = content(&release, digest, signed.len());
        let nodes: Vec<_> = self.nodes.values().map(|record| record.node.clone()).collect();
        let plan = Plan::new(&rollout, &content, &self.settings.fleet, &nodes);
        for turn in &plan.nodes {
            let Some(record) = self.nodes.get(&turn.id) else { continue };
            if let Err((one, other, var)) = self.settings.fleet.vars(&turn.id, &record.node.labels)
            {
                let why = format!("groups {one} and {other} disagree about {var} for {}", turn.id);
                return refused(422, why);
            }
        }
        let fleet = serde_json::to_vec(&self.settings.fleet).unwrap_or_default();
        let digest = Digest::of(&[plan.digest.as_str().as_bytes(), &fleet]);
        Ok(Ok(Planned { plan, digest, release }))
    }

    fn described(&self, planned: &Planned) -> Value {
        let plan = &planned.plan;
        let waves = plan.waves.iter().enumerate().map(|(at, wave)| {
            let nodes: Vec<_> =
                plan.nodes.get(wave.clone()).unwrap_or(&[]).iter().map(|turn| &turn.id).collect();
            json!({ "name": plan.wave_name(at), "nodes": nodes })
        });
        let excluded: BTreeMap<_, _> =
            plan.excluded.iter().map(|(id, why)| (id, why.to_string())).collect();
        json!({
            "digest": planned.digest,
            "release": format!("{}@{}", planned.release.name, planned.release.version),
            "content": plan.content.digest,
            "waves": waves.collect::<Vec<_>>(),
            "excluded": excluded,
            "warnings": plan.warnings,
            "from": self.compared(planned),
        })
    }

    /// What changes, against each release that these nodes run: files, and bytes that a node fetches.
    fn compared(&self, planned: &Planned) -> Vec<Value> {
        let mut runs: HashMap<Option<&Digest>, usize> = HashMap::new();
        for turn in &planned.plan.nodes {
            let record = self.nodes.get(&turn.id);
            *runs.entry(record.and_then(|record| record.node.runs.as_ref())).or_default() += 1;
        }
        let mut runs: Vec<_> = runs.into_iter().collect();
        runs.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let new = &planned.release.files;
        let compare = |(digest, nodes): (Option<&Digest>, usize)| {
            let old = digest.and_then(|digest| self.releases.get(digest));
            let mut changes = BTreeMap::new();
            for (path, file) in new {
                let had = old.and_then(|old| old.files.get(path));
                if had.is_none_or(|had| had.digest != file.digest) {
                    changes.insert(path, json!({ "old": had, "new": file }));
                }
            }
            for (path, had) in old.iter().flat_map(|old| &old.files) {
                if !new.contains_key(path) {
                    changes.insert(path, json!({ "old": had, "new": null }));
                }
            }
            let has =
                |blob: &Digest| old.is_some_and(|o| o.files.values().any(|f| f.digest == *blob));
            json!({
                "release": old.map(|old| format!("{}@{}", old.name, old.version)),
                "digest": digest,
                "nodes": nodes,
                "files": changes,
                "bytes": planned.plan.bytes(has),
            })
        };
        runs.into_iter().map(compare).collect()
    }

    fn running(&self, id: &str) -> Asked<&Running> {
        let id =
            if id == "latest" { self.rollouts.keys().last().copied() } else { id.parse().ok() };
        let found = id.and_then(|id| self.rollouts.get(&id));
        found.map_or_else(|| refused(404, "there is no such rollout"), Ok)
    }

    pub(super) fn list(&self, request: &Request) -> Asked<Answer> {
        self.who(request, Role::Viewer)?;
        Ok(Answer::json(&self.rollouts.values().map(|r| self.summary(r)).collect::<Vec<_>>()))
    }

    pub(super) fn status(&self, request: &Request, id: &str) -> Asked<Answer> {
        self.who(request, Role::Viewer)?;
        Ok(Answer::json(&self.summary(self.running(id)?)))
    }

    /// A rollout, in bounded space.
    pub(super) fn summary(&self, running: &Running) -> Value {
        let machine = &running.machine;
        let plan = machine.plan();
        let (phase, current) = match machine.phase() {
            Phase::Approval { wave } => ("approval", Some(*wave)),
            Phase::Wave { wave, soaking: None, .. } => ("wave", Some(*wave)),
            Phase::Wave { wave, .. } => ("soak", Some(*wave)),
            Phase::Converging => ("converging", None),
            Phase::Reverting => ("reverting", None),
            Phase::Ended(outcome) => (outcome.name(), None),
        };
        let asks = match machine.phase() {
            Phase::Approval { wave } => plan.rollout.waves.get(*wave),
            _ => None,
        };
        let asks = asks.and_then(|wave| match &wave.approve {
            Some(Approve::One(names)) => Some(names),
            _ => None,
        });
        let waves = machine.tallies().iter().enumerate().filter_map(|(at, tally)| {
            let late = at == plan.waves.len();
            let nodes = match plan.waves.get(at) {
                Some(wave) => wave.len(),
                None => machine.members().len() - plan.waves.iter().map(|w| w.len()).sum::<usize>(),
            };
            let failed = Failure::ALL.iter().zip(tally.failed);
            let failed: BTreeMap<_, _> =
                failed.filter(|(_, count)| *count > 0).map(|(kind, n)| (kind.name(), n)).collect();
            (!late || nodes > 0).then(|| json!({
                "name": plan.wave_name(at), "nodes": nodes, "committed": tally.committed,
                "tried": tally.tried, "open": tally.open, "waiting": tally.waiting, "failed": failed,
            }))
        });
        let members = || plan.nodes.iter().zip(machine.members());
        let failures = members().filter_map(|(turn, member)| {
            let failure = member.step.failure()?;
            let record = self.nodes.get(&turn.id);
            let said = record.and_then(|record| {
                let denied = record.denied.iter().find(|d| d.release == plan.content.digest);
                let progress = record.progress.as_ref().and_then(|p| p.message.as_ref());
                denied.map(|denied| &denied.message).or(progress)
            });
            Some(json!({ "node": turn.id, "kind": failure.name(), "message": said }))
        });
        let behind = members().filter(|(_, member)| {
            let begun = current.is_none_or(|wave| member.wave <= wave);
            begun && !matches!(member.step, Step::Committed | Step::Reverted | Step::Failed(_))
        });
        json!({
            "id": running.begun.id,
            "release": format!("{}@{}", plan.rollout.release, plan.rollout.version),
            "digest": plan.content.digest,
            "by": running.begun.by,
            "began": running.begun.now.wall,
            "phase": phase,
            "wave": current.map(|wave| plan.wave_name(wave)),
            "paused": machine.paused(),
            "asks": asks,
            "taken": machine.taken(),
            "waves": waves.collect::<Vec<_>>(),
            "failures": failures.take(NAMED).collect::<Vec<_>>(),
            "behind": behind.map(|(turn, _)| &turn.id).take(NAMED).collect::<Vec<_>>(),
            "notes": running.notes.iter().map(|(at, text)| json!({ "at": at, "text": text }))
                .collect::<Vec<_>>(),
        })
    }

    pub(super) fn operate(
        &mut self,
        request: &Request,
        id: &str,
        verb: &str,
        now: Now,
    ) -> Asked<Answer> {
        #[derive(Deserialize, Default)]
        struct Why {
            #[serde(default)]
            reason: Option<String>,
        }
        let least = if verb == "approve" { Role::Approver } else { Role::Operator };
        let by = self.who(request, least)?;
        let Why { reason } =
            if request.body.is_empty() { Why::default() } else { Core::read(request)? };
        let running = self.running(id)?;
        let (id, old) = (running.begun.id, self.summary(running));
        let reason = reason.unwrap_or_else(|| format!("{verb} by hand"));
        let what = match verb {
            "pause" => Happened::Pause { by: by.clone(), reason: reason.clone() },
            "resume" => Happened::Resume { by: by.clone() },
            "approve" => Happened::Approve { by: by.clone() },
            "abort" if running.machine.outcome().is_some() => {
                return refused(409, format!("rollout {id} is over: revert takes it back"));
            }
            "abort" | "revert" => Happened::Revert { by: by.clone(), reason: reason.clone() },
            _ => return refused(404, "there is nothing here"),
        };
        self.note(&by, format!("{verb} of rollout {id}: {reason}"), now);
        self.happen(id, what, now);
        self.happen(id, Happened::Tick, now);
        let new = self.summary(self.running(&id.to_string())?);
        if old == new {
            return refused(
                409,
                match (verb, new["asks"].as_array()) {
                    ("approve", Some(names)) => {
                        let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
                        format!("{by} may not approve this wave, but {}", names.join(", "))
                    }
                    _ => format!("{verb} changes nothing: rollout {id} is in {}", new["phase"]),
                },
            );
        }
        Ok(Answer::json(&new))
    }
}

/// A release as planning sees it.
fn content(release: &Release, digest: Digest, bytes: usize) -> Content {
    Content {
        digest,
        bytes: bytes as u64,
        blobs: release.blobs().into_iter().map(|(digest, size)| (digest.clone(), size)).collect(),
        needs: release.needs.clone(),
        free_disk: release.free_disk,
    }
}
