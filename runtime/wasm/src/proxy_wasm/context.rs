//! The contexts of a filter's instance: one for the plugin, one a stream.

use bytes::Bytes;
use pilotlight_abi::{Phase, Phases};
use pilotlight_filter::{Fault, FaultKind, Verdict};
use wasmtime::{ExternType, Instance, InstancePre, Module, Store, TypedFunc};

use super::abi::{ALLOCATORS, MARKERS, PAUSE, ROOT, map};
use super::body::Held;
use super::fields;
use crate::host::Host;
use crate::vm;

/// The plugin's side of an instance's data.
#[derive(Default)]
pub(crate) struct Proxy {
    /// What the manifest configures.
    pub(crate) config: Bytes,
    /// The stream that is being worked on.
    pub(crate) stream: Option<Box<Stream>>,
    /// Milliseconds between ticks, as the plugin asked for.
    pub(crate) tick_period: u32,
    /// Host calls whose absence the log has named.
    pub(crate) told: Vec<&'static str>,
}

/// One exchange's side.
#[derive(Default)]
pub(crate) struct Stream {
    /// Its context; 0 before that is made.
    pub(crate) context: u32,
    /// The request's body and the response's.
    pub(crate) bodies: [Held; 2],
    pub(crate) reply: Reply,
    /// `proxy_continue_stream` was called.
    pub(crate) resumed: bool,
}

/// Whether a filter can still answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Reply {
    /// Not now: the head is on its way, or there is no exchange.
    #[default]
    Closed,
    /// It may.
    Open,
    /// It has.
    Given,
}

/// The callbacks that a module exports.
struct Exports {
    context_create: Option<TypedFunc<(u32, u32), ()>>,
    request_headers: Option<Heads>,
    request_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    request_trailers: Option<TypedFunc<(u32, u32), u32>>,
    response_headers: Option<Heads>,
    response_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    response_trailers: Option<TypedFunc<(u32, u32), u32>>,
    done: Option<TypedFunc<u32, u32>>,
    log: Option<TypedFunc<u32, ()>>,
    delete: Option<TypedFunc<u32, ()>>,
}

/// A callback for heads: ABI 0.1.0 does not say whether the stream ends there.
enum Heads {
    Old(TypedFunc<(u32, u32), u32>),
    New(TypedFunc<(u32, u32, u32), u32>),
}

/// An instance of a filter, started.
pub(crate) struct Instanced {
    pub(crate) store: Store<Host>,
    exports: Exports,
    last: u32,
}

/// The version that a module's marker names.
pub(crate) fn marker(module: &Module) -> Option<&'static str> {
    MARKERS.into_iter().find(|name| module.get_export(name).is_some())
}

/// What a module's exports make it want to be called for.
pub(crate) fn phases(module: &Module) -> Phases {
    const TABLE: [(&str, Phase); 10] = [
        ("proxy_on_request_headers", Phase::Request),
        ("proxy_on_request_body", Phase::RequestBody),
        ("proxy_on_request_trailers", Phase::RequestTrailers),
        ("proxy_on_response_headers", Phase::Response),
        ("proxy_on_response_body", Phase::ResponseBody),
        // A body callback changes the length, which the head must not promise.
        ("proxy_on_request_body", Phase::Request),
        ("proxy_on_response_body", Phase::Response),
        ("proxy_on_response_trailers", Phase::ResponseTrailers),
        ("proxy_on_log", Phase::Log),
        ("proxy_on_done", Phase::Log),
    ];
    let exported = |name: &str| matches!(module.get_export(name), Some(ExternType::Func(_)));
    let mut phases = TABLE.iter().filter(|(n, _)| exported(n)).map(|(_, p)| *p).collect::<Phases>();
    if exported("proxy_on_delete") && phases != Phases::NONE {
        phases = phases.with(Phase::Log);
    }
    phases
}

