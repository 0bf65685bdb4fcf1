//! A component that answers a route's requests: `wasi:http/incoming-handler`.
//!
//! ```text
//! exchange ─ request ─▶ handle(request, outparam) ─ door ─▶ head, then frames of the body
//! ```
//! Each exchange has an instance of its own, which ends with it. The application runs while its
//! filter is polled: until its answer has begun, then whenever the client takes more of it, and
//! at the end for as long as it has something left to do.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_filter::abi::limit::{WASM_APP_MEMORY, WASM_INSTANCES};
use pilotlight_filter::engine::Spec;
use pilotlight_filter::filter::{End, Pull};
use pilotlight_filter::host::Wait;
use pilotlight_filter::{
    Call, Exchange, Fault, FaultKind, Fields, Filter, Frame, Services, Verdict,
};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Resource, TypedFunc};

use super::wasi::{self, IncomingRequest, Outparam};
use super::world::{AHEAD_MAX, Door, FieldList, Grants, World};
use crate::engine::Mistake;
use crate::fault::fault_of;
use crate::host::{Gauge, Host, Limits, Parts, Slot};
use crate::stage::Stage;
use crate::ticker::Ticker;
use crate::vm;
use crate::workshop::{Later, Runs};

/// An application.
pub(crate) struct App {
    pub(crate) name: Arc<str>,
    /// Mapped when first asked for. Exchanges past the pool's free slots have instances of their own all the
    /// same.
    runs: Later<Runs<Ready>>,
    grants: Arc<Grants>,
    cpu: Duration,
    memory: u64,
    /// On a worker.
    instances: u64,
}

/// It is ready to be instantiated.
pub(crate) struct Ready {
    pre: InstancePre<Host>,
    handle: ComponentExportIndex,
}

impl Ready {
    /// # Errors
    /// It is no application, or imports what there is not.
    pub(crate) fn new(component: &Component) -> Result<Ready, Vec<Mistake>> {
        let engine = component.engine();
        let ty = component.component_type();
        let mut names = ty.exports(engine).map(|(name, _)| name);
        let handler = names.find(|name| name.starts_with("wasi:http/incoming-handler@0.2."));
        let handler = handler.and_then(|name| component.get_export_index(None, name));
        let handle = handler.and_then(|at| component.get_export_index(Some(&at), "handle"));
        let Some(handle) = handle else {
            let mut names = ty.exports(engine).map(|(name, _)| name);
            let mistake = match names.find(|name| {
                name.starts_with("wasi:cli/run@") || name.starts_with("wasi:http/handler@")
            }) {
                Some(other) => {
                    Mistake::new(format!("it exports `{other}`, which nobody runs here"))
                }
                None => Mistake::new("it exports no `wasi:http/incoming-handler` of WASI 0.2"),
            };
            return Err(vec![mistake.hint("build it for the world `wasi:http/proxy`")]);
        };
        Ok(Ready { pre: wasi::link(component)?, handle })
    }
}

impl App {
    pub(crate) fn new(spec: &Spec, runs: Later<Runs<Ready>>) -> App {
        let config: serde_json::Value = serde_json::from_slice(&spec.config).unwrap_or_default();
        let instances = config.get("instances").and_then(serde_json::Value::as_u64);
        App {
            name: Arc::clone(&spec.name),
            runs,
            grants: Arc::new(grants(&config)),
            cpu: spec.cpu,
            memory: spec.memory.unwrap_or(WASM_APP_MEMORY),
            instances: instances.unwrap_or(WASM_INSTANCES),
        }
    }

    /// Runs it once.
    async fn run(self: Arc<App>, mut host: Host) -> Result<(), Fault> {
        let runs = self.runs.get()?;
        let mut ready = &runs.ready;
        if let Some((pooled, slots)) = &runs.pooled
            && let Some(slot) = Slot::take(slots)
        {
            (ready, host.slot) = (pooled, Some(slot));
        }
        let mut store = vm::store(ready.pre.engine(), host);
        let ran = async {
            let instance = ready.pre.instantiate_async(&mut store).await?;
            vm::grant(&mut store, self.cpu);
            type Handle = TypedFunc<(Resource<IncomingRequest>, Resource<Outparam>), ()>;
            let handle: Handle = instance.get_typed_func(&mut store, ready.handle)?;
            let table = &mut store.data_mut().world()?.table;
            let arguments = (table.push(IncomingRequest::default())?, table.push(Outparam)?);
            handle.call_async(&mut store, arguments).await
        }
        .await;
        store.data_mut().print_rest();
        ran.map_err(|error| fault_of(&error, store.data()))
    }
}

/// What the manifest grants, as the host has put it: `{"env": {..}, "upstreams": {..}, ...}`.
fn grants(config: &serde_json::Value) -> Grants {
    let pairs = |key: &str| {
        let table = config.get(key).and_then(|table| table.as_object());
        let pair = |(name, value): (&String, &serde_json::Value)| {
            (name.clone(), value.as_str().unwrap_or_default().to_owned())
        };
        table.into_iter().flatten().map(pair).collect()
    };
    Grants { env: pairs("env"), upstreams: pairs("upstreams"), buckets: pairs("shared") }
}

