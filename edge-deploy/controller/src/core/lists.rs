//! Who is known: the inventory of nodes, and tokens.

use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::is_name;
use pilotlight_fleet::rollout::Now;
use pilotlight_fleet::selector::Selector;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Asked, Core, Request, refused};
use crate::store::{Role, Write};

impl Core {
    pub(super) fn inventory(&self, request: &Request, now: Now) -> Asked<Answer> {
        self.who(request, Role::Viewer)?;
        let selector = match request.query.get("where") {
            Some(text) => match Selector::parse(text) {
                Ok(selector) => Some(selector),
                Err(wrong) => return refused(400, format!("where: {}", wrong.message)),
            },
            None => None,
        };
        let meant = self.nodes.values().filter(|record| {
            selector.as_ref().is_none_or(|s| s.matches(&record.node.id, &record.node.labels))
        });
        let name = |digest: Option<&Digest>| {
            digest.map(|digest| match self.releases.get(digest) {
                Some(release) => format!("{}@{}", release.name, release.version),
                None => digest.to_string(),
            })
        };
        let rows = meant.map(|record| {
            let placed = record.wish.placed.as_ref();
            let should = placed.and_then(|placed| placed.release.digest.as_ref());
            let runs = record.node.runs.as_ref();
            let ago =
                self.heard.get(&record.node.id).map(|at| now.steady.saturating_sub(*at) / 1000);
            json!({
                "id": record.node.id,
                "labels": record.node.labels,
                "gateway": record.node.gateway,
                "runs": name(runs),
                "tries": name(record.tries.as_ref()),
                "should": name(should),
                "drift": should.is_some() && should != runs,
                "rollout": record.rollout,
                "seen": record.seen,
                "ago": ago,
                "hold": self.settings.fleet.hold(&record.node.id),
                "doubled": record.doubled,
                "warnings": record.warnings,
                "mended": record.mended,
                "progress": record.progress,
                "denied": record.denied.iter().map(|denied| json!({
                    "release": name(Some(&denied.release)), "digest": denied.release,
                    "failure": denied.failure.name(), "message": denied.message,
                })).collect::<Vec<_>>(),
            })
        });
        Ok(Answer::json(&rows.collect::<Vec<_>>()))
    }

    pub(super) fn list_tokens(&self, request: &Request) -> Asked<Answer> {
        self.who(request, Role::Admin)?;
        let row = |token: &crate::store::Token| json!({ "name": token.name, "role": token.role });
        Ok(Answer::json(&self.tokens.values().map(row).collect::<Vec<_>>()))
    }

    pub(super) fn give_token(&mut self, request: &Request, now: Now) -> Asked<Answer> {
        #[derive(Deserialize)]
        struct Wanted {
            name: String,
            role: Role,
        }
        let by = self.who(request, Role::Admin)?;
        let Wanted { name, role } = Core::read(request)?;
        if !is_name(&name) || role == Role::Node {
            return refused(
                400,
                "a token needs a name, and is for enrol, viewer, approver, operator or admin",
            );
        }
        if self.tokens.contains_key(&name) {
            return refused(409, format!("there is a token of this name: {name}"));
        }
        let token = self.give(&name, role, &request.chance, &by, now);
        Ok(Answer::json(&json!({ "name": name, "role": role, "token": token })))
    }

    pub(super) fn revoke(&mut self, request: &Request, name: &str, now: Now) -> Asked<Answer> {
        let by = self.who(request, Role::Admin)?;
        if by == name {
            return refused(409, "nobody takes their own token");
        }
        let Some(token) = self.tokens.remove(name) else {
            return refused(404, "there is no token of this name");
        };
        self.hashes.remove(&token.hash);
        self.writes.push(Write::Revoke(name.into()));
        self.note(&by, format!("revoked the token {name}"), now);
        Ok(Answer::json(&json!({ "revoked": name })))
    }
}
