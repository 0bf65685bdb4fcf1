//! Logs: the access log and the gateway's own, JSON lines both, written by a thread of their own.
//!
//! A worker never waits for a sink: the queue is bounded, and what does not fit is counted.

mod json;
mod sink;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use pilotlight_abi::Phase;
use pilotlight_config::manifest::{self, AccessLog};
use pilotlight_filter::host::{Level, LogLine};
use pilotlight_filter::{Exchange, Fault, RequestHead};

use self::json::Line;
use self::sink::{Sink, Target};
use crate::clock::Clock;
use crate::drive::Figures;
use crate::flow::Passage;
use crate::metrics::Registry;
use crate::worker::Inlet;

/// The process's log.
pub(crate) struct Log {
    clock: Clock,
    level: AtomicU8,
    access: AtomicU8,
    sink: Sink,
}

const OFF: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const FILE: u8 = 3;

impl Log {
    pub(crate) fn new(settings: &manifest::Log, clock: Clock, metrics: Arc<Registry>) -> Log {
        let log = Log {
            clock,
            level: AtomicU8::new(0),
            access: AtomicU8::new(OFF),
            sink: Sink::start(metrics),
        };
        log.configure(settings);
        log
    }

    /// Takes new settings; a file is opened (again, so that it may be rotated).
    pub(crate) fn configure(&self, settings: &manifest::Log) {
        let level = match settings.level {
            manifest::Level::Error => Level::Error,
            manifest::Level::Warn => Level::Warn,
            manifest::Level::Info => Level::Info,
            manifest::Level::Debug => Level::Debug,
            manifest::Level::Trace => Level::Trace,
        };
        self.level.store(level as u8, Ordering::Relaxed);
        let access = match &settings.access {
            AccessLog::Off => OFF,
            AccessLog::Stdout => STDOUT,
            AccessLog::Stderr => STDERR,
            AccessLog::File(path) => {
                self.sink.open(path.clone());
                FILE
            }
        };
        self.access.store(access, Ordering::Relaxed);
    }

    /// Whether lines of this level are written.
    pub(crate) fn logs(&self, level: Level) -> bool {
        level as u8 <= self.level.load(Ordering::Relaxed)
    }

    /// A line of the gateway's own: a constant sentence and its fields.
    pub(crate) fn event(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        if !self.logs(level) {
            return;
        }
        let mut line = self.line(level, message);
        for (key, value) in fields {
            line.text(key, value.as_bytes());
        }
        self.sink.write(Target::Stderr, line.finish());
    }

    /// A line that a filter wrote.
    pub(crate) fn script(&self, given: &LogLine<'_>) {
        if !self.logs(given.level) {
            return;
        }
        let mut line = self.line(given.level, given.message);
        line.text("filter", given.filter.as_bytes());
        if !given.id.is_empty() {
            line.text("request_id", given.id.as_bytes());
        }
        line.values(given.fields);
        self.sink.write(Target::Stderr, line.finish());
    }

    /// A filter failed: once, with its stack.
    pub(crate) fn fault(&self, filter: &str, phase: Phase, fault: &Fault, exchange: &Exchange) {
        if !self.logs(Level::Error) {
            return;
        }
        let mut line = self.line(Level::Error, "filter failed");
        line.text("filter", filter.as_bytes());
        line.text("phase", phase.name().as_bytes());
        line.text("kind", fault.kind.name().as_bytes());
        line.text("error", fault.message.as_bytes());
        line.text("request_id", exchange.id.as_bytes());
        line.integer("connection", exchange.peer.number);
        line.text("client", exchange.peer.text.as_bytes());
        if !phase.is_of_client() && exchange.flow.is_none() {
            self.request(&mut line, &exchange.request.head);
        }
        if let Some(trace) = &fault.trace {
            line.text("trace", trace.as_bytes());
        }
        self.sink.write(Target::Stderr, line.finish());
    }

    /// A filter held its worker for long, and stood there when that was seen.
    pub(crate) fn blocking(
        &self,
        filter: &str,
        phase: Phase,
        took: Duration,
        id: &str,
        stall: Option<&str>,
    ) {
        if !self.logs(Level::Warn) {
            return;
        }
        let mut line = self.line(Level::Warn, "filter blocked its worker");
        line.text("filter", filter.as_bytes());
        line.text("phase", phase.name().as_bytes());
        line.number("seconds", took.as_secs_f64());
        line.text("request_id", id.as_bytes());
        if let Some(trace) = stall {
            line.text("trace", trace.as_bytes());
        }
        self.sink.write(Target::Stderr, line.finish());
    }

