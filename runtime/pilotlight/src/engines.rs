//! The engines that this build has.

use std::sync::Arc;

use pilotlight_filter::Engine;

/// One of each.
pub(crate) fn all() -> Vec<Arc<dyn Engine>> {
    vec![
        #[cfg(feature = "lua")]
        Arc::new(pilotlight_lua::LuaEngine::new()),
        #[cfg(feature = "wasm")]
        Arc::new(pilotlight_wasm::WasmEngine::new(compiler())),
    ]
}

/// Modules are compiled by this very program in a child process, so that the compiler's memory
/// never counts against the gateway; the small build has none.
#[cfg(feature = "wasm")]
fn compiler() -> pilotlight_wasm::CompileWith {
    match std::env::current_exe() {
        Ok(program) if cfg!(feature = "wasm-compile") => {
            pilotlight_wasm::CompileWith::Process { program, arguments: vec!["compile".into()] }
        }
        _ => pilotlight_wasm::CompileWith::Never,
    }
}
