//! What the results of a phase mean.

use bytes::Bytes;
use pilotlight_filter::abi::Phase;
use pilotlight_filter::{Body, Call, Fault, FaultKind, Verdict};

use crate::output::Output;
use crate::program::Program;
use crate::reply::reply;
use crate::stack::{Kind, Stack};
use crate::vm::{Thread, Vm};

/// Numbers that a phase of the dialects ends with (`ngx/boot.lua`).
const ANSWERED: f64 = 1.0;
const ELSEWHERE: f64 = 2.0;
const CLOSED: f64 = 3.0;

/// Reads a phase's results. The thread goes back.
pub(crate) fn finish(
    vm: &Vm,
    program: &Program,
    thread: Thread,
    call: &mut Call<'_>,
    output: Option<&Output>,
) -> Result<Verdict, Fault> {
    let stack = thread.stack;
    let verdict = match (program.dialect, &call.chunk) {
        (true, None) => dialect(stack, call, output),
        (true, Some(_)) => filtered(stack, call),
        (false, _) => native(stack, program, call),
    };
    vm.recycle(thread);
    verdict.map_err(|message| {
        let text = format!("{}: {message}", call.phase.name());
        Fault::new(FaultKind::Error, text)
    })
}

fn native(stack: Stack, program: &Program, call: &mut Call<'_>) -> Result<Verdict, String> {
    match stack.kind(1) {
        Kind::Nil if program.target && call.phase == Phase::Request => {
            Err("the script did not answer (it must return a table)".to_owned())
        }
        Kind::Nil => Ok(Verdict::Continue),
        Kind::Str if call.chunk.is_some() => {
            if let (Some(chunk), Some(data)) = (&mut call.chunk, stack.bytes(1)) {
                chunk.data = Bytes::copy_from_slice(data);
            }
            Ok(Verdict::Continue)
        }
        Kind::Table if !call.phase.is_response() && call.phase != Phase::Log => {
            reply(stack, call.exchange, program.cpu)
                .map(|()| Verdict::Reply)
                .map_err(|fault| fault.message)
        }
        // What log functions and such return has no meaning.
        _ if call.phase == Phase::Log => Ok(Verdict::Continue),
        Kind::Table => Err("only request phases can answer: this one returned a table".into()),
        _ => Err(format!("returned a {}, which means nothing here", stack.kind_name(1))),
    }
}

/// A number says what became of the request; a body that was written stands in the output.
fn dialect(stack: Stack, call: &mut Call<'_>, output: Option<&Output>) -> Result<Verdict, String> {
    match stack.number(1) {
        Some(ANSWERED) => {
            if let Some(output) = output {
                if output.is_cut() {
                    return Ok(Verdict::Stream { length: output.length() });
                }
                let mut body = output.take();
                // What goes beyond the length that the script promised is not sent.
                let promised = output.length().and_then(|length| usize::try_from(length).ok());
                body.truncate(promised.unwrap_or(body.len()));
                call.exchange.response.body = Body::full(body);
                if promised.is_none() && !output.is_held() {
                    // As nginx does: clients see an answer of a script, not one of a known length.
                    call.exchange.response.body.forget_length();
                }
            }
            Ok(Verdict::Reply)
        }
        Some(ELSEWHERE) => Ok(Verdict::Reroute),
        Some(CLOSED) => Ok(Verdict::Close),
        _ => Ok(Verdict::Continue),
    }
}

/// A body's filter gives back the chunk, and whether the body ends with it, or breaks it off.
fn filtered(stack: Stack, call: &mut Call<'_>) -> Result<Verdict, String> {
    if stack.number(1) == Some(CLOSED) {
        return Ok(Verdict::Close);
    }
    if let (Some(chunk), Some(data)) = (&mut call.chunk, stack.bytes(1)) {
        chunk.data = Bytes::copy_from_slice(data);
        chunk.last |= stack.truth(2);
    }
    Ok(Verdict::Continue)
}
