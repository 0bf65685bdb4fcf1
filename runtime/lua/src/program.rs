//! A script, as loaded once a generation, and as booted in a VM.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::os::raw::c_int;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use memchr::memmem;
use pilotlight_filter::abi::{Phase, Phases, limit};
use pilotlight_filter::{Exchange, Fault, FaultKind, Spec};

use crate::export::Export;
use crate::known::Trial;
use crate::output::Output;
use crate::stack::{Compiler, Kind, Stack};
use crate::visit::{Ran, Visit};
use crate::vm::{BOOT, Vm};

/// CPU time of a script's own chunk and `init`, in each VM.
const BOOT_BUDGET: Duration = Duration::from_secs(1);

/// A filter's script or scripts, compiled.
pub(crate) struct Script {
    pub(crate) name: Arc<str>,
    pub(crate) code: Code,
    pub(crate) config: Vec<u8>,
    pub(crate) config_is_json: bool,
    pub(crate) cpu: Duration,
    pub(crate) memory: Option<u64>,
    pub(crate) fresh: bool,
    pub(crate) target: bool,
    pub(crate) phases: Phases,
    /// It starts tasks while it loads, so workers boot it before its first exchange.
    pub(crate) eager: bool,
    /// Names of what it offers to modules.
    pub(crate) exports: Vec<Box<str>>,
    /// What it names of its environment, if it can reach nothing else; known from its first boot on.
    named: OnceLock<Option<Box<str>>>,
    /// How it was tried, if the same trial would go well again.
    pub(crate) trial: Option<Trial>,
}

/// What a filter runs.
pub(crate) enum Code {
    /// A script that returns its phases.
    Native(Chunk),
    /// Scripts of nginx's phases, in the order in which they run, and settings as JSON.
    OpenResty(Vec<Step>, String),
    /// A Kong plugin by its name.
    Kong(String),
}

/// A script's text, or its bytecode when it has been tried here (users' is never taken), and its name in
/// messages.
pub(crate) struct Chunk {
    pub(crate) code: Vec<u8>,
    pub(crate) name: String,
}

/// A script of one of nginx's phases.
pub(crate) struct Step {
    pub(crate) phase: &'static str,
    pub(crate) chunk: Chunk,
    /// The variable that it sets, and its arguments.
    pub(crate) sets: Option<(String, Vec<String>)>,
}

/// A phase's function in a VM: its place there, and whether it takes the context (it has that many
/// parameters). In a word: of many scripts on many workers there are hundreds of thousands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry(NonZeroU32);

impl Entry {
    fn new(place: c_int, wants_context: bool) -> Option<Entry> {
        NonZeroU32::new(place.cast_unsigned() << 1 | u32::from(wants_context)).map(Entry)
    }

    pub(crate) fn place(self) -> c_int {
        (self.0.get() >> 1).cast_signed()
    }

    pub(crate) fn wants_context(self) -> bool {
        self.0.get() & 1 == 1
    }
}

/// A script that has been booted in a VM.
pub(crate) struct Program {
    pub(crate) entries: [Option<Entry>; Phase::COUNT],
    /// Whether a context must be kept from phase to phase.
    pub(crate) keeps_context: bool,
    pub(crate) cpu: Duration,
    pub(crate) name: Arc<str>,
    pub(crate) target: bool,
    /// It is written for nginx: its phases share a state for each exchange, and end with a number.
    pub(crate) dialect: bool,
    /// What runs beside its scripts when the client has left.
    pub(crate) abort: Option<c_int>,
    /// What it offers to modules.
    pub(crate) exports: Box<[Export]>,
    /// Others would notice if it were booted again; and whether it was used again since the VM last
    /// looked for one to let go.
    pub(crate) stays: bool,
    pub(crate) used: Cell<bool>,
}

impl Program {
    /// A visit for one of its phases.
    pub(crate) fn visit<'a>(
        &'a self,
        phase: Phase,
        exchange: &'a mut Exchange,
        output: Option<&'a Rc<Output>>,
    ) -> Visit<'a> {
        let (filter, cpu, phase) = (&self.name, self.cpu, Some(phase));
        Visit { exchange: Some(exchange), filter, cpu, phase, task: 0, output }
    }

    /// What it holds in its VM.
    pub(crate) fn places(&self) -> impl Iterator<Item = c_int> {
        let entries = self.entries.iter().flatten().map(|entry| entry.place());
        entries.chain(self.abort)
    }

    pub(crate) fn phases(&self) -> Phases {
        let all = Phase::ALL.into_iter().chain(Phase::HANDSHAKES);
        all.filter(|phase| self.entries[*phase as usize].is_some()).collect()
    }
}

