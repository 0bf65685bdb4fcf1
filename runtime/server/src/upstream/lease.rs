//! An exchange's hold on an endpoint, and how it comes by a connection: one that is there, one that
//! another exchange is opening, a new one, or the next that is free.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use pilotlight_config::manifest::{self, UpstreamProtocol};
use pilotlight_core::breaker;
use tokio::sync::watch;

use super::pool::{Endpoint, Multiplexed, Permit, Upstream};
use super::{Outbound, UpstreamError, connect, h1, h2};
use crate::apps::Seat;
use crate::stream::Stream;
use crate::tls::{Apart, Met};
use crate::worker::Worker;

/// Counts as active on its endpoint until dropped.
pub(crate) struct Lease {
    upstream: Rc<Upstream>,
    worker: Rc<Worker>,
    endpoint: usize,
    /// By which the upstream knows what it goes to: its endpoint, or the instance or member whose pool this is.
    pub(crate) number: usize,
    /// The connection that it shares with others.
    shares: Option<Rc<Multiplexed>>,
    /// At the instance of an application that it goes to.
    pub(super) seat: Option<Box<Seat>>,
    _request: Option<breaker::Permit>,
}

/// A connection that is being opened: it ends with an error, or without one.
pub(super) type Opening = watch::Receiver<Option<UpstreamError>>;

/// What there is for an exchange without a connection.
enum Found {
    Connection(Outbound),
    Opening(Opening),
    /// Leave to open one.
    Leave(Permit),
}

impl Lease {
    pub(super) fn new(
        upstream: Rc<Upstream>,
        worker: Rc<Worker>,
        endpoint: usize,
        request: Option<breaker::Permit>,
    ) -> Lease {
        let active = &upstream.endpoints[endpoint].active;
        active.set(active.get() + 1);
        Lease {
            upstream,
            worker,
            endpoint,
            number: endpoint,
            shares: None,
            seat: None,
            _request: request,
        }
    }

    /// A connection that is there already, when nobody has waited for it.
    pub(crate) fn reuse(&mut self) -> Option<Outbound> {
        if self.upstream.queue.is_empty() { self.pooled() } else { None }
    }

    /// Comes by a connection, within the upstream's time for it. `fresh`: an old one will not do.
    ///
    /// # Errors
    /// Those of connecting; [`UpstreamError::Limit`] when too many wait, or none was free in time.
    pub(crate) async fn connect(&mut self, mut fresh: bool) -> Result<Outbound, UpstreamError> {
        loop {
            let free = self.upstream.queue.is_empty();
            let found = match free.then(|| self.find(fresh)).flatten() {
                Some(found) => found,
                None => self.wait(fresh).await?,
            };
            match found {
                Found::Connection(out) => return Ok(out),
                Found::Leave(permit) => return self.open(permit).await,
                Found::Opening(opening) => {
                    ended(opening).await?;
                    fresh = false;
                }
            }
        }
    }

    /// Opens a connection that is its holder's own, when the upstream may have one more.
    ///
    /// # Errors
    /// As those of [`Lease::connect`].
    pub(crate) async fn bare(&mut self) -> Result<(Stream, Permit), UpstreamError> {
        let free = self.upstream.queue.is_empty();
        let found = match free.then(|| self.find(true)).flatten() {
            Some(found) => found,
            None => self.wait(true).await?,
        };
        let Found::Leave(permit) = found else { return Err(UpstreamError::Protocol) };
        let shared = &self.upstream.shared;
        let stream = connect::bare(shared, &shared.meant.endpoints[self.endpoint]).await?;
        Ok((stream, permit))
    }

    fn here(&self) -> &Endpoint {
        &self.upstream.endpoints[self.endpoint]
    }

    fn pooled(&mut self) -> Option<Outbound> {
        if let Some(shared) = self.here().multiplexed() {
            return Some(self.share(shared));
        }
        self.here().single().map(|conn| Outbound::H1(h1::Outbound::new(conn)))
    }

    fn share(&mut self, shared: Rc<Multiplexed>) -> Outbound {
        let out = shared.connection.open();
        self.shares = Some(shared);
        Outbound::H2(out)
    }

    fn find(&mut self, fresh: bool) -> Option<Found> {
        if let Some(out) = (!fresh).then(|| self.pooled()).flatten() {
            return Some(Found::Connection(out));
        }
        if let Some(opening) = &*self.here().opening.borrow() {
            return Some(Found::Opening(opening.clone()));
        }
        let shared = &self.upstream.shared;
        let leave = shared.connection();
        let made = || self.upstream.make_room().then(|| shared.connection()).flatten();
        leave.or_else(made).map(Found::Leave)
    }

