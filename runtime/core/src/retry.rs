//! Whether a try that failed may be repeated.

use std::collections::VecDeque;

use pilotlight_config::manifest::Retry;

/// Why a try failed, before a byte of its answer was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No connection came about: nothing was sent.
    Connect,
    /// The connection ended before the first byte of the answer.
    Reset,
    /// The upstream answered with this status, or the gateway would: 504 when it took too long.
    Status(u16),
}

/// A try that failed.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Whether the method may be repeated without asking; see [`is_idempotent`].
    pub idempotent: bool,
    /// Whether bytes of the body are gone: taken from the client and not kept.
    pub body_sent: bool,
    /// Why.
    pub reason: Reason,
    /// Tries so far, this one too.
    pub attempts: u32,
}

/// Whether the route's policy wants one more try, to another endpoint if there is one. The
/// [`Budget`] must have a retry left, too. `502` in the policy stands for resets as well, as it is
/// what the client would get.
///
/// A request that the upstream may have begun to work on is repeated only when its method is
/// idempotent (RFC 9110 section 9.2.2).
pub fn allows(policy: &Retry, facts: &Facts) -> bool {
    let wanted = match facts.reason {
        Reason::Connect => policy.connect,
        Reason::Reset => policy.statuses.contains(&502),
        Reason::Status(status) => policy.statuses.contains(&status),
    };
    wanted && facts.attempts <= policy.attempts && is_harmless(facts)
}

/// Whether the request may be sent again: nothing of it is lost, and doing it twice is as good as once.
pub fn is_harmless(facts: &Facts) -> bool {
    let unseen = facts.reason == Reason::Connect;
    !facts.body_sent && (facts.idempotent || unseen)
}

/// Whether a try that ended in [`Reason::Reset`] on a connection that had served before is
/// repeated on a new one. It needs no policy and costs no budget, once: a connection that was
/// closed while it idled is no failure of the upstream (RFC 9112 section 9.3.1).
///
/// `begun`: bytes of the request were written.
pub fn refreshes(facts: &Facts, begun: bool) -> bool {
    facts.reason == Reason::Reset && !facts.body_sent && (facts.idempotent || !begun)
}

/// RFC 9110 section 9.2.2.
pub fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}

/// Retries that are allowed whatever the share: a quiet route could never retry else.
pub const MIN_RETRIES: u64 = 3;

/// Slices of the window, a second each.
const WINDOW_SECONDS: u64 = 10;

/// Retries as a share of the requests of the last ten seconds, so that an upstream in trouble does
/// not get many times its load. One a worker and route.
#[derive(Debug, Clone)]
pub struct Budget {
    share: f64,
    /// Oldest first; at most [`WINDOW_SECONDS`].
    slices: VecDeque<Slice>,
    /// Of all slices.
    requests: u64,
    retries: u64,
}

#[derive(Debug, Clone)]
struct Slice {
    second: u64,
    requests: u64,
    retries: u64,
}

impl Budget {
    /// A share of 0.2 allows one retry for five requests.
    pub fn new(share: f64) -> Budget {
        Budget { share, slices: VecDeque::new(), requests: 0, retries: 0 }
    }

    /// Counts a request (not its retries) at a time of a clock that never goes back.
    pub fn request(&mut self, now_millis: u64) {
        self.requests += 1;
        self.slice(now_millis).requests += 1;
    }

    /// Takes a retry, if there is one left.
    pub fn take(&mut self, now_millis: u64) -> bool {
        self.forget(now_millis / 1000);
        let allowed = (self.requests as f64 * self.share) as u64;
        if self.retries >= allowed.max(MIN_RETRIES) {
            return false;
        }
        self.retries += 1;
        self.slice(now_millis).retries += 1;
        true
    }

    fn slice(&mut self, now_millis: u64) -> &mut Slice {
        let second = now_millis / 1000;
        self.forget(second);
        if self.slices.back().is_none_or(|last| last.second < second) {
            self.slices.push_back(Slice { second, requests: 0, retries: 0 });
        }
        let last = self.slices.len() - 1;
        &mut self.slices[last]
    }

    fn forget(&mut self, second: u64) {
        while let Some(oldest) = self.slices.front() {
            if oldest.second + WINDOW_SECONDS > second {
                return;
            }
            self.requests -= oldest.requests;
            self.retries -= oldest.retries;
            self.slices.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
