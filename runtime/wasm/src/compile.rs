//! From Wasm to machine code, in a child process, so that the compiler's memory and mistakes
//! never count against the gateway.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use pilotlight_filter::engine::Bounds;

use crate::cache;
#[cfg(feature = "compile")]
use crate::{
    code::is_component,
    expose::{OWN, expose},
    reshape::reshape,
};

/// Bytes of a module, at most: a firewall with its rules, as Go builds it, has 16 MiB.
pub(crate) const WASM_MAX: u64 = 32 << 20;
/// Bytes of address space that the child may use beside what it allocates: its code, its files.
const SPACE: u64 = 3 << 30;
/// Bytes of the child's complaint that are read.
const MESSAGE_MAX: u64 = 4096;
/// How often the child is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// How modules are compiled.
#[derive(Debug, Clone)]
pub enum CompileWith {
    /// By running `program arguments... FILE.wasm -o FILE.cwasm`: the gateway's own executable and
    /// its `compile` command. It must write what [`compile`] gives.
    Process {
        /// The executable.
        program: PathBuf,
        /// What stands before the file.
        arguments: Vec<OsString>,
    },
    /// In this process.
    Here,
    /// Not at all: only `.cwasm` files load.
    Never,
}

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// This build has no compiler, or is told not to use it.
    #[error("this gateway has no Wasm compiler: it runs .cwasm files only")]
    NoCompiler,
    /// Not a module, or one that uses features which are off.
    #[error("{0}")]
    Invalid(String),
    /// The child failed for reasons of its own.
    #[error("the compiler failed: {0}")]
    Failed(String),
    /// The child took too much.
    #[error("the compiler took more than {0:?} (`[wasm.compile] cpu`)")]
    Timeout(Duration),
    /// It wanted too much.
    #[error("the compiler wanted more than {0} bytes of memory (`[wasm.compile] memory`)")]
    Memory(u64),
    /// Files could not be written or read.
    #[error("the compiler's files: {0}")]
    Io(#[from] io::Error),
}

/// Compiles a module for this machine, or for `target` (a triple): the contents of a `.cwasm` file.
///
/// # Errors
/// [`CompileError::Invalid`] says what is wrong with the module; [`CompileError::NoCompiler`] in a
/// build without the feature `compile`.
#[cfg(feature = "compile")]
pub fn compile(wasm: &[u8], target: Option<&str>) -> Result<Vec<u8>, CompileError> {
    let invalid = |error: wasmtime::Error| CompileError::Invalid(format!("{error:#}"));
    let mut config = crate::config::engine_config(target).map_err(invalid)?;
    // What a module is compiled with its host must have: the small build has no components.
    #[cfg(feature = "components")]
    config.wasm_component_model(is_component(wasm));
    let engine = wasmtime::Engine::new(&config).map_err(invalid)?;
    let code = |wasm: &[u8]| match is_component(wasm) {
        #[cfg(feature = "components")]
        true => engine.precompile_component(wasm),
        _ => engine.precompile_module(wasm),
    };
    // What is wrong with a module is said of the module as it was given.
    let taken = |_| CompileError::Invalid(format!("its exports may not begin with \"{OWN}\""));
    let exposed = match is_component(wasm) {
        true => None,
        false => expose(wasm).map_err(taken)?,
    };
    let inner = exposed.as_deref().unwrap_or(wasm);
    let reshaped = reshape(inner).and_then(|wasm| code(&wasm).ok());
    let exposed = || exposed.as_deref().and_then(|wasm| code(wasm).ok());
    reshaped.or_else(exposed).map_or_else(|| code(wasm), Ok).map(cache::seal).map_err(invalid)
}

/// Without the feature `compile` there is no compiler.
///
/// # Errors
/// [`CompileError::NoCompiler`], always.
#[cfg(not(feature = "compile"))]
pub fn compile(_wasm: &[u8], _target: Option<&str>) -> Result<Vec<u8>, CompileError> {
    Err(CompileError::NoCompiler)
}

impl CompileWith {
    /// Compiles `wasm`; `scratch` is a folder for the files that the child reads and writes.
    pub(crate) fn compile(
        &self,
        wasm: &[u8],
        scratch: &Path,
        bounds: &Bounds,
    ) -> Result<Vec<u8>, CompileError> {
        match self {
            CompileWith::Never => Err(CompileError::NoCompiler),
            CompileWith::Here => compile(wasm, None),
            CompileWith::Process { program, arguments } => {
                let input = cache::write_scratch(scratch, "wasm", wasm)?;
                let output = input.with_extension("cwasm");
                let _cleanup = [Removed(&input), Removed(&output)];
                let mut command = Command::new(program);
                command.args(arguments).arg(&input).arg("-o").arg(&output);
                run(command, bounds)?;
                Ok(fs::read(&output)?)
            }
        }
    }
}

/// A file that goes when this does.
struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

fn run(mut command: Command, bounds: &Bounds) -> Result<(), CompileError> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let (cpu, memory) = (bounds.compile_cpu, bounds.compile_memory);
    // SAFETY: between fork and exec it only makes system calls that are async-signal-safe.
    unsafe { command.pre_exec(move || limit(memory, cpu.as_secs().max(1))) };
    let mut child = command.spawn()?;
    // Others may want the CPUs, too: what it waits is not held against it at once.
    let Some(status) = wait(&mut child, cpu.saturating_mul(2))? else {
        child.kill()?;
        child.wait()?;
        return Err(CompileError::Timeout(cpu));
    };
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(MESSAGE_MAX).read_to_end(&mut text)?;
    }
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    Err(match status.signal() {
        Some(libc::SIGXCPU) => CompileError::Timeout(cpu),
        _ if OUT_OF_MEMORY.iter().any(|said| text.contains(said)) => CompileError::Memory(memory),
        Some(_) => CompileError::Failed(format!("{status}: {text}")),
        None if text.is_empty() => CompileError::Failed(status.to_string()),
        None => CompileError::Invalid(text),
    })
}

/// What is said of memory that there is not: by the allocator, by a system call, by a new thread.
const OUT_OF_MEMORY: [&str; 3] = ["memory allocation of", "os error 12", "code: 11,"];
/// Seconds between the signal that tells of a limit and the one that ends.
const GRACE: u64 = 5;

fn wait(child: &mut Child, time: Duration) -> io::Result<Option<ExitStatus>> {
    // Looks are counted, since nothing here reads the clock.
    for _ in 0..time.as_millis() / LOOK.as_millis() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::park_timeout(LOOK);
    }
    Ok(None)
}

fn limit(memory: u64, seconds: u64) -> io::Result<()> {
    for (what, most, last) in [
        // What it allocates, as far as the system tells that from what it maps.
        (libc::RLIMIT_DATA, memory, memory),
        (libc::RLIMIT_AS, SPACE.saturating_add(memory), SPACE.saturating_add(memory)),
        (libc::RLIMIT_CPU, seconds, seconds.saturating_add(GRACE)),
        (libc::RLIMIT_CORE, 0, 0),
    ] {
        let limit = libc::rlimit64 { rlim_cur: most, rlim_max: last };
        // SAFETY: `limit` is a valid struct for the time of the call.
        if unsafe { libc::setrlimit64(what, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
