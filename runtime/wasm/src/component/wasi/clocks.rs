//! `wasi:clocks` and `wasi:random`, as the host's services have them.

use wasmtime::Result;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::io::Pollable;
use super::{Store, wasi, world};
use crate::host::Host;

/// Bytes of one answer of random bytes.
const RANDOM_MAX: u64 = 64 << 10;
/// What the host's clocks tell apart, in nanoseconds.
const RESOLUTION: u32 = 1000;

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e6) as u64 * 1000
}

fn random<const N: usize>(store: &mut Store<'_>) -> [u8; N] {
    let mut bytes = [0; N];
    store.data().services.random(&mut bytes);
    bytes
}

fn random_bytes(store: &mut Store<'_>, len: u64) -> Result<(Vec<u8>,)> {
    if len > RANDOM_MAX {
        wasmtime::bail!("{len} random bytes at once: more than {RANDOM_MAX}");
    }
    let mut bytes = vec![0; len as usize];
    store.data().services.random(&mut bytes);
    Ok((bytes,))
}

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    let mut at = linker.instance(wasi!("clocks/monotonic-clock"))?;
    at.func_wrap("now", |s: Store<'_>, (): ()| Ok((nanoseconds(s.data().services.monotonic()),)))?;
    at.func_wrap("resolution", |_: Store<'_>, (): ()| Ok((u64::from(RESOLUTION),)))?;
    at.func_wrap("subscribe-instant", |mut s: Store<'_>, (when,): (u64,)| {
        let timer = Pollable::Timer { at: when as f64 / 1e9, wait: None };
        Ok((world(&mut s)?.table.push(timer)?,))
    })?;
    at.func_wrap("subscribe-duration", |mut s: Store<'_>, (long,): (u64,)| {
        let at = s.data().services.monotonic() + long as f64 / 1e9;
        Ok((world(&mut s)?.table.push(Pollable::Timer { at, wait: None })?,))
    })?;
    let mut at = linker.instance(wasi!("clocks/wall-clock"))?;
    at.func_wrap("now", |s: Store<'_>, (): ()| {
        let now = nanoseconds(s.data().services.now());
        let nanoseconds = (now % 1_000_000_000) as u32;
        Ok((Datetime { seconds: now / 1_000_000_000, nanoseconds },))
    })?;
    at.func_wrap("resolution", |_: Store<'_>, (): ()| {
        Ok((Datetime { seconds: 0, nanoseconds: RESOLUTION },))
    })?;
    let mut at = linker.instance(wasi!("random/random"))?;
    at.func_wrap("get-random-bytes", |mut s: Store<'_>, (len,): (u64,)| random_bytes(&mut s, len))?;
    at.func_wrap("get-random-u64", |mut s: Store<'_>, (): ()| {
        Ok((u64::from_ne_bytes(random(&mut s)),))
    })?;
    let mut at = linker.instance(wasi!("random/insecure"))?;
    at.func_wrap("get-insecure-random-bytes", |mut s: Store<'_>, (len,): (u64,)| {
        random_bytes(&mut s, len)
    })?;
    at.func_wrap("get-insecure-random-u64", |mut s: Store<'_>, (): ()| {
        Ok((u64::from_ne_bytes(random(&mut s)),))
    })?;
    let mut at = linker.instance(wasi!("random/insecure-seed"))?;
    at.func_wrap("insecure-seed", |mut s: Store<'_>, (): ()| {
        let halves = (u64::from_ne_bytes(random(&mut s)), u64::from_ne_bytes(random(&mut s)));
        Ok((halves,))
    })
}
