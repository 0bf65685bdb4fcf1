//! An instance of a filter: what it exports, and how its callbacks are called.

use bytes::Bytes;
use pilotlight_abi::{Phase, Phases};
use pilotlight_filter::host::Level;
use pilotlight_filter::{Closed, Exchange, Fault, FaultKind};
use wasmtime::{
    ExternType, Func, Instance, InstancePre, Module, ModuleExport, Store, TypedFunc, WasmParams,
    WasmResults,
};

use super::abi::{ALLOCATORS, MARKERS, PAUSE, ROOT, map};
use super::calling::{Event, Incoming};
use super::context::{Reply, Stream};
use super::fields;
use super::origin::Origin;
use crate::host::Host;
use crate::vm::{self, Prepared};

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
    /// Those that come seldom are looked up when they do.
    instance: Instance,
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
    /// What it is put back to after each exchange.
    pub(super) origin: Option<Box<Origin>>,
}

/// What an instance is to do for a stream.
pub(crate) enum Task {
    /// A phase, with the chunk that passes in one.
    Phase(Phase, Option<(Bytes, bool)>),
    /// A piece of a body, while the head of its message waits.
    Pulled(Phase, Bytes, bool),
    /// Bytes of a connection, from the client or the upstream: what has come, whether it is the last,
    /// and whether what came before is held.
    Bytes { side: usize, data: Bytes, last: bool, held: bool },
    /// Something has come for it.
    Event(Event),
    /// The last callbacks.
    Finish,
}

/// The version that a module's marker names.
pub(crate) fn marker(module: &Module) -> Option<&'static str> {
    MARKERS.into_iter().find(|name| module.get_export(name).is_some())
}

/// Which exports want which phases.
const PHASES: [(&str, Phase); 10] = [
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

/// What a module's exports make it want to be called for.
pub(crate) fn phases(module: &Module) -> Phases {
    let wanted = PHASES.iter().filter(|(name, _)| exports(module, name));
    let mut phases = wanted.map(|(_, phase)| *phase).collect::<Phases>();
    if exports(module, "proxy_on_delete") && phases != Phases::NONE {
        phases = phases.with(Phase::Log);
    }
    phases
}

/// Callbacks for the bytes of a connection, with their parameters and results.
const OF_CONNECTIONS: [(&str, usize, usize); 5] = [
    ("proxy_on_new_connection", 1, 1),
    ("proxy_on_downstream_data", 3, 1),
    ("proxy_on_upstream_data", 3, 1),
    ("proxy_on_downstream_connection_close", 2, 0),
    ("proxy_on_upstream_connection_close", 2, 0),
];

/// The first of those that a module has.
pub(crate) fn of_connections(module: &Module) -> Option<&'static str> {
    let mut names = OF_CONNECTIONS.iter().map(|row| row.0);
    names.find(|name| exports(module, name))
}

/// Whether a module has a callback for exchanges.
pub(crate) fn of_exchanges(module: &Module) -> bool {
    let mut http = PHASES.iter().filter(|(_, phase)| *phase != Phase::Log);
    http.any(|(name, _)| exports(module, name))
}

fn exports(module: &Module, name: &str) -> bool {
    matches!(module.get_export(name), Some(ExternType::Func(_)))
}

/// Callbacks that come with each instance or stream, with their numbers of parameters and results.
const OFTEN: [(&str, usize, usize); 12] = [
    ("proxy_on_vm_start", 2, 1),
    ("proxy_on_configure", 2, 1),
    ("proxy_on_context_create", 2, 0),
    ("proxy_on_request_headers", 3, 1),
    ("proxy_on_request_body", 3, 1),
    ("proxy_on_request_trailers", 2, 1),
    ("proxy_on_response_headers", 3, 1),
    ("proxy_on_response_body", 3, 1),
    ("proxy_on_response_trailers", 2, 1),
    ("proxy_on_done", 1, 1),
    ("proxy_on_log", 1, 0),
    ("proxy_on_delete", 1, 0),
];
/// Those that come seldom: they are looked up when they do.
const SELDOM: [(&str, usize, usize); 9] = [
    ("proxy_on_tick", 1, 0),
    ("proxy_on_queue_ready", 2, 0),
    ("proxy_on_http_call_response", 5, 0),
    ("proxy_on_grpc_receive_initial_metadata", 3, 0),
    ("proxy_on_grpc_receive", 3, 0),
    ("proxy_on_grpc_receive_trailing_metadata", 3, 0),
    ("proxy_on_grpc_close", 3, 0),
    ("proxy_on_foreign_function", 3, 0),
    ("proxy_on_redis_call_response", 4, 0),
];

