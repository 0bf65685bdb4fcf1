//! Filters that ship with the gateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{check, row};
use crate::manifest::{By, RateLimit, Redis, Shared, Shipped};
use crate::raw::{self, At, Ships};
use crate::typed::{Refusal, Scene};

/// The dictionary that counts where none is named, and its size.
const COUNTS: (&str, u64) = ("rate-limit", 4 << 20);

/// What such filters refer to.
pub(super) struct Around<'a> {
    pub(super) shared: &'a mut BTreeMap<String, Shared>,
    pub(super) redis: &'a [Redis],
}

pub(super) fn shipped(
    ships: Ships,
    raw: &mut raw::Filter,
    around: &mut Around<'_>,
    scene: &mut Scene<'_>,
) -> Option<Shipped> {
    let config = raw.config.take();
    match ships {
        Ships::Scaler => {
            if let Some(config) = config {
                scene.error(&config.key, "this filter takes no config", None);
            }
            Some(Shipped::Scaler)
        }
        Ships::RateLimit => {
            let Some(At { value: raw::Config { rate_limit, .. }, .. }) = config else {
                let place = raw.r#use.as_ref().map(|at| at.place.clone()).unwrap_or_default();
                let hint = "config = { rate = \"100/s\", by = \"client\" }";
                if !raw.broken {
                    scene.error(place, "a rate limit without its rate", Some(hint.into()));
                }
                return None;
            };
            let (read, wrong) = rate_limit;
            wrong.problems.into_iter().for_each(|problem| scene.report.push(problem));
            limit(&read?, around, scene).map(Shipped::RateLimit)
        }
    }
}

fn limit(
    raw: &raw::RateLimit,
    around: &mut Around<'_>,
    scene: &mut Scene<'_>,
) -> Option<RateLimit> {
    let by = raw.by.iter().flat_map(|by| &by.value.0);
    let mut by: Vec<By> = by.filter_map(|by| scene.accept(&by.place, parse(by))).collect();
    if by.is_empty() {
        by.push(By::Client);
    }
    let status = scene.whole(raw.status.as_ref(), &row::REFUSAL);
    let dictionary = match &raw.dictionary {
        None => {
            let own = || Shared { size: COUNTS.1, redis: None };
            around.shared.entry(COUNTS.0.to_owned()).or_insert_with(own);
            COUNTS.0.to_owned()
        }
        Some(name) => {
            let known: Vec<String> = around.shared.keys().cloned().collect();
            scene.find(name, &known, "dictionary");
            name.value.clone()
        }
    };
    let redis = raw.redis.as_ref().and_then(|name| server(name, around.redis, scene));
    let raw::Rate(count, per_millis) = raw.rate.as_ref()?.value;
    let burst = raw.burst.as_ref().map(|burst| scene.whole(Some(burst), &row::BURST));
    Some(RateLimit {
        count,
        per_millis,
        burst: burst.unwrap_or(count),
        by,
        status: u16::try_from(status).unwrap_or(429),
        headers: raw.headers.as_ref().is_some_and(|on| on.value),
        dictionary,
        redis,
    })
}

/// A server of `[redis]` by its name.
pub(super) fn server(
    name: &At<String>,
    redis: &[Redis],
    scene: &mut Scene<'_>,
) -> Option<Arc<str>> {
    let known: Vec<String> = redis.iter().map(|redis| redis.name.to_string()).collect();
    scene.find(name, &known, "redis server").map(|at| redis[at].name.clone())
}

fn parse(text: &str) -> Result<By, Refusal> {
    const FORM: &str =
        "\"client\", \"host\", \"path\", \"route\", \"all\", \"header:NAME\" or \"cookie:NAME\"";
    let refuse = || Refusal::new(format!("{text:?} does not tell requests apart"), FORM);
    Ok(match text.split_once(':') {
        None => match text {
            "client" => By::Client,
            "host" => By::Host,
            "path" => By::Path,
            "route" => By::Route,
            "all" => By::All,
            _ => return Err(refuse()),
        },
        Some(("header", name)) => {
            check::field_name(name)?;
            By::Header(name.to_ascii_lowercase())
        }
        Some(("cookie", name)) => {
            check::field_name(name)?;
            By::Cookie(name.to_owned())
        }
        Some(_) => return Err(refuse()),
    })
}
