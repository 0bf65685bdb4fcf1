//! What goes on in a plugin's own context beside its streams: ticks, queues, answers to calls whose
//! stream has gone.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_filter::Fault;
use pilotlight_filter::host::{Level, Wait};

use super::abi::ROOT;
use super::calling::Event;
use super::hub::Registered;
use super::mail::Mail;
use super::pool::{Pool, Shared};
use crate::vm;

/// The plugin's context, as tasks of the worker see it.
#[derive(Default)]
pub(crate) struct Root {
    pub(crate) mail: Mail,
    /// Milliseconds between ticks; 0: none.
    pub(crate) period: Cell<u32>,
    /// Calls under way.
    pub(crate) calls: Cell<u32>,
    /// Queues that it is told of.
    pub(crate) queues: RefCell<Vec<Arc<Registered>>>,
    /// Streams that live in the instance.
    pub(crate) streams: Cell<u32>,
    /// One of its callbacks is under way.
    busy: Cell<bool>,
    /// There may be something to do.
    pub(crate) wanted: Cell<bool>,
    /// The instance is gone.
    over: Cell<bool>,
}

/// What is due.
enum Due {
    Tick,
    Queue(u32),
    Event(Event),
    /// Nothing calls it by itself any more.
    Idle,
    Over,
}

impl Root {
    /// Whether anything can still call the plugin by itself.
    pub(crate) fn has_work(&self) -> bool {
        self.period.get() > 0
            || self.busy.get()
            || self.calls.get() > 0
            || !self.mail.is_empty()
            || !self.queues.borrow().is_empty()
    }

    /// The instance is gone.
    pub(crate) fn end(&self) {
        self.over.set(true);
        self.mail.wake();
    }

    fn poll(&self, cx: &mut Context<'_>, ticks: &mut Ticks, pool: &Pool) -> Poll<Due> {
        if self.over.get() {
            return Poll::Ready(Due::Over);
        }
        if let Some(event) = self.mail.take() {
            return Poll::Ready(Due::Event(event));
        }
        self.mail.watch(cx);
        for queue in &*self.queues.borrow() {
            if queue.poll(cx) {
                return Poll::Ready(Due::Queue(queue.id));
            }
        }
        let period = self.period.get();
        if ticks.period != period || ticks.wait.is_none() && period > 0 {
            let period = Duration::from_millis(period.into());
            *ticks = Ticks {
                period: self.period.get(),
                wait: (!period.is_zero()).then(|| pool.services.sleep(period)),
                idle: false,
            };
        }
        match &mut ticks.wait {
            Some(wait) => wait.as_mut().poll(cx).map(|()| {
                ticks.wait = None;
                Due::Tick
            }),
            None if self.has_work() => {
                ticks.idle = false;
                Poll::Pending
            }
            None if !std::mem::replace(&mut ticks.idle, true) => Poll::Ready(Due::Idle),
            None => Poll::Pending,
        }
    }
}

#[derive(Default)]
struct Ticks {
    period: u32,
    wait: Option<Wait<()>>,
    /// Its streams know that nothing of this is under way.
    idle: bool,
}

/// Runs what is due in the plugin's context, as long as its instance lives.
pub(crate) async fn look_after(pool: Rc<Pool>, shared: Weak<Shared>, root: Rc<Root>) {
    let mut ticks = Ticks::default();
    loop {
        let due = poll_fn(|cx| root.poll(cx, &mut ticks, &pool)).await;
        let Some(shared) = shared.upgrade().filter(|_| !matches!(due, Due::Over)) else { return };
        let Some(mut instance) = shared.wait().await else { return };
        root.busy.set(true);
        let began = pool.services.monotonic();
        vm::grant(&mut instance.store, pool.program.cpu);
        let (name, done) = match due {
            Due::Tick => ("on_tick", instance.seldom::<_, ()>("proxy_on_tick", ROOT).await),
            Due::Queue(id) => {
                let told = instance.seldom::<_, ()>("proxy_on_queue_ready", (ROOT, id)).await;
                ("on_queue_ready", told)
            }
            Due::Event(event) => ("a call's answer", instance.hear(event).await.map(Some)),
            // Some may wait for nothing else.
            Due::Idle => {
                instance.store.data_mut().proxy.contexts.wake();
                ("", Ok(None))
            }
            Due::Over => return,
        };
        root.busy.set(false);
        match done {
            Ok(_) => {
                shared.put(instance);
                drop(shared);
                rest(&pool, began).await;
            }
            Err(fault) => {
                say(&mut instance, name, &fault);
                pool.bury(&shared);
                return;
            }
        }
    }
}

/// Leaves the worker to others: at least once, and as long as the callback has taken.
async fn rest(pool: &Pool, began: f64) {
    let took = pool.services.monotonic() - began;
    if took >= 0.001 {
        pool.services.sleep(Duration::from_secs_f64(took)).await;
    }
    let mut been = false;
    poll_fn(|cx| match std::mem::replace(&mut been, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

fn say(instance: &mut super::instance::Instanced, place: &str, fault: &Fault) {
    let text = format!("{place}: {}", fault.message);
    instance.store.data_mut().log(Level::Error, text.as_bytes());
}
