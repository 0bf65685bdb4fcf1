//! Random traffic across many sleeps.

use std::rc::Rc;
use std::time::Duration;

use super::{asleep, descriptors, is_parked, memory, plain, sleeper};
use crate::support::message::{ALL, Client, ask};
use crate::support::{Request, full, run, soon};

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most
    }
}

/// `PILOTLIGHT_SEED` repeats a run.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let given = std::env::var("PILOTLIGHT_SEED").map(|seed| seed.parse().unwrap());
    given.unwrap_or(now.as_nanos() as u64) | 1
}

/// Descriptors and dirty bytes of the parked form, which needs a moment to settle.
async fn held(pid: u32) -> (usize, u64) {
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(is_parked(pid));
    (descriptors(pid), memory(pid, "Private_Dirty:"))
}

#[test]
fn cycles_under_random_traffic_lose_nothing_and_leak_nothing() {
    let cycles = if full() { 10_000 } else { 200 };
    run(async {
        let seed = seed();
        println!("seed {seed}");
        let mut random = Random(seed);
        let gateway = Rc::new(sleeper("workers = 2").start().await);
        let pid = gateway.pid();
        let mut first = None;
        let (mut sent, mut slept) = (0, 0);
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                while slept < cycles {
                    // Sometimes it has just fallen asleep, sometimes it is about to.
                    match random.below(4) {
                        0 => tokio::time::sleep(Duration::from_millis(random.below(160))).await,
                        _ => asleep(&gateway).await,
                    }
                    slept += u64::from(is_parked(pid));
                    let burst = 1 + random.below(4);
                    let all = (0..burst).map(|_| {
                        let (protocol, more) = (ALL[random.below(3) as usize], random.below(3));
                        let (gateway, pause) = (gateway.clone(), random.below(20));
                        tokio::task::spawn_local(async move {
                            tokio::time::sleep(Duration::from_millis(pause)).await;
                            let mut client = Client::connect(protocol, &gateway, "a.test").await;
                            for _ in 0..=more {
                                client.send(&Request::get("/fixed")).await.assert(200);
                            }
                            more + 1
                        })
                    });
                    for task in all.collect::<Vec<_>>() {
                        sent += soon("an answer", task).await.unwrap();
                    }
                    if slept == 20 && first.is_none() {
                        asleep(&gateway).await;
                        first = Some(held(pid).await);
                    }
                }
            })
            .await;
        asleep(&gateway).await;
        let last = held(pid).await;
        println!("{slept} cycles, {sent} requests, descriptors and dirty bytes {first:?} {last:?}");
        let first = first.unwrap();
        assert_eq!(first.0, last.0);
        assert!(last.1 <= first.1 + (64 << 10), "{first:?} {last:?}");
    });
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