impl Exports {
    fn find(store: &mut Store<Host>, instance: &Instance) -> Result<Exports, Fault> {
        macro_rules! get {
            ($name:literal) => {
                match instance.get_func(&mut *store, $name) {
                    None => None,
                    Some(function) => Some(function.typed(&mut *store).map_err(|_| {
                        Fault::new(FaultKind::Error, concat!($name, " has the wrong signature"))
                    })?),
                }
            };
        }
        let mut heads = |name: &str| match instance.get_func(&mut *store, name) {
            None => Ok(None),
            Some(function) => match function.typed(&mut *store) {
                Ok(new) => Ok(Some(Heads::New(new))),
                Err(_) => match function.typed(&mut *store) {
                    Ok(old) => Ok(Some(Heads::Old(old))),
                    Err(_) => {
                        let text = format!("{name} has the wrong signature");
                        Err(Fault::new(FaultKind::Error, text))
                    }
                },
            },
        };
        Ok(Exports {
            request_headers: heads("proxy_on_request_headers")?,
            response_headers: heads("proxy_on_response_headers")?,
            context_create: get!("proxy_on_context_create"),
            request_body: get!("proxy_on_request_body"),
            request_trailers: get!("proxy_on_request_trailers"),
            response_body: get!("proxy_on_response_body"),
            response_trailers: get!("proxy_on_response_trailers"),
            done: get!("proxy_on_done"),
            log: get!("proxy_on_log"),
            delete: get!("proxy_on_delete"),
        })
    }
}

impl Instanced {
    /// Makes an instance and starts the plugin in it.
    pub(crate) async fn start(pre: &InstancePre<Host>, host: Host) -> Result<Instanced, Fault> {
        let (mut store, instance) = vm::instantiate(pre, host, &ALLOCATORS).await?;
        let exports = Exports::find(&mut store, &instance)?;
        if let Some(create) = &exports.context_create {
            vm::call(&mut store, create, (ROOT, 0)).await?;
        }
        let config = store.data().proxy.config.len() as u32;
        for (name, size) in [("proxy_on_vm_start", 0), ("proxy_on_configure", config)] {
            let Some(function) = instance.get_func(&mut store, name) else { continue };
            let function = function.typed::<(u32, u32), u32>(&store).map_err(|_| {
                Fault::new(FaultKind::Error, format!("{name} has the wrong signature"))
            })?;
            if vm::call(&mut store, &function, (ROOT, size)).await? == 0 {
                let what = if name.ends_with("start") { "to start" } else { "its configuration" };
                let text = format!("{}: the filter refused {what}", store.data().name());
                return Err(Fault::new(FaultKind::Error, text));
            }
        }
        Ok(Instanced { store, exports, last: ROOT })
    }

