//! A filter at work on one exchange.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_abi::Phase;
use pilotlight_filter::{Call, Chunk, Exchange, Fault, FaultKind, Filter, Name, Verdict};

use super::context::{Instanced, Stream};
use super::pool::{Pool, Shared};
use crate::stage::Stage;
use crate::vm;

/// Short calls: run inline, on an instance that other exchanges use too.
pub(crate) struct Inline {
    pool: Rc<Pool>,
    shared: Option<Rc<Shared>>,
    stream: Option<Box<Stream>>,
}

/// Calls that may take long: run on a fiber, on an instance of the exchange's own.
pub(crate) struct OnFiber {
    pool: Rc<Pool>,
    stage: Stage,
    instance: Option<Box<Instanced>>,
    stream: Option<Box<Stream>>,
    job: Option<(Phase, Job)>,
    /// What ended while the other direction was polled.
    ended: [Option<Outcome>; 2],
}

type Job = Pin<Box<dyn Future<Output = Ended>>>;

/// Of a phase: what the filter let through, and its verdict.
type Outcome = (Phase, Option<Bytes>, Result<Verdict, Fault>);

struct Ended {
    instance: Option<Box<Instanced>>,
    stream: Box<Stream>,
    chunk: Option<Bytes>,
    verdict: Result<Verdict, Fault>,
}

/// A filter for a new exchange.
pub(crate) fn start(pool: &Rc<Pool>) -> Box<dyn Filter> {
    let pool = Rc::clone(pool);
    if !pool.program.on_fiber {
        return Box::new(Inline { pool, shared: None, stream: None });
    }
    Box::new(OnFiber {
        pool,
        stage: Stage::default(),
        instance: None,
        stream: None,
        job: None,
        ended: [None, None],
    })
}

fn take(chunk: Option<&mut Chunk>) -> Option<(Bytes, bool)> {
    chunk.map(|chunk| (std::mem::take(&mut chunk.data), chunk.last))
}

/// After a phase: what the filter let through, and what its body callback means for the head.
fn settle(pool: &Pool, call: Call<'_>, out: Option<Bytes>) {
    if let (Some(chunk), Some(out)) = (call.chunk, out) {
        chunk.data = out;
    }
    let phases = pool.program.phases;
    let Exchange { request, response, .. } = call.exchange;
    let (body, fields) = match call.phase {
        Phase::Request if phases.has(Phase::RequestBody) => {
            (&mut request.body, &mut request.head.fields)
        }
        Phase::Response if phases.has(Phase::ResponseBody) => {
            (&mut response.body, &mut response.head.fields)
        }
        _ => return,
    };
    if !body.is_done() {
        body.forget_length();
        fields.remove_known(Name::ContentLength);
    }
}

/// What a stream has gathered of a body is lost with its instance.
fn lost(pool: &Pool, phase: Phase, stream: &mut Stream) -> Result<(), Fault> {
    stream.context = 0;
    let begun = stream.bodies[usize::from(phase.is_response())].begun;
    if begun && matches!(phase, Phase::RequestBody | Phase::ResponseBody) {
        let text = format!("{}: its instance trapped in another exchange", pool.program.name);
        return Err(Fault::new(FaultKind::Trap, text));
    }
    Ok(())
}

impl Filter for Inline {
    fn poll(&mut self, _: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        Poll::Ready(self.run(call))
    }
}

impl Inline {
    fn run(&mut self, mut call: Call<'_>) -> Result<Verdict, Fault> {
        let phase = call.phase;
        let mut stream = self.stream.take().unwrap_or_default();
        if self.shared.as_ref().is_some_and(|shared| shared.dead.get()) {
            self.shared = None;
            if phase != Phase::Log {
                lost(&self.pool, phase, &mut stream)?;
            }
        }
        let shared = match &self.shared {
            Some(shared) => Rc::clone(shared),
            // Nothing of this exchange is known to any instance: there is nothing to end.
            None if phase == Phase::Log => return Ok(Verdict::Continue),
            None => Rc::clone(self.shared.insert(self.pool.shared()?)),
        };
        let chunk = take(call.chunk.as_deref_mut());
        let (stream, out, verdict) = self.call(&shared, phase, call.exchange, stream, chunk)?;
        if phase != Phase::Log {
            self.stream = Some(stream);
        }
        settle(&self.pool, call, out);
        verdict
    }

    #[allow(clippy::type_complexity)]
    fn call(
        &self,
        shared: &Rc<Shared>,
        phase: Phase,
        exchange: &mut Exchange,
        stream: Box<Stream>,
        chunk: Option<(Bytes, bool)>,
    ) -> Result<(Box<Stream>, Option<Bytes>, Result<Verdict, Fault>), Fault> {
        self.pool.ticker.touch();
        let mut instance = shared.instance.borrow_mut();
        let stage = instance.store.data().stage.clone();
        let _on_stage = stage.enter(exchange);
        vm::grant(&mut instance.store, self.pool.program.cpu);
        let ran = vm::at_once(async { Ok(instance.run(phase, stream, chunk).await) })?;
        let (mut stream, mut out, verdict) = ran;
        if verdict.as_ref().is_err_and(is_fatal) {
            self.pool.bury(shared);
            stream.context = 0;
        }
        if verdict.is_err() {
            out = Some(stream.bodies[usize::from(phase.is_response())].take());
        }
        Ok((stream, out, verdict))
    }
}

