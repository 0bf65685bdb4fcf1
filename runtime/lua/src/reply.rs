//! A table that answers becomes the response.

use std::time::Duration;

use bytes::Bytes;
use pilotlight_filter::{Exchange, Fault, FaultKind, Name};

use crate::json;
use crate::stack::{Kind, Stack};
use crate::wait::read_headers;
use crate::watchdog::thread_cpu;

fn wrong(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Error, message)
}

/// Makes the exchange's response of the table at 1: `{ status, headers, body, json }`.
///
/// # Errors
/// Fields of the wrong type, a status out of range, headers that would split the message.
pub(crate) fn reply(stack: Stack, exchange: &mut Exchange, budget: Duration) -> Result<(), Fault> {
    stack.set_top(1);
    stack.get(1, "status");
    let status = match stack.kind(-1) {
        Kind::Nil => 200.0,
        _ => stack.number(-1).ok_or_else(|| wrong("the answer's status must be a number"))?,
    };
    if !(200.0..=599.0).contains(&status) || status.fract() != 0.0 {
        return Err(wrong(format!("the answer's status {status} is not within 200 to 599")));
    }
    stack.get(1, "json");
    let is_json = stack.kind(-1) != Kind::Nil;
    let body = if is_json {
        // No script runs any more: what it left to be done has the same limit.
        let end = thread_cpu() + budget;
        let text = json::encode_until(stack, stack.top(), &|| thread_cpu() > end);
        Bytes::from(text.map_err(|error| wrong(format!("the answer's json: {error}")))?)
    } else {
        stack.get(1, "body");
        match (stack.kind(-1), stack.bytes(-1)) {
            (_, Some(bytes)) => Bytes::copy_from_slice(bytes),
            (Kind::Nil, _) => Bytes::new(),
            _ => {
                let kind = stack.kind_name(-1);
                return Err(wrong(format!("the answer's body must be a string, not a {kind}")));
            }
        }
    };
    let head = exchange.reply(status as u16, body);
    stack.get(1, "headers");
    match stack.kind(-1) {
        Kind::Nil => {}
        Kind::Table => read_headers(stack, &mut |name, value| {
            let named = |error| format!("header \"{}\": {error}", String::from_utf8_lossy(name));
            head.fields.add(name, value).map_err(named)
        })
        .map_err(wrong)?,
        _ => return Err(wrong("the answer's headers must be a table")),
    }
    if is_json && head.fields.known(Name::ContentType).is_none() {
        head.fields.push(Name::ContentType, b"application/json");
    }
    Ok(())
}