    /// Runs a phase for a stream. CPU time must have been granted.
    pub(crate) async fn run(
        &mut self,
        phase: Phase,
        mut stream: Box<Stream>,
        chunk: Option<(Bytes, bool)>,
    ) -> (Box<Stream>, Option<Bytes>, Result<Verdict, Fault>) {
        if stream.context == 0 {
            // 0 means no parent, 1 is the plugin's own: both are skipped when the count wraps.
            self.last = self.last.checked_add(1).unwrap_or(ROOT + 1);
            stream.context = self.last;
            if let Some(create) = &self.exports.context_create
                && let Err(fault) = vm::call(&mut self.store, create, (self.last, ROOT)).await
            {
                return (stream, None, Err(fault));
            }
        }
        let last = chunk.as_ref().is_none_or(|(_, last)| *last);
        let (heads, side) = (chunk.is_none(), usize::from(phase.is_response()));
        stream.resumed = false;
        stream.reply = match phase {
            Phase::Request | Phase::RequestBody | Phase::RequestTrailers | Phase::Response => {
                Reply::Open
            }
            _ => Reply::Closed,
        };
        let mut fits = true;
        if let Some((data, _)) = chunk {
            fits = stream.bodies[side].push(data);
            stream.bodies[side].begun = true;
        }
        let id = stream.context;
        self.store.data_mut().proxy.stream = Some(stream);
        let action = self.callback(phase, id, last).await;
        let Some(mut stream) = self.store.data_mut().proxy.stream.take() else {
            let lost = Fault::new(FaultKind::Internal, "a filter's stream was lost");
            return (Box::default(), None, Err(lost));
        };
        if stream.reply == Reply::Given {
            stream.reply = Reply::Closed;
            stream.bodies[side].take();
            return (stream, None, action.map(|_| Verdict::Reply));
        }
        let paused = match action {
            Ok(action) => action == PAUSE && !stream.resumed,
            Err(fault) => return (stream, None, Err(fault)),
        };
        let name = self.store.data().name();
        let fault = match (paused, heads || last) {
            (false, _) => {
                let out = (!heads).then(|| stream.bodies[side].take());
                return (stream, out, Ok(Verdict::Continue));
            }
            (true, false) if fits => return (stream, Some(Bytes::new()), Ok(Verdict::Continue)),
            (true, false) => Fault::new(
                FaultKind::Output,
                format!("{name}: it holds back more of a body than a filter may"),
            ),
            // Envoy would wait for ever. Nothing that could resume the stream is under way.
            (true, true) => Fault::new(
                FaultKind::Error,
                format!("{name}: paused in {}, and nothing can resume it", phase.name()),
            ),
        };
        (stream, None, Err(fault))
    }

    /// Calls what the module exports for the phase; 0 when it exports nothing.
    async fn callback(&mut self, phase: Phase, id: u32, last: bool) -> Result<u32, Fault> {
        let Instanced { store, exports, .. } = self;
        let side = usize::from(phase.is_response());
        match phase {
            Phase::Request | Phase::Response => {
                let (function, map) = match phase {
                    Phase::Request => (&exports.request_headers, map::REQUEST_HEADERS),
                    _ => (&exports.response_headers, map::RESPONSE_HEADERS),
                };
                let Some(function) = function else { return Ok(0) };
                let facts = store.data().stage.with(|exchange| {
                    let body = match phase {
                        Phase::Request => &exchange.request.body,
                        _ => &exchange.response.body,
                    };
                    let ends = body.is_done() || body.length() == Some(0);
                    (fields::count(exchange, map), u32::from(ends))
                });
                let (count, ends) = facts.unwrap_or_default();
                match function {
                    Heads::New(function) => vm::call(store, function, (id, count, ends)).await,
                    Heads::Old(function) => vm::call(store, function, (id, count)).await,
                }
            }
            Phase::RequestBody | Phase::ResponseBody => {
                let function = match phase {
                    Phase::RequestBody => &exports.request_body,
                    _ => &exports.response_body,
                };
                let Some(function) = function else { return Ok(0) };
                let stream = store.data().proxy.stream.as_ref();
                let size = stream.map_or(0, |stream| stream.bodies[side].bytes().len() as u32);
                vm::call(store, function, (id, size, u32::from(last))).await
            }
            Phase::RequestTrailers | Phase::ResponseTrailers => {
                let (function, map) = match phase {
                    Phase::RequestTrailers => (&exports.request_trailers, map::REQUEST_TRAILERS),
                    _ => (&exports.response_trailers, map::RESPONSE_TRAILERS),
                };
                let Some(function) = function else { return Ok(0) };
                let count = store.data().stage.with(|e| fields::count(e, map)).unwrap_or(0);
                vm::call(store, function, (id, count)).await
            }
            Phase::Log => {
                if let Some(function) = &exports.done {
                    // False asks for time until `proxy_done`; there is nothing to wait for.
                    vm::call(store, function, id).await?;
                }
                for function in [&exports.log, &exports.delete].into_iter().flatten() {
                    vm::call(store, function, id).await?;
                }
                Ok(0)
            }
            // Nothing in the ABI stands for the others.
            _ => Ok(0),
        }
    }
}
