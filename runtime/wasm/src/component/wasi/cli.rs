//! `wasi:cli`: the environment that the manifest grants, no arguments, output to the log.

use wasmtime::Result;
use wasmtime::component::{Linker, Resource};

use super::streams::{Input, Output};
use super::{Nothing, Store, resource, wasi, world};
use crate::fault::GaveUp;
use crate::host::Host;

/// There is none.
struct Terminal;

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    let mut at = linker.instance(wasi!("cli/environment"))?;
    at.func_wrap("get-environment", |mut s: Store<'_>, (): ()| {
        Ok((world(&mut s)?.grants.env.clone(),))
    })?;
    at.func_wrap("get-arguments", |_: Store<'_>, (): ()| Ok((Vec::<String>::new(),)))?;
    at.func_wrap("initial-cwd", |_: Store<'_>, (): ()| Ok((None::<String>,)))?;
    let mut at = linker.instance(wasi!("cli/exit"))?;
    at.func_wrap("exit", |_: Store<'_>, (status,): (Result<(), ()>,)| -> Result<()> {
        let how = if status.is_ok() { "without an answer" } else { "with an error" };
        Err(GaveUp(format!("it left {how}")).into())
    })?;
    at.func_wrap("exit-with-code", |_: Store<'_>, (code,): (u8,)| -> Result<()> {
        Err(GaveUp(format!("it left with the code {code}")).into())
    })?;
    linker.instance(wasi!("cli/stdin"))?.func_wrap("get-stdin", |mut s: Store<'_>, (): ()| {
        Ok((world(&mut s)?.table.push(Input::Nothing)?,))
    })?;
    linker.instance(wasi!("cli/stdout"))?.func_wrap("get-stdout", |mut s: Store<'_>, (): ()| {
        Ok((world(&mut s)?.table.push(Output::Log { error: false })?,))
    })?;
    linker.instance(wasi!("cli/stderr"))?.func_wrap("get-stderr", |mut s: Store<'_>, (): ()| {
        Ok((world(&mut s)?.table.push(Output::Log { error: true })?,))
    })?;
    resource::<Terminal>(&mut linker.instance(wasi!("cli/terminal-input"))?, "terminal-input")?;
    resource::<Terminal>(&mut linker.instance(wasi!("cli/terminal-output"))?, "terminal-output")?;
    for (space, name) in [
        (wasi!("cli/terminal-stdin"), "get-terminal-stdin"),
        (wasi!("cli/terminal-stdout"), "get-terminal-stdout"),
        (wasi!("cli/terminal-stderr"), "get-terminal-stderr"),
    ] {
        linker
            .instance(space)?
            .func_wrap(name, |_: Store<'_>, (): ()| Ok((None::<Resource<Terminal>>,)))?;
    }
    linker
        .instance(wasi!("filesystem/preopens"))?
        .func_wrap("get-directories", |_: Store<'_>, (): ()| {
            Ok((Vec::<(Resource<Nothing>, String)>::new(),))
        })
}
