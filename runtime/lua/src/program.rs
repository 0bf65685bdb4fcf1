//! A script, as loaded once a generation, and as booted in a VM.

use std::os::raw::c_int;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_filter::abi::{Phase, Phases, limit};
use pilotlight_filter::{Exchange, Fault, FaultKind, Spec};

use crate::stack::Kind;
use crate::visit::{Ran, Visit};
use crate::vm::{BOOT, Vm};

/// CPU time of a script's own chunk and `init`, in each VM.
const BOOT_BUDGET: Duration = Duration::from_secs(1);

/// A script, compiled.
pub(crate) struct Script {
    pub(crate) name: Arc<str>,
    /// Bytecode that we made; users' is never taken.
    pub(crate) code: Vec<u8>,
    pub(crate) chunk: String,
    pub(crate) config: Vec<u8>,
    pub(crate) config_is_json: bool,
    pub(crate) cpu: Duration,
    pub(crate) memory: Option<u64>,
    pub(crate) fresh: bool,
    pub(crate) target: bool,
    pub(crate) phases: Phases,
    /// It starts tasks while it loads, so workers boot it before its first exchange.
    pub(crate) eager: bool,
}

/// A phase's function in a VM.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) place: c_int,
    /// Whether it takes the context: it has that many parameters.
    pub(crate) wants_context: bool,
}

/// A script that has been booted in a VM.
pub(crate) struct Program {
    pub(crate) entries: [Option<Entry>; Phase::ALL.len()],
    /// Whether a context must be kept from phase to phase.
    pub(crate) keeps_context: bool,
    pub(crate) cpu: Duration,
    pub(crate) name: Arc<str>,
    pub(crate) target: bool,
}

impl Program {
    /// A visit for one of its phases.
    pub(crate) fn visit<'a>(&'a self, phase: Phase, exchange: &'a mut Exchange) -> Visit<'a> {
        Visit { exchange: Some(exchange), filter: &self.name, cpu: self.cpu, phase: Some(phase) }
    }

    pub(crate) fn phases(&self) -> Phases {
        Phase::ALL.into_iter().filter(|phase| self.entries[*phase as usize].is_some()).collect()
    }
}

/// The name of a chunk in messages: the last parts of its path.
pub(crate) fn chunk_name(file: &Path) -> String {
    let mut parts: Vec<_> = file.iter().rev().take(2).map(|p| p.to_string_lossy()).collect();
    parts.reverse();
    format!("@{}", parts.join("/"))
}

impl Script {
    pub(crate) fn new(spec: &Spec, file: &Path, code: Vec<u8>) -> Script {
        let default = Duration::from_micros(limit::FILTER_CPU_MICROS);
        Script {
            name: spec.name.clone(),
            code,
            chunk: chunk_name(file),
            config: spec.config.clone(),
            config_is_json: spec.config_is_json,
            cpu: if spec.cpu.is_zero() { default } else { spec.cpu },
            memory: spec.memory,
            fresh: spec.fresh,
            target: spec.target,
            phases: Phases::NONE,
            eager: false,
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
        let loaded = vm.load(stack, &self.code, &self.chunk);
        if let Err(fault) = loaded {
            vm.discard(thread);
            return Err(fault);
        }
        stack.push_bytes(self.name.as_bytes());
        stack.push_bytes(&self.config);
        stack.push_bool(self.config_is_json);
        stack.push_bool(self.target);
        vm.begin_call();
        let visit = Visit { exchange: None, filter: &self.name, cpu: self.cpu, phase: None };
        match vm.resume(&thread, 5, BOOT_BUDGET, visit) {
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
            entries: [None; Phase::ALL.len()],
            keeps_context: false,
            cpu: self.cpu,
            name: self.name.clone(),
            target: self.target,
        };
        // Two tables: functions, and which of them want the context, by the phases' names.
        let mut with_context = 0;
        for phase in Phase::ALL {
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
            program.entries[phase as usize] = Some(Entry { place, wants_context });
        }
        program.keeps_context = with_context > 1;
        vm.recycle(thread);
        Ok(program)
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
