//! How long a worker begins exchanges before it looks at its sockets again: of many requests that came
//! at once, the first are answered before the last have begun.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clock::Clock;

/// How long exchanges begin between two looks. What has come meanwhile belongs to exchanges under way,
/// and ending one takes less than beginning another.
const SLICE: Duration = Duration::from_micros(150);
/// So many begin in any case: a look takes as long as a tenth of what a plain exchange does.
const LEAST: u32 = 4;

/// What has begun since the last look.
#[derive(Clone, Copy)]
struct Begun {
    exchanges: u32,
    /// Until when more may, on the worker's clock.
    until: Duration,
}

const NONE: Begun = Begun { exchanges: 0, until: Duration::ZERO };

thread_local! {
    /// What this thread's loop has begun.
    static BEGUN: Cell<Begun> = const { Cell::new(NONE) };
}

/// This thread's loop has just looked at its sockets.
pub(crate) fn looked() {
    BEGUN.set(NONE);
}

/// Exchanges that wait until the loop has looked, in their order: those under way, at most.
pub(crate) struct Pace {
    front: Semaphore,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { front: Semaphore::new(1) }
    }
}

impl Pace {
    /// Whether an exchange begins at this time of the worker's clock: when none waits and there is time.
    #[inline]
    pub(crate) fn begins(&self, now: Duration) -> bool {
        self.front.available_permits() > 0 && has_time(now)
    }

    /// Waits until it begins.
    pub(crate) async fn wait(&self, clock: Clock) {
        let _front = self.front.acquire().await;
        if !has_time(clock.elapsed()) {
            // Goes on when the loop has done all that there was, and has looked.
            tokio::task::yield_now().await;
            looked();
            has_time(clock.elapsed());
        }
    }
}

/// Whether one more may begin; it counts as begun.
#[inline]
fn has_time(now: Duration) -> bool {
    let mut begun = BEGUN.get();
    if begun.exchanges == 0 {
        begun.until = now + SLICE;
    }
    let begins = begun.exchanges < LEAST || now < begun.until;
    begun.exchanges += u32::from(begins);
    BEGUN.set(begun);
    begins
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;

    use tokio::task::LocalSet;

    use super::*;

    #[test]
    fn some_begin_in_any_case_and_more_within_a_slice() {
        let (pace, at) = (Pace::default(), Duration::from_secs(1));
        for _ in 0..2 {
            assert!(pace.begins(at));
            assert!((1..LEAST).all(|_| pace.begins(at + 2 * SLICE)));
            assert!((0..100).all(|_| pace.begins(at + SLICE / 2)));
            assert!(!pace.begins(at + SLICE) && !pace.begins(at + SLICE));
            looked();
        }
    }

    #[test]
    fn sockets_come_before_those_that_wait_and_these_keep_their_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (pace, clock, told) = (Rc::new(Pace::default()), Clock::new(), Rc::default());
        let tell = |what: &str, told: &RefCell<Vec<String>>| told.borrow_mut().push(what.into());
        LocalSet::new().block_on(&runtime, async {
            let (mut near, far) = UnixStream::pair().unwrap();
            far.set_nonblocking(true).unwrap();
            let far = tokio::net::UnixStream::from_std(far).unwrap();
            near.write_all(b"x").unwrap();
            let mut tasks = vec![tokio::task::spawn_local({
                let told = Rc::clone(&told);
                async move {
                    far.readable().await.unwrap();
                    tell("socket", &told);
                }
            })];
            for number in 0..LEAST + 3 {
                let (pace, told) = (pace.clone(), told.clone());
                tasks.push(tokio::task::spawn_local(async move {
                    if !pace.begins(clock.elapsed()) {
                        pace.wait(clock).await;
                    }
                    tell(&number.to_string(), &told);
                    let began = clock.elapsed();
                    while clock.elapsed() < began + SLICE {}
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(*told.borrow(), ["0", "1", "2", "3", "socket", "4", "5", "6"]);
    }
}
