//! Limits of an upstream, shared by all workers: beyond them a request fails at once, or waits where
//! there is leave to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pilotlight_config::manifest;

/// Counts what an upstream is busy with.
#[derive(Debug)]
pub struct Breaker {
    connections: Counter,
    requests: Counter,
    pending: Counter,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Open connections: `max_connections`.
    Connections,
    /// Requests on their way: `max_requests`.
    Requests,
    /// Requests that wait for a connection: `max_pending`.
    Pending,
}

impl Limit {
    /// Its key in the manifest.
    pub const fn key(self) -> &'static str {
        match self {
            Limit::Connections => "max_connections",
            Limit::Requests => "max_requests",
            Limit::Pending => "max_pending",
        }
    }
}

/// A limit is reached; answered with 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the upstream's {} is reached", .limit.key())]
pub struct Exhausted {
    /// Which.
    pub limit: Limit,
}

/// Leave for one more. Dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    breaker: Arc<Breaker>,
    limit: Limit,
}

/// Cache lines of their own: workers count requests and connections at different times.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counter {
    used: AtomicUsize,
    max: usize,
    refused: AtomicU64,
}

impl Breaker {
    /// Nothing is used yet.
    pub fn new(limits: &manifest::Breaker) -> Arc<Breaker> {
        let counter = |max| Counter { max, ..Counter::default() };
        Arc::new(Breaker {
            connections: counter(limits.max_connections),
            requests: counter(limits.max_requests),
            pending: counter(limits.max_pending),
        })
    }

    /// Leave for one more connection.
    ///
    /// # Errors
    /// [`Exhausted`]
    pub fn connection(self: &Arc<Breaker>) -> Result<Permit, Exhausted> {
        self.acquire(Limit::Connections)
    }

    /// Leave for one more request.
    ///
    /// # Errors
    /// [`Exhausted`]
    pub fn request(self: &Arc<Breaker>) -> Result<Permit, Exhausted> {
        self.acquire(Limit::Requests)
    }

    /// Leave for one more request to wait for a connection.
    ///
    /// # Errors
    /// [`Exhausted`]
    pub fn pending(self: &Arc<Breaker>) -> Result<Permit, Exhausted> {
        self.acquire(Limit::Pending)
    }

    /// Leave for one more of something.
    ///
    /// # Errors
    /// [`Exhausted`] when as many are out as the manifest allows.
    pub fn acquire(self: &Arc<Breaker>, limit: Limit) -> Result<Permit, Exhausted> {
        // A loop that compares, not add-then-check: nobody may be refused because of another's
        // overshoot. Only counts are shared, nothing is published by them: relaxed will do.
        let counter = self.counter(limit);
        let mut used = counter.used.load(Ordering::Relaxed);
        loop {
            if used >= counter.max {
                counter.refused.fetch_add(1, Ordering::Relaxed);
                return Err(Exhausted { limit });
            }
            match counter.used.compare_exchange_weak(
                used,
                used + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(Permit { breaker: self.clone(), limit }),
                Err(now) => used = now,
            }
        }
    }

    /// How many are out.
    pub fn used(&self, limit: Limit) -> usize {
        self.counter(limit).used.load(Ordering::Relaxed)
    }

    /// How many may be.
    pub fn max(&self, limit: Limit) -> usize {
        self.counter(limit).max
    }

    /// How often there was no leave.
    pub fn refused(&self, limit: Limit) -> u64 {
        self.counter(limit).refused.load(Ordering::Relaxed)
    }

    fn counter(&self, limit: Limit) -> &Counter {
        match limit {
            Limit::Connections => &self.connections,
            Limit::Requests => &self.requests,
            Limit::Pending => &self.pending,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.breaker.counter(self.limit).used.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
