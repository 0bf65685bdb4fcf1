//! Machine code, mapped: of a module or of a component.

use std::fs::File;

use wasmtime::{Engine, Module, Precompiled};

#[cfg(feature = "components")]
use wasmtime::component::Component;

use crate::config::TARGET;
use crate::engine::Mistake;

/// What a file came to.
#[derive(Clone)]
pub(crate) enum Code {
    Module(Module),
    #[cfg(feature = "components")]
    Component(Component),
}

/// How a binary component begins, and a core module.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Whether Wasm is a component.
pub(crate) fn is_component(wasm: &[u8]) -> bool {
    wasm.starts_with(COMPONENT)
}

/// Says what a file is that is neither.
pub(crate) fn recognise(bytes: &[u8]) -> Result<(), Mistake> {
    let mistake = match bytes {
        _ if bytes.starts_with(MODULE) => return Ok(()),
        _ if is_component(bytes) && cfg!(feature = "components") => return Ok(()),
        _ if is_component(bytes) => no_components(),
        [b'(', b'm' | b'c', ..] => Mistake::new("Wasm as text, not a module")
            .hint("assemble it first: wat2wasm, or wasm-tools parse"),
        [0x7f, b'E', b'L', b'F', ..] => {
            Mistake::new("compiled code under the name of a module").hint("name the file .cwasm")
        }
        _ => Mistake::new("not a Wasm module"),
    };
    Err(mistake)
}

fn no_components() -> Mistake {
    Mistake::new("a component: this gateway is built without them")
        .hint("use the full build, or one with the feature `components`")
}

impl Code {
    /// The module, if it is one.
    pub(crate) fn module(self) -> Option<Module> {
        match self {
            Code::Module(module) => Some(module),
            #[cfg(feature = "components")]
            Code::Component(_) => None,
        }
    }

    /// Bytes of memory that an instance begins with.
    pub(crate) fn first_memory(&self) -> u64 {
        let pages = match self {
            Code::Module(module) => module.resources_required().max_initial_memory_size,
            #[cfg(feature = "components")]
            Code::Component(component) => {
                component.resources_required().and_then(|needs| needs.max_initial_memory_size)
            }
        };
        pages.unwrap_or(0).saturating_mul(64 << 10)
    }

    /// Takes machine code out of memory.
    ///
    /// # Safety
    /// It is what a compiler of this version wrote.
    pub(crate) unsafe fn deserialize(engine: &Engine, code: &[u8]) -> Result<Code, Mistake> {
        let error = |error: wasmtime::Error| {
            let text = format!(
                "compiled for another machine or version: {error:#}; this gateway runs {TARGET}"
            );
            Mistake::new(text).hint(
                "compile it again: this version's `pilotlight compile FILE.wasm --target ...`",
            )
        };
        match Engine::detect_precompiled(code) {
            #[cfg(feature = "components")]
            Some(Precompiled::Component) => {
                // SAFETY: the caller says so.
                unsafe { Component::deserialize(engine, code) }.map(Code::Component).map_err(error)
            }
            #[cfg(not(feature = "components"))]
            Some(Precompiled::Component) => Err(no_components()),
            // SAFETY: the caller says so.
            _ => unsafe { Module::deserialize(engine, code) }.map(Code::Module).map_err(error),
        }
    }

    /// Maps a file of machine code.
    ///
    /// # Safety
    /// As with [`Code::deserialize`]; and nobody changes the file.
    pub(crate) unsafe fn map(engine: &Engine, file: File) -> Option<Code> {
        #[cfg(feature = "components")]
        let again = file.try_clone();
        // SAFETY: the caller says so.
        let module = unsafe { Module::deserialize_open_file(engine, file) };
        match module {
            Ok(module) => Some(Code::Module(module)),
            #[cfg(feature = "components")]
            Err(_) => {
                use std::os::fd::AsRawFd;
                // By its number: the name may lead to another file by now.
                let again = again.ok()?;
                let path = format!("/proc/self/fd/{}", again.as_raw_fd());
                // SAFETY: the caller says so.
                unsafe { Component::deserialize_file(engine, path) }.ok().map(Code::Component)
            }
            #[cfg(not(feature = "components"))]
            Err(_) => None,
        }
    }
}
