//! Guests compiled ahead of time, for a gateway that has no compiler: `PILOTLIGHT_COMPILE` is the command,
//! `pilotlight compile --target aarch64-unknown-linux-gnu` say.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::Folder;
use super::gateway::binary;

/// Compiles the modules beside a manifest, and has it name what came of them.
pub fn of_time(folder: &Folder) {
    let Ok(command) = std::env::var("PILOTLIGHT_COMPILE") else { return };
    let manifest = folder.path().join("pilotlight.toml");
    let mut text = std::fs::read_to_string(&manifest).unwrap();
    for module in modules(folder.path()) {
        std::fs::write(module.with_extension("cwasm"), compiled(&command, &module)).unwrap();
        let name = module.file_name().unwrap().to_str().unwrap();
        let stem = name.strip_suffix(".wasm").unwrap();
        for before in ['"', '/'] {
            text = text.replace(&format!("{before}{name}\""), &format!("{before}{stem}.cwasm\""));
        }
        // What runs is what was compiled, and nothing else.
        std::fs::remove_file(module).unwrap();
    }
    std::fs::write(manifest, text).unwrap();
}

fn modules(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let here = files.into_iter().filter(|file| file.extension().is_some_and(|e| e == "wasm"));
    here.chain(folders.iter().flat_map(|folder| modules(folder))).collect()
}

/// Machine code for a target that is named: by the compiler at hand, or by the gateway's own.
pub fn of_target(module: &Path, target: &str) -> Vec<u8> {
    let own = || format!("{} compile", binary().display());
    let command = std::env::var("PILOTLIGHT_COMPILE").unwrap_or_else(|_| own());
    // The last one counts.
    compiled(&format!("{command} --target {target}"), module)
}

/// Machine code; each module is compiled once in a run.
fn compiled(command: &str, module: &Path) -> Vec<u8> {
    /// By the command, and the module.
    type Made = HashMap<(String, Vec<u8>), Vec<u8>>;
    static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);
    let wasm = std::fs::read(module).unwrap();
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let output = module.with_extension("part");
        let mut words = command.split_whitespace();
        let mut compile = Command::new(words.next().unwrap());
        let done = compile.args(words).arg(module).arg("-o").arg(&output).status().unwrap();
        assert!(done.success(), "{}: {command}", module.display());
        let code = std::fs::read(&output).unwrap();
        std::fs::remove_file(output).unwrap();
        code
    };
    made.entry((command.to_owned(), wasm)).or_insert_with(make).clone()
}
