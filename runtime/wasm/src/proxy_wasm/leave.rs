//! How a stream ends: with its log phase, or without.

use std::rc::Rc;

use pilotlight_abi::Phase;

use super::abi::PAUSE;
use super::context::Stream;
use super::filter::InExchange;
use super::instance::{Instanced, Task};
use crate::vm;

impl InExchange {
    /// Ends a call that nobody waits for, and its instance with it, when no other stream lives there:
    /// then true. Else it goes on to its end.
    pub(super) fn gives_up(&mut self) -> bool {
        let Some(shared) = self.alive().cloned() else { return false };
        if shared.root.streams.get() > 1 || shared.root.has_work() {
            return false;
        }
        self.job = None;
        self.pool.drop_shared(&shared);
        true
    }

    /// The stream is over: what still comes for it is the plugin's.
    pub(super) fn forget(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        let Some(shared) = self.alive() else { return };
        if let Some(mail) = &stream.mail {
            for event in mail.close() {
                let _ = shared.root.mail.put(event);
            }
        }
        if let Some(mut instance) = shared.take_now() {
            instance.store.data_mut().proxy.contexts.end(stream.place);
            shared.root.streams.set(shared.root.streams.get().saturating_sub(1));
            shared.put(instance);
        }
    }
}

/// An exchange that ends without its log phase still ends its context, and a call that is under way
/// goes on to its end: others use the instance, too.
impl Drop for InExchange {
    fn drop(&mut self) {
        if self.job.is_some() && !self.resting && self.gives_up() {
            return;
        }
        let running = self.job.take();
        let begun = self.stream.as_ref().is_some_and(|stream| stream.context != 0);
        if self.resting || self.shared.is_none() || !begun && running.is_none() {
            return;
        }
        if self.pool.program.fresh || self.alive().is_none() {
            return;
        }
        if running.is_none() && !self.pool.program.outcome.phases.has(Phase::Log) {
            return self.forget();
        }
        let mut rest = InExchange {
            pool: Rc::clone(&self.pool),
            shared: self.shared.take(),
            stream: self.stream.take(),
            job: None,
            ended: [None, None, None],
            passing: None,
            resting: true,
        };
        let Some(shared) = rest.shared.clone() else { return };
        if !self.pool.program.on_fiber {
            if let (Some(mut instance), Some(stream)) = (shared.take_now(), rest.stream.take()) {
                vm::grant(&mut instance.store, self.pool.program.cpu);
                let ran = vm::at_once(async { Ok(leave_at_once(instance, stream).await) });
                if let Ok(Some((instance, stream))) = ran {
                    shared.put(instance);
                    rest.stream = Some(stream);
                    rest.forget();
                } else {
                    self.pool.bury(&shared);
                }
            }
            return;
        }
        self.pool.services.spawn(Box::pin(async move {
            if let Some(running) = running {
                let ran = running.job.await;
                rest.end(running.step, ran);
            }
            if let Some(stream) = rest.stream.take_if(|stream| stream.context != 0)
                && let Some(mut instance) = shared.wait().await
            {
                vm::grant(&mut instance.store, rest.pool.program.cpu);
                match leave_at_once(instance, stream).await {
                    Some((instance, stream)) => {
                        shared.put(instance);
                        rest.stream = Some(stream);
                        rest.forget();
                    }
                    None => rest.pool.bury(&shared),
                }
            }
        }));
    }
}

/// The last callbacks of a stream; `None` when one of them trapped.
async fn leave_at_once(
    mut instance: Box<Instanced>,
    stream: Box<Stream>,
) -> Option<(Box<Instanced>, Box<Stream>)> {
    let (stream, answer) = instance.run(Task::Phase(Phase::Log, None), stream).await;
    let (stream, answer) = match answer {
        Ok(PAUSE) => instance.run(Task::Finish, stream).await,
        answer => (stream, answer),
    };
    answer.is_ok().then_some((instance, stream))
}