/// The name of a chunk in messages: the last parts of its path.
pub(crate) fn chunk_name(file: &Path) -> String {
    let mut parts: Vec<_> = file.iter().rev().take(2).map(|p| p.to_string_lossy()).collect();
    parts.reverse();
    format!("@{}", parts.join("/"))
}

impl Step {
    /// Pushes it as a table: `phase`, `run`, and for a variable's script `var` and `args`.
    fn push(&self, vm: &Vm, stack: Stack) -> Result<(), Fault> {
        stack.push_table(0, 4);
        stack.push_bytes(self.phase.as_bytes());
        stack.set(-2, b"phase");
        vm.load(stack, &self.chunk.code, &self.chunk.name)?;
        stack.set(-2, b"run");
        let Some((var, args)) = &self.sets else { return Ok(()) };
        stack.push_bytes(var.as_bytes());
        stack.set(-2, b"var");
        stack.push_table(args.len() as c_int, 0);
        for (index, arg) in args.iter().enumerate() {
            stack.push_bytes(arg.as_bytes());
            stack.set_at(-2, index as c_int + 1);
        }
        stack.set(-2, b"args");
        Ok(())
    }
}

/// What a script, text or bytecode, may name of its environment, with spaces between; `None` when it may
/// reach any, by a name that it makes up. A name that another word begins with counts, too; one within a
/// word does not: in bytecode its length stands before it, which is no part of a word.
fn named(code: &[u8]) -> Option<Box<str>> {
    const ANY: [&str; 5] = ["_G", "require", "package", "load", "dofile"];
    const NAMES: &str = "_VERSION assert bit collectgarbage coroutine debug error gateway getmetatable ipairs \
        jit math next os pairs pcall print rawequal rawget rawlen rawset select setmetatable string table \
        tonumber tostring type unpack xpcall";
    let begins = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| code.get(before));
        before.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
    };
    let has = |name: &&str| memmem::find_iter(code, name.as_bytes()).any(begins);
    match ANY.iter().any(has) {
        true => None,
        false => Some(NAMES.split(' ').filter(has).collect::<Vec<_>>().join(" ").into()),
    }
}

impl Script {
    pub(crate) fn new(spec: &Spec, code: Code) -> Script {
        let default = Duration::from_micros(limit::FILTER_CPU_MICROS);
        Script {
            name: spec.name.clone(),
            named: OnceLock::new(),
            code,
            config: spec.config.clone(),
            config_is_json: spec.config_is_json,
            cpu: if spec.cpu.is_zero() { default } else { spec.cpu },
            memory: spec.memory,
            fresh: spec.fresh,
            target: spec.target,
            phases: Phases::NONE,
            eager: false,
            exports: Vec::new(),
            trial: None,
        }
    }