/// Whether the instance is unfit after this failure: any but those that the host made of an
/// answer in good order.
fn is_fatal(fault: &Fault) -> bool {
    !matches!(fault.kind, FaultKind::Output)
}

/// An exchange that ends without its log phase still ends its context.
impl Drop for Inline {
    fn drop(&mut self) {
        let (Some(shared), Some(stream)) = (self.shared.take(), self.stream.take()) else { return };
        let ends = self.pool.program.phases.has(Phase::Log) && !self.pool.program.fresh;
        if stream.context == 0 || shared.dead.get() || !ends {
            return;
        }
        self.pool.ticker.touch();
        let Ok(mut instance) = shared.instance.try_borrow_mut() else { return };
        vm::grant(&mut instance.store, self.pool.program.cpu);
        let ran = vm::at_once(async { Ok(instance.run(Phase::Log, stream, None).await) });
        if !matches!(ran, Ok((_, _, Ok(_)))) {
            self.pool.bury(&shared);
        }
    }
}

impl Filter for OnFiber {
    fn poll(&mut self, cx: &mut Context<'_>, mut call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let side = usize::from(call.phase.is_response());
        loop {
            match self.ended[side].take() {
                Some((phase, out, verdict)) if phase == call.phase => {
                    settle(&self.pool, call, out);
                    return Poll::Ready(verdict);
                }
                // Of a phase that was given up.
                _ => {}
            }
            match &self.job {
                None if call.phase == Phase::Log && self.instance.is_none() => {
                    return Poll::Ready(Ok(Verdict::Continue));
                }
                None => self.begin(call.phase, take(call.chunk.as_deref_mut())),
                // The phase that waits was given up, and its instance with it.
                Some((phase, _)) if gives_up(call.phase, *phase) => {
                    self.job = None;
                    self.stream = None;
                    continue;
                }
                Some(_) => {}
            }
            self.pool.ticker.touch();
            let Some((phase, job)) = &mut self.job else { continue };
            let on_stage = self.stage.enter(call.exchange);
            let Poll::Ready(ended) = job.as_mut().poll(cx) else { return Poll::Pending };
            drop(on_stage);
            let phase = *phase;
            self.job = None;
            self.end(phase, ended);
        }
    }
}

/// Whether a poll of `phase` says that `waiting` will not be polled again: the exchange is over,
/// or the other one was of the same direction.
fn gives_up(phase: Phase, waiting: Phase) -> bool {
    phase != waiting && (phase == Phase::Log || phase.is_response() == waiting.is_response())
}

impl OnFiber {
    fn begin(&mut self, phase: Phase, chunk: Option<(Bytes, bool)>) {
        let mut stream = self.stream.take().unwrap_or_default();
        let mut instance = self.instance.take();
        let mut failed = None;
        if instance.is_none() && stream.context != 0 {
            failed = lost(&self.pool, phase, &mut stream).err();
        }
        if instance.is_none() {
            instance = self.pool.take();
            if let Some(instance) = &instance {
                self.stage = instance.store.data().stage.clone();
            }
        }
        let program = self.pool.program.clone();
        let host = match instance {
            None => self.pool.host(self.stage.clone()).map(Some),
            Some(_) => Ok(None),
        };
        let job = async move {
            let made = match (failed, host) {
                (Some(fault), _) | (None, Err(fault)) => Err(fault),
                (None, Ok(Some(host))) => Instanced::start(&program.pre, host).await.map(Box::new),
                (None, Ok(None)) => instance
                    .ok_or_else(|| Fault::new(FaultKind::Internal, "a filter's instance was lost")),
            };
            let mut instance = match made {
                Ok(instance) => instance,
                Err(fault) => {
                    let out = chunk.map(|(data, _)| data);
                    return Ended { instance: None, stream, chunk: out, verdict: Err(fault) };
                }
            };
            vm::grant(&mut instance.store, program.cpu);
            let (mut stream, mut chunk, verdict) = instance.run(phase, stream, chunk).await;
            if verdict.is_err() {
                chunk = Some(stream.bodies[usize::from(phase.is_response())].take());
            }
            let fit = !verdict.as_ref().is_err_and(is_fatal);
            Ended { instance: fit.then_some(instance), stream, chunk, verdict }
        };
        self.job = Some((phase, Box::pin(job)));
    }

    fn end(&mut self, phase: Phase, ended: Ended) {
        self.instance = ended.instance;
        self.stream = Some(ended.stream);
        if phase == Phase::Log {
            self.stream = None;
            if let Some(instance) = self.instance.take() {
                self.pool.give(instance);
            }
        }
        let side = usize::from(phase.is_response());
        self.ended[side] = Some((phase, ended.chunk, ended.verdict));
    }
}

/// An instance with a context that nothing ends is not given back.
impl Drop for OnFiber {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take()
            && !self.pool.program.phases.has(Phase::Log)
        {
            self.pool.give(instance);
        }
    }
}
