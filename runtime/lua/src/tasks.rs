//! What scripts run beside exchanges: `gateway.spawn`, `gateway.after`, `gateway.every`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::raw::c_int;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pilotlight_filter::Fault;
use pilotlight_filter::abi::{Value, limit};
use pilotlight_filter::host::{Level, LogLine, Services};

use crate::run::{Ended, Run};
use crate::stack::Stack;
use crate::visit::{Ran, Visit};
use crate::vm::Vm;
use crate::watchdog::script_cpu;

/// A VM's tasks, those that run and those whose time has not come.
#[derive(Default)]
pub(crate) struct Tasks {
    open: RefCell<Vec<Rc<Ticket>>>,
    next: Cell<u32>,
    /// No exchange comes any more: tasks whose time has not come run now, and no more.
    closing: Cell<bool>,
    /// What they have used of the worker's time, and lately have not paid back.
    debt: Cell<Duration>,
    /// Seconds of the worker's clock when `debt` was last looked at.
    looked: Cell<f64>,
    /// Whether one waits until the debt is paid, and those behind it: a thousand would wake each time.
    pays: Cell<bool>,
    line: RefCell<VecDeque<Rc<Ticket>>>,
}

/// A storm of tasks gets half of the worker's time; so much at a time is free, since most are short.
const FREE: Duration = Duration::from_millis(1);
const SHARE: u32 = 2;
/// Those of a VM that is thrown away get a tenth, and nothing is free: others wait for its successor.
const LAST_SHARE: u32 = 10;

/// A task's place in the list.
struct Ticket {
    id: u32,
    filter: Arc<str>,
    given_up: Cell<bool>,
    running: Cell<bool>,
    in_line: Cell<bool>,
    /// It runs once more when the VM closes, however long its delay.
    last_call: bool,
    waiting: RefCell<Option<Waker>>,
}

impl Ticket {
    fn give_up(&self) {
        self.given_up.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Ready when the task's wait is cut short.
    fn poll_cut_short(&self, cx: &Context<'_>, closing: bool) -> Poll<()> {
        if self.given_up.get() || closing {
            return Poll::Ready(());
        }
        *self.waiting.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Tasks {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Whether scripts ever started one.
    pub(crate) fn were_used(&self) -> bool {
        self.next.get() > 0
    }

    /// Gives one up, unless it has ended: it does not begin (again).
    pub(crate) fn cancel(&self, id: u32) -> bool {
        let open = self.open.borrow();
        let found = open.iter().find(|ticket| ticket.id == id && !ticket.given_up.get());
        found.inspect(|ticket| ticket.give_up()).is_some()
    }

    /// Gives all up; those that want a last call get it now.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        self.open.borrow().iter().for_each(|ticket| match ticket.last_call {
            true => ticket.wake(),
            false => ticket.give_up(),
        });
    }

    /// Whether the VM closes.
    pub(crate) fn are_closing(&self) -> bool {
        self.closing.get()
    }

    /// Tasks whose time has not come, and those that run.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let open = self.open.borrow();
        let running = open.iter().filter(|ticket| ticket.running.get()).count();
        (open.len() - running, running)
    }

    /// Gives up those of a filter that have not begun.
    pub(crate) fn give_up_of(&self, filter: &str) {
        // All at once: each would look for its place among a thousand.
        self.open.borrow_mut().retain(|ticket| {
            let stays = &*ticket.filter != filter || ticket.running.get();
            if !stays {
                ticket.give_up();
            }
            stays
        });
    }

    /// Whether a task may run now, else how long it has to wait.
    fn wait(&self, now: f64, free: Duration) -> Option<Duration> {
        let paid = Duration::try_from_secs_f64(now - self.looked.replace(now)).unwrap_or_default();
        self.debt.set(self.debt.get().saturating_sub(paid));
        (self.debt.get() > free).then(|| self.debt.get())
    }

    /// The next in line looks whether it may run.
    fn wake_next(&self) {
        let mut line = self.line.borrow_mut();
        while let Some(ticket) = line.pop_front() {
            if ticket.in_line.replace(false) {
                return ticket.wake();
            }
        }
    }

    /// A task has used so much of the worker's time, and may have this share of it.
    fn owe(&self, took: Duration, share: u32) {
        self.debt.set(self.debt.get() + took * share);
    }

    /// A number that no other has, for what opens things without being in the list.
    pub(crate) fn number(&self) -> u32 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    fn add(&self, filter: Arc<str>, last_call: bool) -> Option<Rc<Ticket>> {
        let mut open = self.open.borrow_mut();
        if open.len() >= limit::LUA_TASKS {
            return None;
        }
        let (given_up, running, in_line, waiting) = Default::default();
        let id = self.number();
        let ticket = Ticket { id, filter, given_up, running, in_line, last_call, waiting };
        let ticket = Rc::new(ticket);
        open.push(ticket.clone());
        Some(ticket)
    }

    fn remove(&self, id: u32) {
        self.open.borrow_mut().retain(|ticket| ticket.id != id);
    }
}

