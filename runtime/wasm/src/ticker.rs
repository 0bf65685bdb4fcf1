//! The clock that interrupts guests: one thread that ticks each millisecond while guests run, and
//! sleeps when none has run for a while.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// Length of a tick: CPU limits are counted in these.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Ticks without a guest after which the thread goes to sleep. What runs longer without being
/// entered again holds the ticker.
const LINGER: u32 = 100;

/// Ticks the engines' epochs.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// A guest was entered since the last tick.
    busy: AtomicBool,
    /// Guests that may run for long inline.
    held: AtomicU32,
    asleep: AtomicBool,
    stop: AtomicBool,
    engines: Mutex<Vec<Engine>>,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start() -> std::io::Result<Ticker> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("wasm-ticker".into())
            .stack_size(64 << 10)
            .spawn(move || theirs.run())?;
        Ok(Ticker { shared, thread })
    }

    /// Ticks `engine` too, from now on.
    pub(crate) fn add(&self, engine: &Engine) {
        let mut engines = self.shared.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.push(engine.clone());
    }

    /// Says that a guest is about to run, once its deadline is set. A load in the usual case.
    #[inline]
    pub(crate) fn touch(&self) {
        if !self.shared.busy.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Keeps ticking until the guard drops.
    pub(crate) fn hold(&self) -> Held {
        self.shared.held.fetch_add(1, Ordering::SeqCst);
        self.wake();
        Held(Arc::clone(&self.shared))
    }

    #[cold]
    fn wake(&self) {
        self.shared.busy.store(true, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.thread().unpark();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut idle = 0;
        while !self.stop.load(Ordering::Relaxed) {
            if idle > LINGER {
                self.sleep();
                idle = 0;
            }
            thread::park_timeout(TICK);
            let engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
            engines.iter().for_each(Engine::increment_epoch);
            let busy = self.busy.swap(false, Ordering::SeqCst);
            let held = self.held.load(Ordering::SeqCst) > 0;
            idle = if busy || held { 0 } else { idle + 1 };
        }
    }

    /// `asleep` is set before `busy` is read, and `touch` does the reverse: one sees the other.
    fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        while !self.busy.load(Ordering::SeqCst) && !self.stop.load(Ordering::Relaxed) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// See [`Ticker::hold`].
pub(crate) struct Held(Arc<Shared>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
    }
}