    /// One line an exchange.
    pub(crate) fn access(&self, inlet: &Inlet, figures: &Figures, exchange: &Exchange) {
        let Some(target) = self.access_target() else { return };
        let mut line = Line::new();
        line.number("time", exchange.stats.started);
        line.text("request_id", exchange.id.as_bytes());
        line.text("client", inlet.peer.text.as_bytes());
        line.text("listener", inlet.listener.name.as_bytes());
        self.request(&mut line, &exchange.request.head);
        line.integer("status", exchange.response.head.status.into());
        line.integer("received", exchange.stats.received);
        line.integer("sent", exchange.stats.sent);
        line.number("duration", exchange.stats.duration);
        line.text("route", exchange.route.as_bytes());
        if let Some(origin) = exchange.response.origin {
            line.text("from", origin.name().as_bytes());
        }
        if let Some(upstream) = &exchange.upstream
            && figures.upstream.is_some()
        {
            line.text("upstream", upstream.as_bytes());
            line.number("upstream_duration", exchange.stats.upstream);
        }
        if let Some(endpoint) = &figures.endpoint {
            line.text("endpoint", endpoint.as_bytes());
        }
        if exchange.stats.retries > 0 {
            line.integer("retries", exchange.stats.retries.into());
        }
        if let Some(error) = figures.error {
            line.text("error", error.as_bytes());
        }
        line.values(&exchange.log);
        self.sink.write(target, line.finish());
    }

    /// One line a connection that carries no HTTP.
    #[cold]
    pub(crate) fn connection(&self, inlet: &Inlet, flow: &Passage, exchange: Option<&Exchange>) {
        let Some(target) = self.access_target() else { return };
        let mut line = Line::new();
        line.number("time", flow.began);
        line.integer("connection", inlet.peer.number);
        line.text("client", inlet.peer.text.as_bytes());
        line.text("listener", inlet.listener.name.as_bytes());
        line.text("protocol", b"tcp");
        line.integer("received", flow.received);
        line.integer("sent", flow.sent);
        line.number("duration", flow.duration);
        line.text("upstream", flow.upstream.as_bytes());
        if let Some(endpoint) = &flow.endpoint {
            line.text("endpoint", endpoint.as_bytes());
            line.number("upstream_duration", flow.connect);
        }
        if flow.retries > 0 {
            line.integer("retries", flow.retries.into());
        }
        if let Some(error) = flow.error {
            line.text("error", error.as_bytes());
        }
        line.values(exchange.map_or(&[], |exchange| &exchange.log));
        self.sink.write(target, line.finish());
    }

    /// A request that never became an exchange.
    pub(crate) fn refused(
        &self,
        inlet: &Inlet,
        id: &str,
        head: &RequestHead,
        status: u16,
        why: &str,
    ) {
        let Some(target) = self.access_target() else { return };
        let mut line = Line::new();
        line.number("time", self.clock.wall().as_secs_f64());
        line.text("request_id", id.as_bytes());
        line.text("client", inlet.peer.text.as_bytes());
        line.text("listener", inlet.listener.name.as_bytes());
        self.request(&mut line, head);
        line.integer("status", status.into());
        line.text("from", b"gateway");
        line.text("error", why.as_bytes());
        self.sink.write(target, line.finish());
    }

    /// Whether access lines are written at all.
    pub(crate) fn is_access_on(&self) -> bool {
        self.access.load(Ordering::Relaxed) != OFF
    }

    /// Waits until all that was queued has been written.
    pub(crate) fn flush(&self) {
        self.sink.flush();
    }

    fn access_target(&self) -> Option<Target> {
        match self.access.load(Ordering::Relaxed) {
            STDOUT => Some(Target::Stdout),
            STDERR => Some(Target::Stderr),
            FILE => Some(Target::File),
            _ => None,
        }
    }

    fn request(&self, line: &mut Line, head: &RequestHead) {
        line.text("method", head.method_text());
        line.text("host", head.authority());
        line.text("path", head.path());
        if let Some(query) = head.query() {
            line.text("query", query);
        }
        line.text("version", head.version.text().as_bytes());
    }

    fn line(&self, level: Level, message: &str) -> Line {
        let mut line = Line::new();
        line.number("time", self.clock.wall().as_secs_f64());
        let level = match level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        line.text("level", level.as_bytes());
        line.text("message", message.as_bytes());
        line
    }
}
