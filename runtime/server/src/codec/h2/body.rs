//! Bodies as they come, on either side.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_filter::{BodyError, Frame, Source};

use super::link::Link;
use crate::timer::Timer;

/// A request's body.
pub(super) struct RequestBody {
    pub(super) link: Link,
    pub(super) timer: Timer,
    pub(super) idle: Duration,
    /// Set once somebody wants the body: a 100 (Continue) is due.
    pub(super) asked: Option<Rc<Cell<bool>>>,
}

impl Source for RequestBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let polled = self.link.core.borrow_mut().poll_frame(self.link.id, cx);
        match polled {
            Poll::Pending => {
                if let Some(asked) = self.asked.take() {
                    asked.set(true);
                }
                self.timer.start(self.idle);
                self.timer.poll(cx).map(|()| Some(Err(BodyError::Timeout)))
            }
            ready => {
                self.timer.disarm();
                ready
            }
        }
    }
}

/// A response's body; whoever waits for it bounds the wait.
pub(crate) struct ResponseBody(pub(crate) Link);

impl Source for ResponseBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.0.core.borrow_mut().poll_frame(self.0.id, cx)
    }
}