/// The name of a callback that the host could not call, if there is one.
pub(crate) fn malformed(module: &Module) -> Option<&'static str> {
    let fits = |(name, parameters, results): &(&str, usize, usize)| {
        let Some(ExternType::Func(ty)) = module.get_export(name) else { return true };
        let plain = ty.params().chain(ty.results()).all(|ty| ty.is_i32());
        // ABI 0.1.0 does not say whether the stream ends with a head.
        let is_old = name.ends_with("_headers") && ty.params().len() == 2;
        plain && (is_old || ty.params().len() == *parameters) && ty.results().len() == *results
    };
    OFTEN.iter().chain(&SELDOM).chain(&OF_CONNECTIONS).find(|row| !fits(row)).map(|row| row.0)
}

/// A filter's module, ready to be instantiated, with its callbacks found.
pub(crate) struct Ready {
    prepared: Prepared,
    often: [Option<ModuleExport>; OFTEN.len()],
}

impl Ready {
    pub(crate) fn new(pre: InstancePre<Host>) -> Ready {
        let often = OFTEN.map(|(name, ..)| pre.module().get_export_index(name));
        Ready { prepared: Prepared::new(pre, &ALLOCATORS), often }
    }
}

fn typed<P: WasmParams, R: WasmResults>(
    store: &Store<Host>,
    function: Func,
) -> Result<TypedFunc<P, R>, Fault> {
    let wrong = |_| Fault::new(FaultKind::Error, "a callback has the wrong signature");
    function.typed(store).map_err(wrong)
}

fn heads(store: &Store<Host>, function: Func) -> Result<Heads, Fault> {
    match function.typed(store) {
        Ok(new) => Ok(Heads::New(new)),
        Err(_) => typed(store, function).map(Heads::Old),
    }
}

impl Instanced {
    /// Makes an instance and starts the plugin in it.
    pub(crate) async fn start(ready: &Ready, mut host: Host) -> Result<Instanced, Fault> {
        host.proxy.effective = ROOT;
        let sizes = host.proxy.program.as_ref();
        let sizes = sizes.map_or([0; 2], |p| [p.vm_config.len() as u32, p.config.len() as u32]);
        let (mut store, instance) = ready.prepared.instantiate(host).await?;
        let often = ready.often.map(|export| vm::function(&mut store, instance, export));
        let [start, configure, create, often @ ..] = often;
        let [request, request_body, request_trailers, often @ ..] = often;
        let [response, response_body, response_trailers, done, log, delete] = often;
        let exports = Exports {
            context_create: create.map(|f| typed(&store, f)).transpose()?,
            request_headers: request.map(|f| heads(&store, f)).transpose()?,
            request_body: request_body.map(|f| typed(&store, f)).transpose()?,
            request_trailers: request_trailers.map(|f| typed(&store, f)).transpose()?,
            response_headers: response.map(|f| heads(&store, f)).transpose()?,
            response_body: response_body.map(|f| typed(&store, f)).transpose()?,
            response_trailers: response_trailers.map(|f| typed(&store, f)).transpose()?,
            done: done.map(|f| typed(&store, f)).transpose()?,
            log: log.map(|f| typed(&store, f)).transpose()?,
            delete: delete.map(|f| typed(&store, f)).transpose()?,
            instance,
        };
        let mut started = Instanced { store, exports, origin: None };
        if let Some(create) = &started.exports.context_create {
            vm::call(&mut started.store, create, (ROOT, 0)).await?;
        }
        for (function, size, what) in
            [(start, sizes[0], "to start"), (configure, sizes[1], "its configuration")]
        {
            if started.tell::<_, u32>(function, ROOT, (ROOT, size)).await? == Some(0) {
                let host = started.store.data();
                let text = format!("{}: the filter refused {what}", host.name());
                let text = host.explain(text, Level::Warn);
                return Err(Fault::new(FaultKind::Error, text));
            }
        }
        Ok(started)
    }

    pub(super) fn instance(&self) -> Instance {
        self.exports.instance
    }

