//! The contexts of a filter's instance: one for the plugin, one a stream.

use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::Bytes;
use pilotlight_abi::Phase;
use pilotlight_filter::Exchange;
use pilotlight_filter::host::{Metric, MetricKind};

use super::abi::{ROOT, buffer, map};
use super::body::Held;
use super::calling::Incoming;
use super::fields;
use super::grpc::Wanted;
use super::mail::Mail;
use super::maps;
use super::pool::Program;
use super::redis;
use super::root::Root;
use crate::host::Host;

/// The plugin's side of an instance's data.
#[derive(Default)]
pub(crate) struct Proxy {
    /// What the manifest says of the filter; modules that scripts call have none.
    pub(crate) program: Option<Arc<Program>>,
    /// What goes on in the plugin's own context.
    pub(crate) root: Rc<Root>,
    /// The stream that is being worked on.
    pub(crate) stream: Option<Box<Stream>>,
    /// Which context host calls mean.
    pub(crate) effective: u32,
    pub(crate) contexts: Contexts,
    /// What a callback was called for: an answer, arguments.
    pub(crate) incoming: Incoming,
    /// The last call's number.
    pub(crate) token: u32,
    /// gRPC calls by their tokens.
    pub(crate) grpc: Vec<(u32, Weak<Wanted>)>,
    /// Metrics by their ids less one.
    pub(crate) metrics: Vec<(MetricKind, Arc<dyn Metric>)>,
    /// Servers that it speaks to, and connections to them that its filter has.
    pub(crate) redis: Vec<redis::Server>,
    pub(crate) idle: Rc<redis::Idle>,
}

/// One exchange's side.
#[derive(Default)]
pub(crate) struct Stream {
    /// Its context; 0 before that is made.
    pub(crate) context: u32,
    /// Its place among the living.
    pub(crate) place: u32,
    /// The request's body and the response's.
    pub(crate) bodies: [Held; 2],
    /// The head said that there is no body, by direction: then nothing is called for its end.
    pub(crate) bodiless: [bool; 2],
    pub(crate) reply: Reply,
    /// Fields for a response that is not there yet.
    pub(crate) early: Vec<Early>,
    /// `proxy_continue_stream` was called, by direction.
    pub(crate) resumed: [bool; 2],
    /// Since its last phase began an answer has come to one of its calls.
    pub(crate) answered: bool,
    /// `proxy_close_stream` was called.
    pub(crate) closed: bool,
    /// `proxy_done` was called.
    pub(crate) done: bool,
    /// Trailers that it made itself: it is not called for them.
    pub(crate) made_trailers: [bool; 2],
    /// What it waits for, by direction.
    pub(crate) waiting: [Option<Waiting>; 2],
    /// Made when something may come for it between callbacks.
    pub(crate) mail: Option<Rc<Mail>>,
    /// It is a connection without HTTP: which of its buffers are at hand.
    pub(crate) flow: Option<[bool; 2]>,
}

impl Stream {
    /// The body that a buffer of the ABI stands for.
    pub(crate) fn body(&mut self, buffer: u32) -> Option<&mut Held> {
        let side = match self.flow {
            None => (buffer - buffer::REQUEST_BODY) as usize,
            Some(at_hand) => {
                let side = buffer.checked_sub(buffer::DOWNSTREAM_DATA)? as usize;
                at_hand.get(side).filter(|at_hand| **at_hand)?;
                side
            }
        };
        self.bodies.get_mut(side)
    }

    /// Answers have come to all that it has called.
    pub(crate) fn has_all_answers(&self) -> bool {
        self.answered && self.mail.as_ref().is_some_and(|mail| mail.calls.get() == 0)
    }
}

/// A field that is added, or replaces those of its name.
pub(crate) struct Early {
    pub(crate) adds: bool,
    pub(crate) name: Box<[u8]>,
    pub(crate) value: Box<[u8]>,
}

/// A pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) phase: Phase,
    /// The body has ended, or the phase has none.
    pub(crate) last: bool,
    /// While the head waits, the body's callback is called.
    pub(crate) pulls: bool,
    /// ... and was: what it holds back is of that body.
    pub(crate) pulled: bool,
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

/// A local response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Bytes,
    /// Not below 0: the answer to a gRPC call.
    pub(crate) grpc: i32,
    pub(crate) details: Vec<u8>,
}

