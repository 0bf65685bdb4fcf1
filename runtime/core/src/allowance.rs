//! How much may pass in a time: a bucket of tokens for each key, on one node or shared by many.
//!
//! ```text
//! one node     dictionary: key ─▶ when its bucket is full again; a token is a piece of that time
//! many nodes   Redis: the same ─ a lease of some tokens, for a second ─▶ node: spends them by itself
//!                └─ lost ─▶ each node: a bucket of its share
//! ```
//! In any time t no more than `burst + rate × (t + LEASE)` passes all nodes together, however many they are:
//! every token comes out of the one bucket, at most a lease's life before it is spent. While Redis is lost
//! each node has its share of rate and burst on top of what was leased.

/// How long a lease may be spent, in seconds.
pub const LEASE: f64 = 1.0;

/// A rate, and how many may pass at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance {
    /// Tokens that a bucket gains.
    pub per_second: f64,
    /// Tokens that it holds.
    pub burst: f64,
}

impl Allowance {
    /// Seconds in which an empty bucket gains a token: a request makes a bucket fill so much later.
    pub fn cost(&self) -> f64 {
        1.0 / self.per_second
    }

    /// Seconds in which an empty bucket fills.
    pub fn fills_in(&self) -> f64 {
        self.burst / self.per_second
    }

    /// Whole tokens of a bucket that is full in so many seconds.
    pub fn tokens(&self, full_in: f64) -> f64 {
        // What was put together of many costs is not exact.
        (self.burst - full_in.max(0.0) * self.per_second + 1e-6).floor().max(0.0)
    }

    /// Seconds until a bucket that is full in so many has a token.
    pub fn next_in(&self, full_in: f64) -> f64 {
        (full_in + self.cost() - self.fills_in()).max(0.0)
    }

    /// What one of so many nodes may let pass by itself.
    pub fn share(&self, nodes: u32) -> Allowance {
        let nodes = f64::from(nodes.max(1));
        Allowance { per_second: self.per_second / nodes, burst: (self.burst / nodes).max(1.0) }
    }

    /// The most that a lease is of: what the rate gives while it lasts.
    fn lease_max(&self) -> f64 {
        (self.per_second * LEASE).floor().max(1.0)
    }
}

/// What the shared bucket gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grant {
    /// Tokens.
    pub got: f64,
    /// Whole tokens that are left in it.
    pub left: f64,
    /// Seconds until it has one, where it gave none.
    pub next_in: f64,
}

/// The shared bucket, as a script of Redis: KEYS[1] holds when it is full. ARGV: rate, burst, tokens wanted. Replies
/// with [`Grant`] in whole numbers, the time in microseconds. [`grant`] is the same.
pub const GRANT: &str = "local t=redis.call('TIME') local now=t[1]+t[2]/1e6 \
local rate,burst,want=tonumber(ARGV[1]),tonumber(ARGV[2]),tonumber(ARGV[3]) \
local full=math.max(tonumber(redis.call('GET',KEYS[1]) or 0),now) \
if full>now+burst/rate then full=now+burst/rate end \
local left=math.floor(burst-(full-now)*rate+1e-6) local got=math.min(want,left) \
if got<1 then return {0,0,math.ceil((full-now+1/rate-burst/rate)*1e6)} end \
full=full+got/rate \
redis.call('SET',KEYS[1],string.format('%.6f',full),'PX',math.ceil((full-now)*1000)+1) \
return {got,left-got,0}";

/// Takes tokens out of the shared bucket, which is full at `full_at`.
pub fn grant(full_at: &mut f64, now: f64, of: &Allowance, want: f64) -> Grant {
    let full_in = (*full_at - now).clamp(0.0, of.fills_in());
    let left = of.tokens(full_in);
    let got = want.min(left);
    if got < 1.0 {
        return Grant { got: 0.0, left: 0.0, next_in: of.next_in(full_in) };
    }
    *full_at = now + full_in + got * of.cost();
    Grant { got, left: left - got, next_in: 0.0 }
}

/// A node's lease of one key's bucket. Times are seconds of a clock that never goes back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lease {
    /// Of these it had so many when it was given.
    given: f64,
    tokens: f64,
    until: f64,
    /// The bucket had none: it has one then.
    empty_until: f64,
    /// Tokens in the bucket when it was last heard of.
    left: f64,
    /// It was asked for more, which has not come.
    asking: bool,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// It passes; so many tokens are left, as far as is known.
    Pass(f64),
    /// It does not; there is a token in so many seconds.
    Refuse(f64),
    /// It waits for what the shared bucket gives. That is to be asked for so many tokens; `None`: it was.
    Wait(Option<f64>),
}

impl Lease {
    /// A request comes.
    pub fn take(&mut self, now: f64, of: &Allowance) -> Step {
        if now < self.until && self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Step::Pass(self.tokens + self.left);
        }
        if now < self.empty_until {
            return Step::Refuse(self.empty_until - now);
        }
        if self.asking {
            return Step::Wait(None);
        }
        self.asking = true;
        // As many as were spent of the last; twice that if it did not last. So a lease is of what is needed.
        let spent = self.given - self.tokens;
        let want = if now < self.until { 2.0 * spent } else { spent };
        Step::Wait(Some(want.clamp(1.0, of.lease_max())))
    }

    /// What was asked for has come.
    pub fn granted(&mut self, now: f64, grant: Grant) {
        self.asking = false;
        self.left = grant.left;
        if grant.got >= 1.0 {
            (self.given, self.tokens, self.until) = (grant.got, grant.got, now + LEASE);
        } else {
            self.empty_until = now + grant.next_in.max(0.001);
        }
    }

    /// It will not come.
    pub fn lost(&mut self) {
        self.asking = false;
    }

    /// A request comes while nobody can be asked: whether it passes by what was leased before.
    pub fn take_left(&mut self, now: f64) -> bool {
        let passes = now < self.until && self.tokens >= 1.0;
        self.tokens -= if passes { 1.0 } else { 0.0 };
        passes
    }

    /// Nothing is lost with it.
    pub fn is_over(&self, now: f64) -> bool {
        !self.asking && now >= self.until + LEASE && now >= self.empty_until
    }
}

#[cfg(test)]
mod tests;
