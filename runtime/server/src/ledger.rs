//! What nodes have together, in a Redis server: leases of rate limits, and counts of dictionaries.
//!
//! ```text
//! workers ── asks ─▶ a task on one of them ── one connection, a batch at a time ─▶ Redis
//! ```
//! No exchange waits for longer than [`SOON`]: then, or when it is told that what it asked for is lost, it decides
//! alone, until the server is there again.

mod counts;
mod link;

use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use pilotlight_config::Place;
use pilotlight_config::manifest::{Manifest, Program, Redis, Shipped};
use pilotlight_core::allowance::Grant;
use pilotlight_filter::abi::Value;
use pilotlight_filter::host::Level;
use pilotlight_filter::host::resp::Reply;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

pub(crate) use self::counts::Counts;
use self::link::Link;
pub(crate) use self::link::{Commands, Script};
use crate::clock;
use crate::shipped::Limiter;
use crate::worker::Worker;

/// How long an exchange waits for a server, and each step of who asks it.
pub(crate) const SOON: Duration = Duration::from_millis(250);
/// Between two tries to reach a server that is lost: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a node says that it is there, and how long it is taken to be, in seconds.
const BEAT: Duration = Duration::from_secs(5);
const ALIVE: &str = "30";
/// Between two times that counts are added up.
const SYNC: Duration = Duration::from_millis(100);
/// Asks that wait; more are lost.
const ASKS: usize = 4096;
/// Commands that are sent at once.
const BATCH: usize = 128;
/// Refusals that another connection may mend.
const LOSSES: [&str; 2] = ["NOSCRIPT", "LOADING"];

/// A server.
pub(crate) struct Ledger {
    meant: Redis,
    state: Arc<State>,
    asks: mpsc::Sender<Ask>,
    /// Until somebody keeps it.
    inbox: Mutex<Option<mpsc::Receiver<Ask>>>,
}

/// What is known of a server.
#[derive(Default)]
struct State {
    line: AtomicU8,
    nodes: AtomicU32,
}

/// Nobody has asked yet, or not for long.
const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const LOST: u8 = 2;

/// What a worker asks.
pub(crate) enum Ask {
    /// So many tokens for a key.
    Lease(Arc<Limiter>, Box<[u8]>, f64),
    /// There is something to add up.
    Count(Arc<Counts>),
}

impl Ask {
    fn lost(self) {
        if let Ask::Lease(limiter, key, _) = self {
            limiter.lost(&key);
        }
    }
}

/// The servers that a manifest has nodes share something by. One that means the same as before is the same.
pub(crate) fn ledgers(manifest: &Manifest, old: &[Arc<Ledger>]) -> Vec<Arc<Ledger>> {
    let of_filters = manifest.filters.iter().filter_map(|filter| match &filter.program {
        Program::Shipped(shipped) => match &**shipped {
            Shipped::RateLimit(limit) => limit.redis.as_ref(),
            Shipped::Scaler => None,
        },
        _ => None,
    });
    let of_shared = manifest.shared.values().filter_map(|shared| shared.redis.as_ref());
    let used: Vec<_> = of_filters.chain(of_shared).collect();
    let servers = manifest.redis.iter().filter(|redis| used.contains(&&redis.name));
    let ledger = |redis: &Redis| {
        let meant = Redis { place: Place::default(), ..redis.clone() };
        let kept = old.iter().find(|ledger| ledger.meant == meant).cloned();
        kept.unwrap_or_else(|| {
            let (asks, inbox) = mpsc::channel(ASKS);
            let (state, inbox) = (Arc::default(), Mutex::new(Some(inbox)));
            Arc::new(Ledger { meant, state, asks, inbox })
        })
    };
    servers.map(ledger).collect()
}

impl Ledger {
    /// Its name in the manifest.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.meant.name
    }

    /// Whether it can't be asked now.
    pub(crate) fn is_lost(&self) -> bool {
        self.state.line.load(Ordering::Acquire) == LOST
    }

    /// Nodes that share it, as far as is known.
    pub(crate) fn nodes(&self) -> u32 {
        self.state.nodes.load(Ordering::Relaxed).max(1)
    }

    /// Asks; false: it is of no use.
    pub(crate) fn ask(&self, ask: Ask) -> bool {
        self.asks.try_send(ask).is_ok()
    }

    /// Whether a task is needed that answers.
    pub(crate) fn is_new(&self) -> bool {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Answers as long as somebody may ask; on the worker that is first told to.
    pub(crate) async fn keep(self: Arc<Ledger>, worker: Rc<Worker>) {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(inbox) = inbox else { return };
        let mut id = [0; 8];
        clock::random(&mut id);
        let (meant, state) = (self.meant.clone(), self.state.clone());
        // What asks holds it, and this does not: it ends with them.
        drop(self);
        let node = format!("{:016x}", u64::from_ne_bytes(id));
        let (link, beat, again, due, refused) = (None, None, AGAIN.0, Vec::new(), false);
        let keeper = Keeper { meant, state, inbox, worker, node, link, beat, again, due, refused };
        Box::pin(keeper.run()).await;
    }
}

