//! Connections that carry no HTTP: shown to filters, joined with one of an upstream's, and logged.
//!
//! ```text
//! listener ─▶ tls ─▶ flow ─▶ filters let it through ─▶ upstream ─▶ relay ─▶ log
//! ```

mod gate;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use pilotlight_config::manifest::{self, UpstreamProtocol};
use pilotlight_filter::{Closed, Side};

pub(crate) use self::gate::Gate;
use crate::drive::{GONE, word};
use crate::generation::Local;
use crate::relay::{End, Relay};
use crate::stream::Stream;
use crate::tls;
use crate::upstream::{Lease, Permit, Upstream, UpstreamError};
use crate::worker::{Inlet, Worker};

/// What the log says of a connection.
pub(crate) struct Passage {
    /// Wall clock, seconds since 1970.
    pub(crate) began: f64,
    /// Seconds.
    pub(crate) duration: f64,
    /// Seconds until the upstream was there.
    pub(crate) connect: f64,
    /// Bytes from the client.
    pub(crate) received: u64,
    /// Bytes to the client.
    pub(crate) sent: u64,
    /// Its name.
    pub(crate) upstream: Arc<str>,
    /// The endpoint's address.
    pub(crate) endpoint: Option<Rc<str>>,
    /// Endpoints beyond the first that were tried.
    pub(crate) retries: u32,
    /// Why it went wrong, in the words of RFC 9209.
    pub(crate) error: Option<&'static str>,
}

/// Serves a connection to its end.
pub(crate) async fn serve(inlet: Rc<Inlet>, client: Stream) {
    let worker = &inlet.worker;
    let local = worker.local();
    // None: a reload has taken the listener away as the connection came.
    let Some((index, mut target)) = local.tcp(&inlet.listener.name) else { return client.reset() };
    let clock = worker.clock;
    let start = clock.elapsed();
    let mut passage = Passage {
        began: clock.wall().as_secs_f64(),
        duration: 0.0,
        connect: 0.0,
        received: 0,
        sent: 0,
        upstream: local.upstreams[target].shared.meant.name.clone(),
        endpoint: None,
        retries: 0,
        error: None,
    };
    let series = &local.generation.series;
    let moved = worker.metrics.moved(series, index);
    let idle = inlet.listener.settings.timeouts.idle;
    let ends = [client, Stream::Closed];
    let mut relay = Relay::new(worker, ends, [Bytes::new(), Bytes::new()], idle, Some(moved));
    relay.gate = Gate::open(&inlet, &local, index, &passage);
    let end = match through(&mut relay, &local, &mut target, &mut passage).await {
        Ok(end) => {
            passage.error = error(end);
            end
        }
        Err(error) => {
            passage.error = Some(word(error));
            if let Some(gate) = &mut relay.gate {
                gate.asked(&passage, None);
            }
            End::Failed
        }
    };
    relay.leave(end).await;
    passage.duration = (clock.elapsed() - start).as_secs_f64();
    (passage.received, passage.sent) = relay.counts();
    let gate = relay.gate.take();
    let first = relay.first;
    drop(relay);
    let mut exchange = None;
    if let Some(gate) = gate {
        exchange = Some(gate.close(worker, closed(end, first), &passage).await);
    }
    worker.metrics.flow(series, index, target, passage.error);
    worker.log.connection(&inlet, &passage, exchange.as_deref());
}

/// Has the filters let it through, connects to an endpoint and moves bytes until the end.
async fn through(
    relay: &mut Relay,
    local: &Local,
    target: &mut usize,
    passage: &mut Passage,
) -> Result<End, UpstreamError> {
    if let Err(end) = relay.open().await {
        return Ok(end);
    }
    let worker = relay.worker.clone();
    if let Some(picked) = relay.gate.as_ref().and_then(|gate| gate.upstream())
        && *picked != passage.upstream
    {
        passage.upstream = picked.clone();
        let mut upstreams = local.upstreams.iter().map(|upstream| &upstream.shared.meant);
        let is_picked = |meant: &manifest::Upstream| {
            meant.name == *picked && meant.protocol == UpstreamProtocol::Tcp
        };
        *target = upstreams.position(is_picked).ok_or(UpstreamError::NoEndpoint)?;
    }
    let (one, _) = local.variant(*target, None, worker.random());
    if one != *target {
        *target = one;
        passage.upstream = local.upstreams[one].shared.meant.name.clone();
    }
    let upstream = &local.upstreams[*target];
    let asked = worker.clock.elapsed();
    let reached = match relay.meanwhile(reach(&worker, upstream, passage)).await {
        Ok(reached) => reached?,
        Err(end) => return Ok(end),
    };
    passage.connect = (worker.clock.elapsed() - asked).as_secs_f64();
    if let Some(gate) = &mut relay.gate {
        gate.asked(passage, Some(tls::link(&reached.stream)));
    }
    let _counted = (reached.lease, reached.permit);
    relay.join(reached.stream);
    Ok(relay.run().await)
}

/// A connection to an endpoint, counted until it is dropped.
struct Reached {
    stream: Stream,
    lease: Lease,
    permit: Permit,
}

/// Endpoints that stand for one name, which a connection tries.
const FOUND: usize = 4;

/// Connects to an endpoint; when one can't be reached, to another, each once.
async fn reach(
    worker: &Rc<Worker>,
    upstream: &Rc<Upstream>,
    passage: &mut Passage,
) -> Result<Reached, UpstreamError> {
    let mut tried = Vec::new();
    let mut last = None;
    let is_sought = upstream.shared.roster().is_some_and(|roster| roster.is_sought());
    let most = if is_sought { FOUND } else { upstream.shared.width() };
    loop {
        let reached = upstream.reach(worker, &tried).await;
        let mut lease = reached.map_err(|error| last.unwrap_or(error))?;
        if let Some(last) = last.filter(|_| tried.contains(&lease.number)) {
            return Err(last);
        }
        passage.retries += u32::from(last.is_some());
        passage.endpoint = Some(lease.address());
        let error = match lease.bare().await {
            Ok((stream, permit)) => {
                upstream.saw(worker, lease.number, true);
                return Ok(Reached { stream, lease, permit });
            }
            Err(error) => error,
        };
        if error != UpstreamError::Limit {
            upstream.saw(worker, lease.number, false);
        }
        tried.push(lease.number);
        // The limit is the upstream's, whichever endpoint it is.
        if error == UpstreamError::Limit || tried.len() >= most {
            return Err(error);
        }
        last = Some(error);
    }
}

/// How the log names an end.
fn error(end: End) -> Option<&'static str> {
    match end {
        End::Whole => None,
        End::Idle => Some("connection_read_timeout"),
        End::Broken(Side::Client) => Some(GONE),
        End::Broken(Side::Upstream) => Some("connection_terminated"),
        End::Closed => Some("closed_by_filter"),
        End::Failed => Some("proxy_internal_error"),
    }
}

/// Who has closed the client's connection.
fn closed(end: End, first: Option<Side>) -> Closed {
    match end {
        End::Broken(Side::Client) => Closed::There,
        End::Whole if first == Some(Side::Client) => Closed::There,
        _ => Closed::Here,
    }
}
