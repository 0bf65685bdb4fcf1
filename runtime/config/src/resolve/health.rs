//! `health` and `outlier` of `[upstreams]`.

use super::{address, check, row, target};
use crate::manifest::{Health, Outlier};
use crate::raw::{self, At, Whole};
use crate::typed::Scene;
use crate::typed::row::Row;

/// `http`: something can be asked for.
pub(super) fn health(raw: &At<raw::Health>, http: bool, scene: &mut Scene<'_>) -> Health {
    let raw = &raw.value;
    if !http {
        let keys = [
            ("path", raw.path.as_ref().map(|at| &at.key)),
            ("host", raw.host.as_ref().map(|at| &at.key)),
            ("status", raw.status.as_ref().map(|at| &at.key)),
        ];
        scene.meaningless(&keys, "for tcp: a probe is a connection");
    } else if raw.path.is_none() && !raw.broken {
        let keys = [
            ("host", raw.host.as_ref().map(|at| &at.key)),
            ("status", raw.status.as_ref().map(|at| &at.key)),
        ];
        scene.meaningless(&keys, "without a path: a probe is a connection");
    }
    let statuses = raw.status.iter().flat_map(|list| &list.value);
    let statuses = statuses.map(|status| target::status(Some(status), 200, scene)).collect();
    Health {
        path: raw.path.as_ref().map(|path| scene.checked(path, check::request_path)),
        host: raw.host.as_ref().map(|host| self::host(host, scene)),
        statuses,
        interval: scene.time(raw.interval.as_ref(), &row::PROBE_INTERVAL),
        timeout: scene.time(raw.timeout.as_ref(), &row::PROBE_TIMEOUT),
        healthy: count(raw.healthy.as_ref(), &row::HEALTHY, scene),
        unhealthy: count(raw.unhealthy.as_ref(), &row::UNHEALTHY, scene),
    }
}

pub(super) fn outlier(raw: &At<raw::Outlier>, scene: &mut Scene<'_>) -> Outlier {
    let raw = &raw.value;
    Outlier {
        errors: count(raw.errors.as_ref(), &row::ERRORS, scene),
        window: scene.time(raw.window.as_ref(), &row::ERROR_WINDOW),
        eject: scene.time(raw.eject.as_ref(), &row::EJECT),
        max_ejected: raw.max_ejected.as_ref().map_or(0.5, |share| share.value.0),
    }
}

fn count(value: Option<&At<Whole>>, row: &Row, scene: &mut Scene<'_>) -> u32 {
    u32::try_from(scene.whole(value, row)).unwrap_or(u32::MAX)
}

fn host(at: &At<String>, scene: &mut Scene<'_>) -> String {
    if address::authority(at, Some(80)).is_err() {
        let hint = "such as \"app.internal\" or \"app.internal:8080\"".to_owned();
        scene.error(&at.place, format!("{:?} is not a host", at.value), Some(hint));
    }
    at.value.clone()
}