    /// Calls a callback by its name, in the plugin's context; `None` when it is not there.
    pub(crate) async fn seldom<P, R>(
        &mut self,
        name: &str,
        parameters: P,
    ) -> Result<Option<R>, Fault>
    where
        P: WasmParams + Sync,
        R: WasmResults + Sync,
    {
        self.named(name, ROOT, parameters).await
    }

    /// The same in any context.
    async fn named<P, R>(&mut self, name: &str, of: u32, parameters: P) -> Result<Option<R>, Fault>
    where
        P: WasmParams + Sync,
        R: WasmResults + Sync,
    {
        let function = self.exports.instance.get_func(&mut self.store, name);
        self.tell(function, of, parameters).await
    }

    /// Calls a callback in a context, if it is there.
    async fn tell<P, R>(
        &mut self,
        function: Option<Func>,
        of: u32,
        parameters: P,
    ) -> Result<Option<R>, Fault>
    where
        P: WasmParams + Sync,
        R: WasmResults + Sync,
    {
        let Some(function) = function else { return Ok(None) };
        let function = typed::<P, R>(&self.store, function)?;
        self.store.data_mut().proxy.effective = of;
        vm::call(&mut self.store, &function, parameters).await.map(Some)
    }

    /// Shows a filter what has come over a connection.
    async fn bytes(&mut self, id: u32, side: usize, last: bool) -> Result<u32, Fault> {
        let stream = self.store.data().proxy.stream.as_ref();
        let size = stream.map_or(0, |stream| stream.bodies[side].bytes().len() as u32);
        let name = OF_CONNECTIONS[1 + side].0;
        let answer = self.named(name, id, (id, size, u32::from(last))).await?;
        if last && side == 1 {
            // As in Envoy, which does not say who has ended it.
            let by = Closed::Unknown as u32;
            self.named::<_, ()>("proxy_on_upstream_connection_close", id, (id, by)).await?;
        }
        Ok(answer.unwrap_or(0))
    }

    /// The connection with the client has ended.
    async fn closed(&mut self, id: u32) -> Result<(), Fault> {
        let by = |exchange: &mut Exchange| exchange.flow.as_ref().map(|flow| flow.closed as u32);
        if let Some(Some(by)) = self.store.data().stage.with(by) {
            self.named::<_, ()>("proxy_on_downstream_connection_close", id, (id, by)).await?;
        }
        Ok(())
    }

    /// Works on a stream: what the callback answers. CPU time must have been granted.
    pub(crate) async fn run(
        &mut self,
        task: Task,
        mut stream: Box<Stream>,
    ) -> (Box<Stream>, Result<u32, Fault>) {
        let begins = stream.context == 0;
        if begins {
            let proxy = &mut self.store.data_mut().proxy;
            (stream.context, stream.place) = proxy.contexts.begin();
            proxy.root.streams.set(proxy.root.streams.get() + 1);
        }
        let id = stream.context;
        let proxy = &mut self.store.data_mut().proxy;
        proxy.stream = Some(stream);
        proxy.effective = id;
        let mut made = Ok(());
        if begins && let Some(create) = &self.exports.context_create {
            made = vm::call(&mut self.store, create, (id, ROOT)).await;
        }
        let answered = match made {
            Ok(()) => self.work(task, id).await,
            Err(fault) => Err(fault),
        };
        match self.store.data_mut().proxy.stream.take() {
            Some(stream) => (stream, answered),
            None => {
                let lost = Fault::new(FaultKind::Internal, "a filter's stream was lost");
                (Box::default(), Err(lost))
            }
        }
    }