    /// The folder of the prelude with what boots it; a native one needs none.
    pub(crate) fn dialect(&self) -> Option<&'static str> {
        match self.code {
            Code::Native(_) => None,
            Code::OpenResty(..) => Some("ngx"),
            Code::Kong(_) => Some("kong"),
        }
    }

    /// Whether it is written for nginx or Kong.
    pub(crate) fn is_dialect(&self) -> bool {
        self.dialect().is_some()
    }

    /// Whether it runs in the VM that a worker has for all.
    pub(crate) fn is_common(&self) -> bool {
        self.memory.is_none() && !self.fresh
    }

    /// Whether it is a plugin of Kong's.
    pub(crate) fn is_plugin(&self) -> bool {
        matches!(self.code, Code::Kong(_))
    }

    /// Whether other scripts of its VM notice that it has been booted: by what it does while it
    /// loads, by its variables, by chunks that stay apart for its filter of bodies.
    pub(crate) fn prepares(&self) -> bool {
        const PREPARE: [&str; 5] = ["init", "init_worker", "exit_worker", "set", "body_filter"];
        match &self.code {
            Code::Native(_) => false,
            Code::OpenResty(steps, _) => steps.iter().any(|step| PREPARE.contains(&step.phase)),
            Code::Kong(_) => true,
        }
    }

    /// Runs the script's chunk and its `init` in a VM.
    ///
    /// # Errors
    /// Those of the script.
    pub(crate) fn boot(&self, vm: &Vm) -> Result<Program, Fault> {
        let thread = vm.thread();
        let stack = thread.stack;
        stack.push_kept(BOOT);
        let arguments = match self.push_code(vm, stack) {
            Ok(count) => count,
            Err(fault) => {
                vm.discard(thread);
                return Err(fault);
            }
        };
        vm.begin_call();
        let (filter, cpu) = (&self.name, self.cpu);
        let visit = Visit { exchange: None, filter, cpu, phase: None, task: 0, output: None };
        // A plugin's schema is walked once: machine code for that costs more than it saves.
        vm.stack.compiler(if self.is_plugin() { Compiler::Off } else { Compiler::On });
        vm.begin_exports();
        let ran = vm.resume(&thread, arguments, BOOT_BUDGET, visit);
        let exports = vm.take_exports();
        vm.stack.compiler(Compiler::On);
        match ran {
            Ran::Done => {}
            Ran::Waits => {
                vm.discard(thread);
                let message = "a filter can't wait while it loads (in its chunk or in init)";
                return Err(Fault::new(FaultKind::Error, message));
            }
            Ran::Failed(mut fault) => {
                vm.discard(thread);
                let plain = fault.message.strip_prefix("background: ").map(str::to_owned);
                fault.message = plain.unwrap_or(fault.message);
                return Err(fault);
            }
        }
        let mut program = Program {
            entries: [None; Phase::COUNT],
            keeps_context: false,
            cpu: self.cpu,
            name: self.name.clone(),
            target: self.target,
            dialect: self.is_dialect(),
            abort: None,
            stays: self.eager || !exports.is_empty() || self.prepares(),
            used: Cell::new(false),
            exports: exports.into(),
        };
        // Two tables: functions, and which of them want the context, by the phases' names.
        let mut with_context = 0;
        // Native scripts have no way to say anything in a handshake.
        let dialect = program.dialect;
        let handshakes = Phase::HANDSHAKES.into_iter().filter(|_| dialect);
        for phase in Phase::ALL.into_iter().chain(handshakes) {
            stack.get(2, phase.name());
            let wants_context = stack.truth(-1);
            stack.pop(1);
            stack.get(1, phase.name());
            if stack.kind(-1) != Kind::Function {
                stack.pop(1);
                continue;
            }
            // A body phase runs once a chunk, so alone it needs what it has kept.
            let runs = 1 + usize::from(matches!(phase, Phase::RequestBody | Phase::ResponseBody));
            with_context += if wants_context { runs } else { 0 };
            let place = vm.keep(stack);
            program.entries[phase as usize] = Entry::new(place, wants_context);
        }
        stack.get(1, "abort");
        match stack.kind(-1) {
            Kind::Function => program.abort = Some(vm.keep(stack)),
            _ => stack.pop(1),
        }
        program.keeps_context = with_context > 1;
        vm.recycle(thread);
        Ok(program)
    }

    /// Puts what `pl.boot` takes on a stack; how many arguments.
    fn push_code(&self, vm: &Vm, stack: Stack) -> Result<c_int, Fault> {
        stack.push_bytes(self.dialect().unwrap_or("native").as_bytes());
        match &self.code {
            Code::Native(chunk) => {
                vm.load(stack, &chunk.code, &chunk.name)?;
                stack.push_bytes(self.name.as_bytes());
                stack.push_bytes(&self.config);
                stack.push_bool(self.config_is_json);
                stack.push_bool(self.target);
                match self.named.get_or_init(|| named(&chunk.code)) {
                    Some(named) => stack.push_bytes(named.as_bytes()),
                    None => stack.push_nil(),
                }
                Ok(7)
            }
            Code::OpenResty(steps, settings) => {
                stack.push_table(steps.len() as c_int, 0);
                for (index, step) in steps.iter().enumerate() {
                    step.push(vm, stack)?;
                    stack.set_at(-2, index as c_int + 1);
                }
                stack.push_bytes(settings.as_bytes());
                Ok(3)
            }
            Code::Kong(plugin) => {
                stack.push_bytes(plugin.as_bytes());
                stack.push_bytes(self.name.as_bytes());
                stack.push_bytes(&self.config);
                Ok(4)
            }
        }
    }

    /// The program in a VM, booted there when it has not been.
    ///
    /// # Errors
    /// Those of the script.
    #[inline]
    pub(crate) fn in_vm(&self, vm: &Vm, index: usize) -> Result<Rc<Program>, Fault> {
        if let Some(program) = vm.program(index) {
            return Ok(program);
        }
        let program = Rc::new(self.boot(vm)?);
        vm.set_program(index, program.clone());
        Ok(program)
    }
}
