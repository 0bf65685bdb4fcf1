//! Random traffic across many sleeps.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{asleep, descriptors, is_parked, memory, plain, sleeper};
use crate::support::gateway::Setup;
use crate::support::message::{ALL, Client, ask};
use crate::support::{Gateway, Request, full, run, soon};

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most
    }

    /// One for somebody else, whose turn comes when it will.
    fn another(&mut self) -> Random {
        Random(self.below(u64::MAX) << 1 | 1)
    }
}

/// `PILOTLIGHT_SEED` repeats a run.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let given = std::env::var("PILOTLIGHT_SEED").map(|seed| seed.parse().unwrap());
    given.unwrap_or(now.as_nanos() as u64) | 1
}

/// What the parked form holds, once it has settled.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    /// Pages that no file has.
    dirty: u64,
    /// What outlives sleep: bytes in files of memory.
    kept: u64,
    children: usize,
}

async fn held(gateway: &Gateway) -> Held {
    asleep(gateway).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let pid = gateway.pid();
    assert!(is_parked(pid));
    let list = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().flatten();
    let in_memory = |path: &std::path::PathBuf| {
        let to = std::fs::read_link(path).unwrap_or_default();
        to.to_string_lossy().starts_with("/memfd:")
    };
    let files = list("fd").map(|entry| entry.path()).filter(in_memory);
    let children = |thread: std::fs::DirEntry| {
        let all = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        all.split_whitespace().count()
    };
    Held {
        descriptors: descriptors(pid),
        dirty: memory(pid, "Private_Dirty:"),
        kept: files.map(|path| std::fs::metadata(path).map_or(0, |facts| facts.len())).sum(),
        children: list("task").map(children).sum(),
    }
}

/// Requests that came to their end, by protocol.
type Counts = [u64; 3];

/// A client: a few requests over one connection, which it may then leave open until the gateway closes it.
async fn visit(gateway: Rc<Gateway>, mut random: Random) -> Counts {
    let mut pause = async |most| {
        tokio::time::sleep(Duration::from_millis(random.below(most))).await;
        random.below(1 << 20)
    };
    let chance = pause(20).await;
    let protocol = ALL[chance as usize % 3];
    let mut counts = Counts::default();
    let mut client = Client::connect(protocol, &gateway, "a.test").await;
    for _ in 0..1 + chance / 3 % 3 {
        let chance = pause(10).await;
        let size = 1 + chance as usize / 3 % 3000;
        let (request, wanted) = match chance % 3 {
            0 => (Request::get("/fixed"), "here".to_owned()),
            1 => (Request::get("/filtered"), "filtered".to_owned()),
            _ => (Request::new("POST", "/counted").body(vec![b'x'; size]), size.to_string()),
        };
        assert_eq!(client.send(&request).await.assert(200).text(), wanted, "{protocol:?}");
        counts[protocol as usize] += 1;
    }
    if chance % 400 == 0 {
        tokio::time::sleep(KEEPALIVE * 3 / 2).await;
    }
    counts
}

/// After so long the gateway closes a connection. A machine that stands still for that long, between a
/// client's packets, would lose it requests that no gateway could keep.
const KEEPALIVE: Duration = Duration::from_secs(4);
const COUNTED: &str = "return { request = function(req)\n\
    return { body = tostring(#(req:body() or '')) } end }";

/// One that closes idle connections soon.
fn dozer() -> Setup {
    let mut setup = sleeper("workers = 2").file("c.lua", COUNTED);
    setup.listener = format!("timeouts = {{ keepalive = \"{}ms\" }}", KEEPALIVE.as_millis());
    setup.rest.push_str("[filters.c]\nlua = \"c.lua\"\n[[routes]]\nfilters = [\"c\"]\n");
    setup.rest.push_str("match = { path = \"/counted\" }\nrespond = { body = \"none\" }\n");
    setup
}

#[test]
fn cycles_under_random_traffic_lose_nothing_and_leak_nothing() {
    let given = std::env::var("PILOTLIGHT_CYCLES").map(|count| count.parse().unwrap());
    let cycles = given.unwrap_or(if full() { 10_000 } else { 150 });
    run(async {
        let seed = seed();
        println!("seed {seed}");
        let mut random = Random(seed);
        let gateway = Rc::new(dozer().start().await);
        let mut slept = Sleeps { gateway: &gateway, read: 0, seen: 0 };
        let mut first = None;
        let (mut sent, begun) = (Counts::default(), Instant::now());
        let tasks = tokio::task::LocalSet::new();
        let traffic = async {
            while slept.count() < cycles {
                // Sometimes it has just fallen asleep, sometimes it is about to.
                match random.below(4) {
                    0 => tokio::time::sleep(Duration::from_millis(random.below(160))).await,
                    _ => asleep(&gateway).await,
                }
                let each = 0..1 + random.below(4);
                let all = each.map(|_| visit(gateway.clone(), random.another()));
                for task in all.map(tokio::task::spawn_local).collect::<Vec<_>>() {
                    let counts = task.await.unwrap();
                    sent.iter_mut().zip(counts).for_each(|(sum, more)| *sum += more);
                }
                if first.is_none() && slept.count() >= 50 {
                    first = Some(held(&gateway).await);
                }
            }
        };
        tasks.run_until(traffic).await;
        let (first, last) = (first.unwrap(), held(&gateway).await);
        let (count, time) = (slept.count(), begun.elapsed());
        println!(
            "{count} cycles, {sent:?} requests over HTTP/1, 2 and 3, {time:.0?}; {first:?}, {last:?}"
        );
        assert_eq!((first.descriptors, first.children), (last.descriptors, last.children));
        assert!(last.dirty <= first.dirty + (64 << 10), "{first:?} {last:?}");
        assert!(last.kept <= first.kept + (16 << 10), "{first:?} {last:?}");
    });
}

/// How often a gateway fell asleep, as its log says.
struct Sleeps<'a> {
    gateway: &'a Gateway,
    read: usize,
    seen: usize,
}

impl Sleeps<'_> {
    fn count(&mut self) -> usize {
        let (lines, more) = self.gateway.count_after(self.read, "\"asleep\"");
        (self.read, self.seen) = (lines, self.seen + more);
        self.seen
    }
}

/// Clients come while it decides, pauses, hushes its sockets and turns.
#[test]
fn a_flood_at_the_moment_of_falling_asleep() {
    run(async {
        let gateway = Rc::new(sleeper("workers = 2").start().await);
        for round in 0..12u64 {
            let tasks = tokio::task::LocalSet::new();
            let flood = async {
                tokio::time::sleep(Duration::from_millis(80 + 8 * round)).await;
                let one = |at: usize| {
                    let gateway = gateway.clone();
                    let protocol = ALL[at % 3];
                    tokio::task::spawn_local(async move {
                        ask(protocol, &gateway, &Request::get("/fixed")).await.assert(200);
                    })
                };
                for task in (0..45).map(one).collect::<Vec<_>>() {
                    soon("an answer", task).await.unwrap();
                }
            };
            tasks.run_until(flood).await;
        }
        assert_eq!(plain(gateway.clear, "/fixed").await.assert(200).text(), "here");
    });
}
