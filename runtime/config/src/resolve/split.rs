//! `split` and `sticky` of `[upstreams]`.

use super::upstream::Upstreams;
use super::{check, row};
use crate::manifest::{Split, UpstreamProtocol, Variant};
use crate::raw::{self, At};
use crate::typed::Scene;

/// Looks for the upstreams of one that has a `split`, now that all are known.
pub(super) fn split(
    at: usize,
    tables: &[(At<String>, At<raw::Upstream>)],
    complete: bool,
    upstreams: &mut Upstreams,
    scene: &mut Scene<'_>,
) {
    let raw = &tables[at].1.value;
    let Some(list) = &raw.split else {
        if let Some(sticky) = raw.sticky.as_ref().filter(|_| !raw.broken) {
            let hint = "split = [{ upstream = \"a\" }, { upstream = \"b\" }]".to_owned();
            scene.error(&sticky.key, "there is nothing to stay with", Some(hint));
        }
        return;
    };
    alone(raw, scene);
    let mut variants: Vec<Variant> = Vec::new();
    let mut protocol = None;
    for item in &list.value {
        let weight = scene.whole(item.weight.as_ref(), &row::SHARE_WEIGHT);
        let Some(name) = &item.upstream else { continue };
        let found = if complete { scene.find(name, &upstreams.names, "upstream") } else { None };
        let Some((index, found)) = found.and_then(|at| Some((at, upstreams.list.get(at)?))) else {
            continue;
        };
        let is_tcp = found.protocol == UpstreamProtocol::Tcp;
        if tables.get(index).is_some_and(|(_, table)| table.split.is_some()) {
            let message = format!("{:?} leads to other upstreams itself", name.value);
            scene.error(&name.place, message, None);
        } else if is_tcp != *protocol.get_or_insert(is_tcp) {
            scene.error(&name.place, "all of a split speak HTTP, or none does", None);
        } else if variants.iter().any(|known| known.upstream == index) {
            scene.error(&name.place, format!("{:?} stands here already", name.value), None);
        }
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        variants.push(Variant { name: found.name.clone(), upstream: index, weight });
    }
    let named = variants.len() == list.value.len();
    if named && variants.iter().all(|variant| variant.weight == 0) {
        scene.error(&list.place, "none of them would get a request", None);
    }
    let is_tcp = protocol == Some(true);
    if is_tcp {
        let sticky = raw.sticky.as_ref().map(|at| &at.key);
        scene.meaningless(&[("sticky", sticky)], "for tcp");
    }
    let cookie = raw.sticky.as_ref().map(|sticky| cookie(sticky, scene));
    let own = &mut upstreams.list[at];
    own.protocol = if is_tcp { UpstreamProtocol::Tcp } else { UpstreamProtocol::Auto };
    own.split = Some(Split { variants, cookie });
}

/// It has no endpoints, so nothing can be said of them.
fn alone(raw: &raw::Upstream, scene: &mut Scene<'_>) {
    let keys = [
        ("endpoints", raw.endpoints.as_ref().map(|at| &at.key)),
        ("balance", raw.balance.as_ref().map(|at| &at.key)),
        ("protocol", raw.protocol.as_ref().map(|at| &at.key)),
        ("tls", raw.tls.as_ref().map(|at| &at.key)),
        ("pool", raw.pool.as_ref().map(|at| &at.key)),
        ("breaker", raw.breaker.as_ref().map(|at| &at.key)),
        ("admission", raw.admission.as_ref().map(|at| &at.key)),
        ("timeouts", raw.timeouts.as_ref().map(|at| &at.key)),
        ("health", raw.health.as_ref().map(|at| &at.key)),
        ("outlier", raw.outlier.as_ref().map(|at| &at.key)),
        ("activate", raw.activate.as_ref().map(|at| &at.key)),
        ("scale", raw.scale.as_ref().map(|at| &at.key)),
    ];
    scene.meaningless(&keys, "with split: the upstreams that it leads to have theirs");
}

fn cookie(at: &At<String>, scene: &mut Scene<'_>) -> String {
    let name = at.strip_prefix("cookie:").unwrap_or_default();
    if !check::is_token(name) {
        let hint = "such as \"cookie:variant\"".to_owned();
        scene.error(&at.place, format!("{:?} does not say what stays", at.value), Some(hint));
    }
    name.to_owned()
}
