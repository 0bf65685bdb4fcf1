use std::collections::HashSet;
use std::sync::mpsc::sync_channel;

use super::*;
use crate::metrics::Registry;

fn aside() -> Aside {
    let clock = Clock::new();
    let settings = pilotlight_config::manifest::Log {
        access: pilotlight_config::manifest::AccessLog::Off,
        level: pilotlight_config::manifest::Level::Error,
    };
    let log = Arc::new(Log::new(&settings, clock, Arc::new(Registry::new())));
    Aside { log, clock, dictionaries: BTreeMap::new() }
}

#[test]
fn jobs_share_the_threads_of_their_pool() {
    let pools = Pools::new(&[("two".into(), 2)]);
    let (ended, results) = sync_channel(64);
    for _ in 0..40 {
        let ended = ended.clone();
        let job = move |_: Rc<dyn Services>| {
            let _ = ended.send(std::thread::current().id());
        };
        pools.run("two", Box::new(job), aside()).unwrap();
    }
    drop(ended);
    let threads: Vec<_> = results.iter().collect();
    assert_eq!(threads.len(), 40);
    assert!(threads.into_iter().collect::<HashSet<_>>().len() <= 2);
}

#[test]
fn a_job_that_panics_takes_its_thread_along_and_no_other() {
    let pools = Pools::new(&[("one".into(), 1)]);
    let (ended, results) = sync_channel(1);
    pools.run("one", Box::new(|_| panic!("as meant")), aside()).unwrap();
    while pools.0["one"].lock().threads > 0 {
        std::thread::yield_now();
    }
    let job = move |_: Rc<dyn Services>| ended.send(()).unwrap();
    pools.run("one", Box::new(job), aside()).unwrap();
    results.recv().unwrap();
}

#[test]
fn a_pool_that_is_not_there_takes_no_job() {
    assert!(Pools::new(&[]).run("none", Box::new(|_| {}), aside()).is_err());
}
