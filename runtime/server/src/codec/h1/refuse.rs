//! The answer to a request that never became an exchange.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;

use pilotlight_filter::{RequestHead, ResponseHead};

use super::body::Decoder;
use super::head::BadHead;
use super::{Conn, Current};
use crate::answer;
use crate::codec::Length;
use crate::worker::Inlet;

/// Answers, and ends the connection.
pub(super) async fn refuse(
    inlet: &Inlet,
    conn: &Rc<RefCell<Conn>>,
    request: &mut RequestHead,
    bad: BadHead,
) {
    let mut head = ResponseHead::default();
    let body = answer::refusal(inlet, &mut head, request, bad.status, bad.detail);
    {
        let mut conn = conn.borrow_mut();
        conn.current = Current { close: true, ..Current::default() };
        conn.decoder = Decoder::Done;
        conn.writer.response(&head, Length::Exact(body.len() as u64), true, Some("close"));
        conn.writer.data(body);
    }
    let _ = poll_fn(|cx| conn.borrow_mut().poll_flush(cx)).await;
}