    /// Waits for its turn: the upstream has as many connections as it may.
    async fn wait(&mut self, fresh: bool) -> Result<Found, UpstreamError> {
        let upstream = self.upstream.clone();
        let shared = &upstream.shared;
        let place = shared.breaker.pending().map_err(|_| UpstreamError::Limit)?;
        let place = upstream.queue.join(place);
        shared.wanted.send_replace(());
        let turn = async {
            loop {
                let mut freed = pin!(shared.freed.notified());
                // From here on no end of a connection is missed.
                freed.as_mut().enable();
                let found = poll_fn(|cx| {
                    if place.is_first(cx)
                        && let Some(found) = self.find(fresh)
                    {
                        return Poll::Ready(Some(found));
                    }
                    freed.as_mut().poll(cx).map(|()| None)
                });
                if let Some(found) = found.await {
                    return found;
                }
            }
        };
        let limit = shared.meant.timeouts.connect;
        tokio::time::timeout(limit, turn).await.map_err(|_| UpstreamError::Limit)
    }

    /// A new connection.
    async fn open(&mut self, permit: Permit) -> Result<Outbound, UpstreamError> {
        let (upstream, endpoint) = (self.upstream.clone(), self.endpoint);
        let here = &upstream.endpoints[endpoint];
        let meant = &upstream.shared.meant.endpoints[endpoint];
        let many = match upstream.shared.meant.protocol {
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::Http2 => true,
            UpstreamProtocol::Auto => meant.tls && !here.single.get(),
            // A program has named it for a request.
            UpstreamProtocol::Tcp => return Err(UpstreamError::Protocol),
        };
        let announced = many.then(|| Announced::new(here));
        let connected = connect::connect(&self.worker, &upstream.shared, meant).await;
        match connected {
            Ok(connect::Connected::H1(stream)) => {
                here.single.set(true);
                let worker = self.worker.clone();
                let conn = h1::Connection::new(worker, upstream.clone(), endpoint, stream, permit);
                Ok(Outbound::H1(h1::Outbound::new(conn)))
            }
            Ok(connect::Connected::H2(connection)) => {
                here.single.set(false);
                let shared = upstream.share(&self.worker, endpoint, connection, permit);
                Ok(self.share(shared))
            }
            Err(error) => {
                if let Some(announced) = announced {
                    announced.end.send_replace(Some(error));
                }
                Err(error)
            }
        }
    }

    /// Whether its endpoint is reached by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.upstream.shared.meant.endpoints[self.endpoint].tls
    }

    /// The upstream's settings.
    pub(crate) fn meant(&self) -> &manifest::Upstream {
        &self.upstream.shared.meant
    }

    /// Opens a connection that no other exchange will use, and says what the endpoint has shown.
    ///
    /// # Errors
    /// Those of connecting; [`UpstreamError::Limit`] when there are too many connections.
    pub(crate) async fn meet(&mut self, apart: &Apart) -> Result<(Met, Permit), UpstreamError> {
        let shared = &self.upstream.shared;
        let made = || self.upstream.make_room().then(|| shared.connection()).flatten();
        let permit = shared.connection().or_else(made).ok_or(UpstreamError::Limit)?;
        let met = connect::meet(shared, &shared.meant.endpoints[self.endpoint], apart).await?;
        Ok((met, permit))
    }

    /// Uses such a connection.
    pub(crate) fn adopt(&mut self, met: Met, permit: Permit) -> Outbound {
        let worker = self.worker.clone();
        if met.http2 || self.meant().protocol == UpstreamProtocol::Http2 {
            let connection = h2::Connection::new(&worker, met.stream);
            // Nobody else knows of it: it goes with this lease.
            return self.share(Multiplexed::new(connection, permit));
        }
        let (upstream, endpoint) = (self.upstream.clone(), self.endpoint);
        let conn = h1::Connection::new(worker, upstream, endpoint, met.stream, permit);
        conn.borrow_mut().set_apart();
        Outbound::H1(h1::Outbound::new(conn))
    }

    /// The longest wait for a response's head, by the route or else the upstream.
    pub(crate) fn first_byte(&self, route: Option<Duration>) -> Duration {
        route.unwrap_or(self.upstream.shared.meant.timeouts.first_byte)
    }

    /// The longest wait between two reads of a response's body.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.upstream.shared.meant.timeouts.idle
    }

    /// The endpoint's address, for logs and scripts.
    pub(crate) fn address(&self) -> Rc<str> {
        self.here().address.clone()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let active = &self.here().active;
        active.set(active.get() - 1);
        if let Some(shared) = self.shares.take() {
            shared.since.set(self.worker.clock.millis());
        }
        self.upstream.free();
    }
}

/// An endpoint's connection on its way: others wait for it instead of opening theirs.
struct Announced<'a> {
    endpoint: &'a Endpoint,
    end: watch::Sender<Option<UpstreamError>>,
}

impl<'a> Announced<'a> {
    fn new(endpoint: &'a Endpoint) -> Announced<'a> {
        let (end, opening) = watch::channel(None);
        *endpoint.opening.borrow_mut() = Some(opening);
        Announced { endpoint, end }
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        *self.endpoint.opening.borrow_mut() = None;
    }
}

/// Waits for the end of another's attempt. Who opened it may have left: then the next one tries.
async fn ended(mut opening: Opening) -> Result<(), UpstreamError> {
    let _ = opening.changed().await;
    opening.borrow().map_or(Ok(()), Err)
}
