//! The one place where scripts and the host meet: a struct that Lua's FFI reads.

use std::os::raw::c_int;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_filter::Exchange;
use pilotlight_filter::abi::limit;
use pilotlight_filter::engine::{RedisSpec, ScriptSpec};
use pilotlight_filter::host::{Called, Metric, Module, Services, Shared};

use crate::calls::table::Model;
use crate::calls::world::Berth;
use crate::export::Export;
use crate::known::Read;
use crate::output::Output;
use crate::regex::Regexes;
use crate::socket::{Owner, Sockets};
use crate::stage::Stage;
use crate::token::Tokens;
use crate::wait::Waiter;
use crate::wreck::Wreck;

/// The most captures of a pattern, as in Lua.
pub(crate) const CAPTURES: usize = 32;

/// Room for result strings that stays from call to call.
pub(crate) const KEPT: usize = 64 * 1024;

/// As `core.lua` declares it, field for field.
#[repr(C)]
pub(crate) struct Window {
    /// The serial of the exchange at hand; 0 between calls, so that kept handles are refused.
    pub(crate) serial: f64,
    /// Results: two strings, a number.
    pub(crate) ptr: *const u8,
    pub(crate) ptr2: *const u8,
    pub(crate) num: f64,
    pub(crate) len: i32,
    pub(crate) len2: i32,
    /// A match: where it begins and ends (offsets from 0), its captures.
    pub(crate) from: i32,
    pub(crate) to: i32,
    pub(crate) at: [i32; CAPTURES],
    pub(crate) size: [i32; CAPTURES],
    /// The phase at hand, as `Phase` counts them; below zero in the background.
    pub(crate) phase: i32,
    /// Not 0 once the dialects have found that the state at hand is one of a request: until the script is
    /// out, or another step begins.
    pub(crate) allowed: i32,
    /// The groups of a regular expression's match: begins and ends, -1 for none.
    pub(crate) groups: *const i32,
    /// Lua sees nothing from here on.
    pub(crate) host: Host,
}

/// The host's side of a VM.
pub(crate) struct Host {
    /// The exchange at hand; null between calls.
    pub(crate) exchange: *mut Exchange,
    pub(crate) services: Rc<dyn Services>,
    /// Keeps result strings alive until the next call.
    pub(crate) held: Vec<u8>,
    pub(crate) dictionaries: Vec<Option<Arc<dyn Shared>>>,
    pub(crate) modules: Vec<(Box<str>, Rc<dyn Module>)>,
    /// What a module's call gave that did not fit the window.
    pub(crate) called: Option<Called>,
    /// Made when first used.
    pub(crate) regexes: Option<Box<Regexes>>,
    /// Of the table of fields that is kept.
    pub(crate) model: Option<Box<Model>>,
    /// Bytes of the VM.
    pub(crate) memory: u64,
    /// Series of metrics that scripts have opened.
    pub(crate) metrics: Vec<Arc<dyn Metric>>,
    /// What a call left to be waited for, until its script has yielded.
    pub(crate) pending: Option<Box<dyn Waiter>>,
    /// Where a script that answers writes; `None` where none can.
    pub(crate) output: Option<Rc<Output>>,
    /// Threads that wait for each other, by number.
    pub(crate) berths: Vec<(u32, Rc<Berth>)>,
    pub(crate) last_berth: u32,
    pub(crate) sockets: Sockets,
    /// What this call has put into a body's way.
    pub(crate) stages: Vec<Stage>,
    /// What scripts hold by a number.
    pub(crate) tokens: Rc<Tokens>,
    /// What the script that is being booted offers to modules; `None` when none is.
    pub(crate) exports: Option<Vec<Export>>,
    /// What the script that is being tried has read; `None` when none is.
    pub(crate) read: Option<Read>,
    pub(crate) wreck: Wreck,
    /// Where the script at hand stood when it had held its worker for long.
    pub(crate) stall: Option<Box<str>>,
    /// Why a call of the host's has panicked under it.
    pub(crate) broken: Option<Box<str>>,
    pub(crate) filter: Arc<str>,
    /// CPU time of one call of its script.
    pub(crate) cpu: Duration,
    /// Log lines that this call may still write, and those it lost.
    pub(crate) log_left: u64,
    pub(crate) log_lost: u64,
    /// Names in the manifest, and variables that scripts may read.
    pub(crate) world: Arc<World>,
}