/// An application on one worker.
pub(crate) struct Site {
    pub(crate) app: Arc<App>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) services: Rc<dyn Services>,
    pub(crate) gauge: Arc<Gauge>,
}

impl Site {
    /// For a new exchange.
    pub(crate) fn start(&self) -> Box<dyn Filter> {
        let (stage, door) = (Stage::default(), Rc::new(Door::default()));
        let run: Wait<Result<(), Fault>> = match self.gauge.instances.load(Ordering::Relaxed) {
            used if used < self.app.instances => {
                Box::pin(Arc::clone(&self.app).run(self.host(&stage, &door)))
            }
            used => {
                let text = format!("{}: {used} instances are in use", self.app.name);
                Box::pin(std::future::ready(Err(Fault::new(FaultKind::Busy, text))))
            }
        };
        Box::new(Visit { name: Arc::clone(&self.app.name), stage, door, run: Some(run) })
    }

    /// The data of an instance to be.
    fn host(&self, stage: &Stage, door: &Rc<Door>) -> Host {
        let limits = Limits::new(self.app.memory, Parts::COMPONENT, Arc::clone(&self.gauge));
        let (name, services) = (Arc::clone(&self.app.name), Rc::clone(&self.services));
        let mut host = Host::new(name, services, stage.clone(), limits, true);
        host.ticker = Some(Arc::clone(&self.ticker));
        host.world = Some(Box::new(World::new(Arc::clone(&self.app.grants), Rc::clone(door))));
        host
    }
}

/// An application at work on one exchange.
struct Visit {
    name: Arc<str>,
    stage: Stage,
    door: Rc<Door>,
    /// `None` when it has ended.
    run: Option<Wait<Result<(), Fault>>>,
}

impl Visit {
    /// Lets it go on; ready when it has ended.
    fn poll_run(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Poll<Result<(), Fault>> {
        let Some(run) = &mut self.run else { return Poll::Ready(Ok(())) };
        let _on = self.stage.enter(exchange);
        let ended = std::task::ready!(run.as_mut().poll(cx));
        self.run = None;
        Poll::Ready(ended)
    }

    fn fault(&self, what: &str) -> Fault {
        Fault::new(FaultKind::Error, format!("{}: {what}", self.name))
    }

    /// Begins the answer, if there is one.
    fn begin(&self, exchange: &mut Exchange) -> Option<Result<Verdict, Fault>> {
        let mut answer = self.door.0.borrow_mut();
        if let Some(code) = answer.refused.take() {
            return Some(Err(self.fault(&format!("it gave up with {code}"))));
        }
        let (status, fields) = answer.head.take()?;
        let head = exchange.reply(status, bytes::Bytes::new());
        write(&fields, &mut head.fields);
        let length = head.fields.get(b"content-length");
        let length = length.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        Some(Ok(Verdict::Stream { length }))
    }
}

fn write(list: &FieldList, fields: &mut Fields) {
    // They were checked when they were made.
    for (name, value) in list {
        fields.push_checked(name.as_bytes(), value);
    }
}

impl Filter for Visit {
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let exchange = call.exchange;
        let ran = self.poll_run(cx, exchange);
        if let Some(begun) = self.begin(exchange) {
            // What went wrong meanwhile breaks the body off.
            if let Poll::Ready(Err(fault)) = ran {
                self.run = Some(Box::pin(std::future::ready(Err(fault))));
            }
            return Poll::Ready(begun);
        }
        std::task::ready!(ran)?;
        Poll::Ready(Err(self.fault("it ended without an answer")))
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        pull: Pull<'_>,
    ) -> Poll<Result<Option<Frame>, Fault>> {
        let has_room = self.door.0.borrow().body.len() < AHEAD_MAX;
        let ended = if has_room { self.poll_run(cx, pull.exchange) } else { Poll::Pending };
        let mut answer = self.door.0.borrow_mut();
        if !answer.body.is_empty() && !matches!(ended, Poll::Ready(Err(_))) {
            return Poll::Ready(Ok(Some(Frame::Data(answer.body.split().freeze()))));
        }
        if let Poll::Ready(Err(fault)) = ended {
            return Poll::Ready(Err(fault));
        }
        match (answer.ended, ended) {
            (true, _) => {
                let list = std::mem::take(&mut answer.trailers);
                let mut trailers = Fields::default();
                write(&list, &mut trailers);
                Poll::Ready(Ok((!list.is_empty()).then_some(Frame::Trailers(trailers))))
            }
            (false, Poll::Ready(_)) => {
                Poll::Ready(Err(self.fault("it ended without finishing its body")))
            }
            (false, Poll::Pending) => Poll::Pending,
        }
    }

    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        end: End,
    ) -> Poll<Result<(), Fault>> {
        match end {
            End::Delivered => self.poll_run(cx, exchange),
            End::Gone => {
                self.door.0.borrow_mut().gone = true;
                self.run = None;
                Poll::Ready(Ok(()))
            }
        }
    }
}