/// Who talks to a server.
struct Keeper {
    meant: Redis,
    state: Arc<State>,
    inbox: mpsc::Receiver<Ask>,
    worker: Rc<Worker>,
    /// What this node is called there.
    node: String,
    link: Option<Link>,
    /// When this node last said that it is there, on the process's clock.
    beat: Option<Duration>,
    again: Duration,
    /// Counts to be added up, and when.
    due: Vec<(Duration, Weak<Counts>)>,
    /// The log has a refusal of this connection.
    refused: bool,
}

/// What happens next.
enum Next {
    Asked(Ask),
    Due,
    Again,
    Idle,
    End,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            match self.next().await {
                Next::End => return,
                Next::Idle => self.idle(),
                Next::Again => self.try_again().await,
                Next::Due => self.count().await,
                Next::Asked(Ask::Count(counts)) => self.will_count(&counts),
                Next::Asked(ask) if self.is_lost() => ask.lost(),
                Next::Asked(ask) => self.lease(ask).await,
            }
        }
    }

    /// What was counted is added up soon. A dictionary that is gone by then has nothing to add.
    fn will_count(&mut self, counts: &Arc<Counts>) {
        let at = self.worker.clock.elapsed() + SYNC;
        self.due.push((at, Arc::downgrade(counts)));
    }

    fn is_lost(&self) -> bool {
        self.state.line.load(Ordering::Acquire) == LOST
    }

    async fn next(&mut self) -> Next {
        let (lost, again, memory) = (self.is_lost(), self.again, self.worker.memory.clone());
        let now = self.worker.clock.elapsed();
        let due = self.due.first().map(|(at, _)| at.saturating_sub(now)).filter(|_| !lost);
        tokio::select! {
            asked = self.inbox.recv() => asked.map_or(Next::End, Next::Asked),
            () = sleep(due.unwrap_or_default()), if due.is_some() => Next::Due,
            // Nobody is woken for it.
            () = async { sleep(again).await; memory.awake().await }, if lost => Next::Again,
            () = sleep(self.meant.idle), if self.link.is_some() && due.is_none() => Next::Idle,
        }
    }

    /// Nobody has asked for a while.
    fn idle(&mut self) {
        self.link = None;
        self.state.line.store(UNKNOWN, Ordering::Release);
    }

    async fn try_again(&mut self) {
        match self.connect(self.meant.connect).await {
            Ok(()) => {
                self.again = AGAIN.0;
                let nodes = self.state.nodes.load(Ordering::Relaxed).to_string();
                let fields = [("redis", &*self.meant.name), ("nodes", &nodes)];
                self.worker.log.event(Level::Info, "redis is back", &fields);
            }
            Err(_) => self.again = (self.again * 2).min(AGAIN.1),
        }
    }

    /// Opens a connection, and says there that this node is.
    async fn connect(&mut self, limit: Duration) -> Result<(), String> {
        let programs = self.worker.control.generation().program_tls.clone();
        let opening = Link::open(&self.meant, programs);
        let late = |_| Err("timeout".to_owned());
        self.link = Some(timeout(limit, opening).await.unwrap_or_else(late)?);
        (self.beat, self.refused) = (None, false);
        if let Err(error) = self.exchange(Commands::default(), 0).await {
            self.link = None;
            return Err(error);
        }
        self.state.line.store(UP, Ordering::Release);
        Ok(())
    }

    /// The server does not do: from now on the node is alone.
    fn lose(&mut self, why: &str) {
        self.link = None;
        if self.state.line.swap(LOST, Ordering::AcqRel) != LOST {
            let nodes = self.state.nodes.load(Ordering::Relaxed).max(1).to_string();
            let fields = [("redis", &*self.meant.name), ("error", why), ("nodes", &nodes)];
            let text = "redis is lost: this node has its share of limits";
            self.worker.log.event(Level::Warn, text, &fields);
        }
    }

    /// Sends commands, and reads as many replies; now and then it says that this node is there.
    async fn exchange(
        &mut self,
        mut commands: Commands,
        replies: usize,
    ) -> Result<Vec<Reply>, String> {
        let now = self.worker.clock.elapsed();
        let beats = self.beat.is_none_or(|beat| now.saturating_sub(beat) >= BEAT);
        if beats {
            commands.nodes(&self.node, ALIVE);
        }
        if replies == 0 && !beats {
            return Ok(Vec::new());
        }
        let Some(link) = &mut self.link else { return Err("closed".to_owned()) };
        let limit = SOON.min(self.meant.reply);
        let all = link.ask(&commands, replies + usize::from(beats));
        let mut all = timeout(limit, all).await.map_err(|_| "timeout".to_owned())??;
        if beats && let Some(Reply::Value(Value::Int(nodes))) = all.pop() {
            self.state.nodes.store(u32::try_from(nodes).unwrap_or(1), Ordering::Relaxed);
            self.beat = Some(now);
        }
        Ok(all)
    }

    async fn reach(&mut self) -> Result<(), String> {
        match self.link {
            Some(_) => Ok(()),
            None => self.connect(SOON.min(self.meant.connect)).await,
        }
    }

    /// Leases, for this and for all that have been asked for meanwhile.
    async fn lease(&mut self, first: Ask) {
        let mut asks = vec![first];
        while asks.len() < BATCH
            && let Ok(ask) = self.inbox.try_recv()
        {
            match ask {
                Ask::Count(counts) => self.will_count(&counts),
                lease => asks.push(lease),
            }
        }
        let mut commands = Commands::default();
        for ask in &asks {
            if let Ask::Lease(limiter, key, want) = ask {
                limiter.write(&mut commands, key, *want);
            }
        }
        let said = self.tell(commands, asks.len()).await;
        for (ask, said) in asks.into_iter().zip(said) {
            match (ask, said.as_ref().and_then(grant)) {
                (Ask::Lease(limiter, key, _), Some(grant)) => limiter.granted(&key, grant),
                (ask, _) => ask.lost(),
            }
        }
    }

    /// What is said to each of so many commands; nothing where it was refused, or the server is lost.
    async fn tell(&mut self, commands: Commands, count: usize) -> Vec<Option<Value>> {
        let outcome = async {
            self.reach().await?;
            self.exchange(commands, count).await
        };
        let outcome: Result<Vec<Reply>, String> = outcome.await;
        let replies = outcome.unwrap_or_else(|why| {
            self.lose(&why);
            Vec::new()
        });
        let mut all: Vec<_> = replies.into_iter().map(|reply| self.heard(reply)).collect();
        all.resize(count, None);
        all
    }

    /// A refusal is that of one command: the others, and the connection, are as good as before.
    fn heard(&mut self, reply: Reply) -> Option<Value> {
        let why = match reply {
            Reply::Value(value) => return Some(value),
            Reply::Refused(why) => why,
        };
        if LOSSES.iter().any(|loss| why.starts_with(loss)) {
            self.lose(&why);
        } else if !std::mem::replace(&mut self.refused, true) {
            let fields = [("redis", &*self.meant.name), ("error", &*why)];
            self.worker.log.event(Level::Warn, "redis refuses", &fields);
        }
        None
    }

    /// Adds up what is due first.
    async fn count(&mut self) {
        let Some(counts) = self.due.remove(0).1.upgrade() else { return };
        let taken = counts.take(BATCH);
        let mut commands = Commands::default();
        taken.iter().for_each(|(key, change)| counts.write(&mut commands, key, change));
        let said = self.tell(commands, taken.len()).await;
        let mut again = Vec::new();
        for ((key, change), said) in taken.into_iter().zip(said) {
            match said {
                Some(said) => counts.learn(&key, &said),
                None if self.is_lost() => again.push((key, change)),
                // It would be refused again.
                None => {}
            }
        }
        counts.put_back(again);
        if counts.is_due() {
            self.will_count(&counts);
        }
    }
}

/// What a lease's reply says.
fn grant(said: &Value) -> Option<Grant> {
    let Value::List(all) = said else { return None };
    let [Value::Int(got), Value::Int(left), Value::Int(micros)] = all[..] else { return None };
    Some(Grant { got: got as f64, left: left as f64, next_in: micros as f64 / 1e6 })
}

#[cfg(test)]
pub(crate) mod tests;