    async fn work(&mut self, task: Task, id: u32) -> Result<u32, Fault> {
        let stream = self.store.data_mut().proxy.stream.as_deref_mut();
        match task {
            Task::Phase(phase, chunk) => {
                let last = chunk.as_ref().is_none_or(|(_, last)| *last);
                let side = usize::from(phase.is_response());
                if let Some(stream) = stream {
                    stream.reply = match phase {
                        Phase::Request | Phase::RequestBody | Phase::RequestTrailers => Reply::Open,
                        Phase::Response => Reply::Open,
                        _ => Reply::Closed,
                    };
                    let held = stream.bodies[side].bytes();
                    if let Some((data, true)) = &chunk
                        && stream.bodiless[side]
                        && data.is_empty()
                        && held.is_empty()
                    {
                        return Ok(0);
                    }
                    if let Some((data, _)) = chunk {
                        // What was resumed since the last chunk has been let through.
                        stream.bodies[side].push(data, stream.resumed[side]);
                    }
                    stream.resumed[side] = false;
                    stream.answered = false;
                    if phase == Phase::Log && stream.flow.is_some() {
                        self.closed(id).await?;
                    }
                }
                self.callback(phase, id, last).await
            }
            Task::Pulled(phase, data, last) => {
                let side = usize::from(phase.is_response());
                if let Some(stream) = stream {
                    stream.bodies[side].push(data, false);
                }
                self.callback(phase, id, last).await
            }
            Task::Bytes { side, data, last, held } => {
                if let Some(stream) = stream {
                    stream.bodies[side].push(data, !held);
                    stream.flow.get_or_insert_default()[side] = true;
                }
                self.bytes(id, side, last).await
            }
            Task::Event(event) => {
                let stage = &self.store.data().stage;
                let early = |e: &mut Exchange| e.flow.is_none() && e.response.origin.is_none();
                let early = stage.with(early);
                if let Some(stream) = &mut self.store.data_mut().proxy.stream {
                    stream.answered = true;
                    if stream.reply == Reply::Closed && early == Some(true) {
                        stream.reply = Reply::Open;
                    }
                }
                self.hear(event).await.map(|()| 0)
            }
            Task::Finish => self.finish(id).await,
        }
    }

    /// The last callbacks of a stream.
    async fn finish(&mut self, id: u32) -> Result<u32, Fault> {
        for function in [&self.exports.log, &self.exports.delete].into_iter().flatten() {
            self.store.data_mut().proxy.effective = id;
            vm::call(&mut self.store, function, id).await?;
        }
        Ok(0)
    }

    /// Tells the plugin's context what has come.
    pub(crate) async fn hear(&mut self, event: Event) -> Result<(), Fault> {
        let text = self.store.data().proxy.program.as_ref().is_some_and(|program| program.text);
        let (name, incoming, arguments) = event.open(text);
        let proxy = &mut self.store.data_mut().proxy;
        proxy.incoming = incoming;
        // Kong's SDK looks for the stream by this number.
        let own = proxy.stream.as_ref().filter(|_| text && name == "proxy_on_foreign_function");
        let context = own.map_or(ROOT, |stream| stream.context);
        let told = match arguments[..] {
            [a] => self.seldom::<_, ()>(name, (ROOT, a)).await,
            [a, b] => self.seldom::<_, ()>(name, (context, a, b)).await,
            [a, b, c] => self.seldom::<_, ()>(name, (ROOT, a, b, c)).await,
            [a, b, c, d] => self.seldom::<_, ()>(name, (ROOT, a, b, c, d)).await,
            _ => Ok(None),
        };
        self.store.data_mut().proxy.incoming = Incoming::default();
        told.map(|_| ())
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
                if phase == Phase::Response {
                    store.data_mut().add_early();
                }
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
                if let Some(stream) = &mut store.data_mut().proxy.stream {
                    stream.bodiless[side] = ends == 1;
                }
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
                let made =
                    store.data().proxy.stream.as_ref().is_some_and(|s| s.made_trailers[side]);
                let Some(function) = function.as_ref().filter(|_| !made) else { return Ok(0) };
                let count = store.data().stage.with(|e| fields::count(e, map)).unwrap_or(0);
                vm::call(store, function, (id, count)).await
            }
            Phase::Connect => Ok(self.named("proxy_on_new_connection", id, id).await?.unwrap_or(0)),
            Phase::Log => {
                let done = match &exports.done {
                    Some(function) => vm::call(store, function, id).await?,
                    None => 1,
                };
                let stream = store.data().proxy.stream.as_ref();
                let waits = done == 0 && stream.is_some_and(|stream| !stream.done);
                if waits && store.data().proxy.root.has_work() {
                    return Ok(PAUSE);
                }
                self.finish(id).await
            }
            // Nothing in the ABI stands for the others.
            _ => Ok(0),
        }
    }

    /// Ends the plugin's own context.
    pub(crate) async fn end(&mut self) -> Result<(), Fault> {
        self.seldom::<_, u32>("proxy_on_done", ROOT).await?;
        self.seldom::<_, ()>("proxy_on_log", ROOT).await?;
        self.seldom::<_, ()>("proxy_on_delete", ROOT).await?;
        Ok(())
    }
}