/// A task of a script.
pub(crate) struct Task {
    vm: Rc<Vm>,
    ticket: Rc<Ticket>,
    /// The function's place in the VM, and those of its arguments.
    call: Vec<c_int>,
    filter: Arc<str>,
    cpu: Duration,
    delay: Duration,
    /// It runs again and again, this long after its last run.
    period: Option<Duration>,
}

impl Task {
    /// Starts the function on top of `stack` (with `arguments` above it) after `delay`; the id.
    /// `None` when there are too many.
    pub(crate) fn start(
        vm: &Rc<Vm>,
        stack: Stack,
        arguments: c_int,
        delay: Duration,
        period: Option<Duration>,
        last_call: bool,
    ) -> Option<u32> {
        let (filter, cpu) = vm.at_work();
        let ticket = vm.tasks.add(filter.clone(), last_call)?;
        let mut call: Vec<_> = (0..=arguments).map(|_| vm.keep(stack)).collect();
        call.reverse();
        let id = ticket.id;
        let task = Task { vm: vm.clone(), ticket, call, filter, cpu, delay, period };
        vm.services().spawn(Box::pin(task.live()));
        Some(id)
    }

    async fn live(mut self) {
        let services = self.vm.services();
        loop {
            // One of a thousand that were given up at once makes no timer first.
            if !self.delay.is_zero() && !self.ticket.given_up.get() {
                let mut sleep = services.sleep(self.delay);
                poll_fn(|cx| match sleep.as_mut().poll(cx) {
                    Poll::Pending => self.ticket.poll_cut_short(cx, self.vm.tasks.are_closing()),
                    ready => ready,
                })
                .await;
            }
            self.turn(&*services).await;
            if self.ticket.given_up.get() {
                return;
            }
            let _hold = services.hold();
            self.ticket.running.set(true);
            if let Err(fault) = self.run().await {
                report(&*services, &self.filter, &fault);
                if self.vm.is_retired() {
                    // Its VM goes: what else the filter has put off would end it no better.
                    self.vm.tasks.give_up_of(&self.filter);
                }
            }
            self.ticket.running.set(false);
            let over = self.vm.is_retired() || self.vm.tasks.are_closing();
            match self.period {
                Some(period) if !over => self.delay = period,
                _ => return,
            }
        }
    }

    /// Waits until its VM's tasks have paid back what they have used of the worker's time.
    async fn turn(&self, services: &dyn Services) {
        let (tasks, ticket) = (&self.vm.tasks, &self.ticket);
        let is_over = || ticket.given_up.get() || tasks.are_closing();
        let free = || if self.vm.is_retired() { Duration::ZERO } else { FREE };
        while let Some(wait) = tasks.wait(services.monotonic(), free())
            && !is_over()
        {
            if !tasks.pays.replace(true) {
                services.sleep(wait).await;
                tasks.pays.set(false);
                continue;
            }
            ticket.in_line.set(true);
            tasks.line.borrow_mut().push_back(ticket.clone());
            poll_fn(|cx| match ticket.in_line.get() {
                true => ticket.poll_cut_short(cx, tasks.are_closing()),
                false => Poll::Ready(()),
            })
            .await;
        }
        ticket.in_line.set(false);
        // It has its turn when this one has run, or waits.
        tasks.wake_next();
    }

    /// Runs the function once.
    async fn run(&self) -> Result<(), Fault> {
        let vm = &self.vm;
        let _end = vm.end_of_task(self.ticket.id);
        let visit = || Visit {
            exchange: None,
            filter: &self.filter,
            cpu: self.cpu,
            phase: None,
            task: self.ticket.id,
            output: None,
        };
        let thread = vm.thread();
        self.call.iter().for_each(|place| thread.stack.push_kept(*place));
        vm.begin_call();
        let arguments = self.call.len() as c_int - 1;
        let began = script_cpu();
        let ran = vm.resume(&thread, arguments, self.cpu, visit());
        let share = if vm.is_retired() { LAST_SHARE } else { SHARE };
        vm.tasks.owe(script_cpu().saturating_sub(began), share);
        match ran {
            Ran::Done => vm.recycle(thread),
            Ran::Failed(fault) => {
                vm.discard(thread);
                return Err(fault);
            }
            Ran::Waits => {
                let mut run = Run::waiting(vm, thread, self.cpu);
                if let Ended::Done(thread) = poll_fn(|cx| run.poll(cx, visit())).await? {
                    vm.recycle(thread);
                }
            }
        }
        Ok(())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.vm.tasks.remove(self.ticket.id);
        self.call.iter().for_each(|place| self.vm.forget(*place));
    }
}

/// Nobody else hears of a task's failure.
fn report(services: &dyn Services, filter: &str, fault: &Fault) {
    let trace = fault.trace.iter().map(|trace| ("trace".into(), Value::from(&**trace)));
    let fields: Vec<_> = trace.collect();
    let message = &*fault.message;
    services.log(&LogLine { level: Level::Error, filter, id: "", message, fields: &fields });
}