impl Answer {
    /// Puts it into the exchange; false when a field can't stand in a message.
    pub(crate) fn apply(self, exchange: &mut Exchange) -> bool {
        let grpc = self.grpc >= 0
            && exchange.request.head.fields.get(b"content-type").is_some_and(is_grpc);
        let head = exchange.reply(if grpc { 200 } else { self.status }, self.body.clone());
        for (name, value) in &self.fields {
            let pseudo = name.first() == Some(&b':');
            let framing = pilotlight_filter::Name::of(name).is_framing();
            if !pseudo && !framing && head.fields.add(name, maps::trimmed(value)).is_err() {
                return false;
            }
        }
        if !self.body.is_empty() && head.fields.get(b"content-type").is_none() {
            let _ = head.fields.set(b"content-type", b"text/plain");
        }
        if grpc {
            // What a gRPC client can read: no body, the state where trailers would stand.
            let number = self.grpc.to_string();
            let _ = head.fields.set(b"content-type", b"application/grpc");
            let _ = head.fields.set(b"grpc-status", number.as_bytes());
            // Envoy takes the body, the SDK for Rust gives it as details.
            let text = if self.body.is_empty() { &self.details[..] } else { &self.body[..] };
            let _ = head.fields.set(b"grpc-message", &message(text));
            exchange.response.body.set(Bytes::new());
        }
        if let Ok(details) = std::str::from_utf8(&self.details)
            && !details.is_empty()
        {
            exchange.set_property("response.code_details", details.into());
        }
        true
    }
}

fn is_grpc(kind: &[u8]) -> bool {
    kind.starts_with(b"application/grpc")
}

/// Percent-encoded, as `grpc-message` wants it.
fn message(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b' '..=b'~' if *byte != b'%' => out.push(*byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}

/// The living streams of an instance.
#[derive(Default)]
pub(crate) struct Contexts {
    places: Vec<(u32, Option<Rc<Mail>>)>,
    free: Vec<u32>,
    last: u32,
}

/// The instance is gone: who waits for something from it finds out.
impl Drop for Contexts {
    fn drop(&mut self) {
        self.wake();
    }
}

impl Contexts {
    /// A context for a stream: its id and its place.
    pub(crate) fn begin(&mut self) -> (u32, u32) {
        // 0 means no parent, 1 is the plugin's own: both are skipped when the count wraps.
        self.last = self.last.max(ROOT).checked_add(1).unwrap_or(ROOT + 1);
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            self.places.len() as u32 - 1
        });
        self.places[place as usize] = (self.last, None);
        (self.last, place)
    }

    /// The stream's letters may come from now on.
    pub(crate) fn open_mail(&mut self, stream: &mut Stream) -> Rc<Mail> {
        let is_flow = stream.flow.is_some();
        let mail = stream.mail.get_or_insert_default();
        mail.is_flow.set(is_flow);
        if let Some(place) = self.places.get_mut(stream.place as usize) {
            place.1 = Some(Rc::clone(mail));
        }
        Rc::clone(mail)
    }

    /// Lets all look again whether what they wait for can still come.
    #[cold]
    pub(crate) fn wake(&self) {
        self.places.iter().filter_map(|(_, mail)| mail.as_ref()).for_each(|mail| mail.wake());
    }

    /// The stream is over.
    pub(crate) fn end(&mut self, place: u32) {
        if let Some(entry) = self.places.get_mut(place as usize) {
            *entry = (0, None);
            self.free.push(place);
        }
    }

    pub(crate) fn is_alive(&self, id: u32) -> bool {
        id != 0 && self.places.iter().any(|(living, _)| *living == id)
    }

    /// The letters of a stream that is not at hand.
    pub(crate) fn mail(&self, id: u32) -> Option<&Rc<Mail>> {
        self.places.iter().find(|(living, _)| *living == id && id != 0)?.1.as_ref()
    }
}

impl Host {
    /// What a filter has set before there was a response.
    pub(crate) fn add_early(&mut self) {
        let Some(stream) = self.proxy.stream.as_deref_mut().filter(|s| !s.early.is_empty()) else {
            return;
        };
        let early = std::mem::take(&mut stream.early);
        self.stage.with(|exchange| {
            for Early { adds, name, value } in early {
                // What can't stand in a message is left out.
                let _ = match adds {
                    true => fields::add(exchange, map::RESPONSE_HEADERS, &name, &value),
                    false => fields::replace(exchange, map::RESPONSE_HEADERS, &name, &value),
                };
            }
        });
    }

    /// The stream that host calls mean, when it is the one that is being worked on.
    #[inline]
    pub(crate) fn stream(&mut self) -> Option<&mut Stream> {
        let Proxy { stream, effective, .. } = &mut self.proxy;
        stream.as_deref_mut().filter(|stream| stream.context == *effective)
    }

    /// Works on the exchange of that stream, if it has messages.
    #[inline]
    pub(crate) fn with_messages<R>(&self, work: impl FnOnce(&mut Exchange) -> R) -> Option<R> {
        self.with(|exchange| exchange.flow.is_none().then(|| work(exchange))).flatten()
    }

    /// Works on the exchange of that stream.
    #[inline]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Exchange) -> R) -> Option<R> {
        let Proxy { stream, effective, .. } = &self.proxy;
        match stream {
            Some(stream) if stream.context == *effective => self.stage.with(work),
            _ => None,
        }
    }
}