/// What scripts of a generation may refer to.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) modules: Vec<Arc<str>>,
    pub(crate) shared: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Settings of the engine.
    pub(crate) script: ScriptSpec,
    /// The routes' variables, JSON.
    pub(crate) vars: String,
    /// The manifest's folder, with a slash behind it.
    pub(crate) folder: String,
    /// The consumers, JSON.
    pub(crate) consumers: String,
    /// What Kong's plugins see of the manifest, JSON.
    pub(crate) kong: String,
    pub(crate) redis: Vec<RedisSpec>,
}

impl Window {
    pub(crate) fn new(services: Rc<dyn Services>, world: Arc<World>, memory: u64) -> Box<Window> {
        let dictionaries = vec![None; world.shared.len()];
        Box::new(Window {
            serial: 0.0,
            ptr: ptr::null(),
            ptr2: ptr::null(),
            num: 0.0,
            len: 0,
            len2: 0,
            from: 0,
            to: 0,
            at: [0; CAPTURES],
            size: [0; CAPTURES],
            phase: -1,
            allowed: 0,
            groups: ptr::null(),
            host: Host {
                exchange: ptr::null_mut(),
                sockets: Sockets::new(services.clone()),
                tokens: Rc::default(),
                services,
                held: Vec::new(),
                dictionaries,
                modules: Vec::new(),
                regexes: None,
                model: None,
                memory,
                metrics: Vec::new(),
                pending: None,
                called: None,
                output: None,
                stages: Vec::new(),
                berths: Vec::new(),
                last_berth: 0,
                exports: None,
                read: None,
                wreck: Wreck::default(),
                stall: None,
                broken: None,
                filter: Arc::from(""),
                cpu: Duration::ZERO,
                log_left: limit::LOG_LINES,
                log_lost: 0,
                world,
            },
        })
    }

    /// The exchange at hand.
    #[inline]
    pub(crate) fn exchange(&mut self) -> Option<&mut Exchange> {
        // SAFETY: set from a `&mut Exchange` for the duration of one resume, null otherwise; the
        // host does not touch the exchange while the script runs.
        unsafe { self.host.exchange.as_mut() }
    }

    /// Who is at work, for what ends with it; `None` while a script loads.
    pub(crate) fn owner(&mut self) -> Option<Owner> {
        if self.serial == 0.0 {
            return None;
        }
        // SAFETY: as in `exchange`; the sockets are another part of the window.
        if let Some(exchange) = unsafe { self.host.exchange.as_mut() } {
            self.host.sockets.end_with(exchange);
        }
        Some(Owner::new(self.serial))
    }

    /// Shows a string that lives as long as the exchange is not changed.
    #[inline]
    pub(crate) fn show(&mut self, text: *const [u8]) {
        self.ptr = text.cast();
        self.len = text.len() as i32;
    }

    /// Shows a string of our own.
    pub(crate) fn show_held(&mut self, text: Vec<u8>) {
        self.host.held = text;
        self.show(&raw const *self.host.held);
    }

    /// Shows what `write` appends to an empty text of our own; nothing when it gives up.
    pub(crate) fn fill(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) -> c_int {
        if self.host.held.capacity() > KEPT {
            self.host.held = Vec::new();
        }
        self.host.held.clear();
        if !write(&mut self.host.held) {
            return NONE;
        }
        self.show(&raw const *self.host.held);
        TEXT
    }

    /// Shows why something failed; the code for Lua to look at.
    pub(crate) fn fail(&mut self, message: &str) -> c_int {
        self.host.held.clear();
        self.host.held.extend_from_slice(message.as_bytes());
        self.show(&raw const *self.host.held);
        FAILED
    }
}

/// Codes of the calls.
pub(crate) const NONE: c_int = 0;
pub(crate) const TEXT: c_int = 1;
pub(crate) const NUMBER: c_int = 2;
pub(crate) const FALSE: c_int = 3;
pub(crate) const TRUE: c_int = 4;
pub(crate) const OTHER: c_int = 5;
pub(crate) const FAILED: c_int = -1;

/// Bytes that Lua's FFI passed.
///
/// # Safety
/// `at` points to `len` bytes that live through the call: a Lua string, which the VM holds.
#[inline]
pub(crate) unsafe fn given<'a>(at: *const u8, len: c_int) -> &'a [u8] {
    if len <= 0 {
        return &[];
    }
    // SAFETY: by the caller.
    unsafe { std::slice::from_raw_parts(at, len as usize) }
}
