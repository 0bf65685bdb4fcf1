//! Pools of threads beside the workers, for what programs compute long at.
//!
//! A thread starts when there is a job and none is free, and ends when there was none for a while.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pilotlight_filter::Services;
use pilotlight_filter::host::{Job, Level, LogLine, Shared};

use crate::clock::{self, Clock};
use crate::log::Log;

/// Jobs that wait for a thread of one pool.
const QUEUE: usize = 65_536;
/// A thread without a job ends after this.
const IDLE: Duration = Duration::from_secs(10);
/// As the workers' own: scripts may recurse, and the stack is virtual until it is touched.
const STACK: usize = 8 << 20;

/// The pools of a generation. Their threads end with it.
#[derive(Default)]
pub(crate) struct Pools(BTreeMap<String, Arc<Pool>>);

struct Pool {
    name: String,
    /// Threads at most.
    most: usize,
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    free: usize,
    closed: bool,
}

impl Pools {
    pub(crate) fn new(pools: &[(String, usize)]) -> Pools {
        let pool = |(name, most): &(String, usize)| {
            let (state, bell) = (Mutex::default(), Condvar::new());
            (name.clone(), Arc::new(Pool { name: name.clone(), most: *most, state, bell }))
        };
        Pools(pools.iter().map(pool).collect())
    }

    /// Has a thread of the pool `name` do a job.
    ///
    /// # Errors
    /// There is no such pool, it has no room, or the system gives no thread.
    pub(crate) fn run(&self, name: &str, job: Job, aside: Aside) -> Result<(), &'static str> {
        let pool = self.0.get(name).ok_or("no such pool of threads")?;
        let mut state = pool.lock();
        if state.jobs.len() >= QUEUE {
            return Err("too many jobs wait for a thread");
        }
        if state.free <= state.jobs.len() && state.threads < pool.most {
            let own = pool.clone();
            let builder = std::thread::Builder::new().name(pool.name.clone()).stack_size(STACK);
            match builder.spawn(move || own.work(aside)) {
                Ok(_) => state.threads += 1,
                Err(_) if state.threads == 0 => return Err("the system gives no thread"),
                Err(_) => {}
            }
        }
        state.jobs.push_back(job);
        drop(state);
        pool.bell.notify_one();
        Ok(())
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        for pool in self.0.values() {
            pool.lock().closed = true;
            pool.bell.notify_all();
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life.
    fn work(&self, aside: Aside) {
        let _one = One(self);
        let services: Rc<dyn Services> = Rc::new(aside);
        while let Some(job) = self.next() {
            job(services.clone());
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.free += 1;
            let waited = self.bell.wait_timeout(state, IDLE);
            let timeout;
            (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state.free -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                return None;
            }
        }
    }
}

/// A thread among those of its pool.
struct One<'a>(&'a Pool);

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
    }
}

/// What programs get of the world on such a thread: nothing that waits.
pub(crate) struct Aside {
    pub(crate) log: Arc<Log>,
    pub(crate) clock: Clock,
    pub(crate) dictionaries: BTreeMap<String, Arc<dyn Shared>>,
}

impl Services for Aside {
    fn log(&self, line: &LogLine<'_>) {
        self.log.script(line);
    }

    fn logs(&self, level: Level) -> bool {
        self.log.logs(level)
    }

    fn now(&self) -> f64 {
        self.clock.wall().as_secs_f64()
    }

    fn monotonic(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    fn random(&self, buffer: &mut [u8]) {
        clock::random(buffer);
    }

    fn shared(&self, name: &str) -> Option<Arc<dyn Shared>> {
        self.dictionaries.get(name).cloned()
    }
}

#[cfg(test)]
mod tests;
