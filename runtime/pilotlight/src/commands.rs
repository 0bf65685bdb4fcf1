//! What each command does.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pilotlight_config::Report;
use pilotlight_server::park::{Program, Woken};
use pilotlight_server::{Ended, Gateway, RunError, Source};

use crate::flags::{Ask, COMMANDS, From};
use crate::{FAILED, REFUSED, allocator, descriptors, engines};

/// Serves until a signal ends it.
pub(crate) fn run(from: From) -> ExitCode {
    let mut woken = match Woken::take() {
        Ok(woken) => woken,
        Err(error) => {
            eprintln!("pilotlight: {error}");
            return ExitCode::from(FAILED);
        }
    };
    descriptors::make_room();
    let program = program();
    loop {
        let source = source(from.clone());
        let loaded = Gateway::wake(source, engines::all(), allocator::collect, woken.as_ref());
        let code = match loaded {
            Ok(gateway) => {
                show(&gateway.warnings);
                match gateway.run(&mut woken, &program) {
                    Ok(Ended::Stopped) => return ExitCode::SUCCESS,
                    Ok(Ended::Asleep(bed)) => match bed.lie_down(&program) {
                        // Refused: as if it had been woken at once.
                        Ok(again) => {
                            woken = Some(again);
                            continue;
                        }
                        Err(error) => {
                            eprintln!("pilotlight: cannot sleep: {error}");
                            return ExitCode::from(FAILED);
                        }
                    },
                    Err(error) => {
                        eprintln!("pilotlight: {error}");
                        let listens = matches!(error, RunError::Listen(_));
                        ExitCode::from(if listens { REFUSED } else { FAILED })
                    }
                }
            }
            Err(report) => refuse(&report),
        };
        // Whoever was asleep goes back to sleep, and tries again later.
        woken.take().into_iter().for_each(Woken::back);
        return code;
    }
}

/// This program, as it was started: what is at its path later is its next version.
fn program() -> Program {
    let first: PathBuf = std::env::args_os().next().unwrap_or_default().into();
    // By the name that it was called by, which may be a link to where the version of the day lies.
    let named = Some(&first).filter(|name| name.components().count() > 1 && name.is_file());
    let path = named.and_then(|name| std::path::absolute(name).ok());
    let path = path.or_else(|| std::env::current_exe().ok()).unwrap_or(first);
    // It may have been replaced already.
    let text = path.to_string_lossy();
    let path = text.strip_suffix(" (deleted)").map_or(path.clone(), PathBuf::from);
    Program {
        path,
        arguments: std::env::args_os().collect(),
        environment: std::env::vars_os().collect(),
    }
}

/// Loads everything and says what is wrong.
pub(crate) fn check(file: &Path, json: bool) -> ExitCode {
    let checked =
        Gateway::load(source(From::File(file.to_owned())), engines::all(), allocator::collect);
    let (report, code) = match checked {
        Ok(gateway) => (gateway.warnings, ExitCode::SUCCESS),
        Err(report) => (report, ExitCode::from(REFUSED)),
    };
    if json {
        print(&format!("{}\n", report.to_json()));
    } else {
        show(&report);
        if code == ExitCode::SUCCESS {
            print(&format!("{}: ok\n", file.display()));
        }
    }
    code
}

/// Compiles a module for this or another machine.
#[cfg(feature = "wasm-compile")]
pub(crate) fn compile(file: &Path, output: Option<PathBuf>, target: Option<&str>) -> ExitCode {
    let output = output.unwrap_or_else(|| file.with_extension("cwasm"));
    let wasm = match std::fs::read(file) {
        Ok(wasm) => wasm,
        Err(error) => {
            eprintln!("pilotlight: cannot read {}: {error}", file.display());
            return ExitCode::from(REFUSED);
        }
    };
    let compiled = match pilotlight_wasm::compile(&wasm, target) {
        Ok(compiled) => compiled,
        Err(error) => {
            eprintln!("pilotlight: {}: {error}", file.display());
            return ExitCode::from(REFUSED);
        }
    };
    match std::fs::write(&output, compiled) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pilotlight: cannot write {}: {error}", output.display());
            ExitCode::from(FAILED)
        }
    }
}

#[cfg(not(feature = "wasm-compile"))]
pub(crate) fn compile(file: &Path, _output: Option<PathBuf>, _target: Option<&str>) -> ExitCode {
    eprintln!(
        "pilotlight: {}: this build has no compiler\nhint: compile on another machine, with --target for this one",
        file.display()
    );
    ExitCode::from(REFUSED)
}

#[cfg(not(feature = "import"))]
pub(crate) fn no_import(file: &Path) -> ExitCode {
    eprintln!(
        "pilotlight: {}: this build imports nothing\nhint: import on another machine, with the build that has the feature \"import\"",
        file.display()
    );
    ExitCode::from(REFUSED)
}

/// Asks the gateway that runs a manifest.
pub(crate) fn admin(ask: Ask, file: &Path, json: bool) -> ExitCode {
    let address = match pilotlight_config::admin(file, &env) {
        Ok(address) => address,
        Err(report) => return refuse(&report),
    };
    let Some(address) = address else {
        eprintln!(
            "pilotlight: {} opens no admin interface\nhint: set [gateway] admin = \"unix:run/admin.sock\"",
            file.display()
        );
        return ExitCode::from(REFUSED);
    };
    let (method, path) = match ask {
        Ask::Reload => ("POST", "/reload"),
        Ask::Drain => ("POST", "/drain"),
        Ask::Status => ("GET", "/status"),
    };
    match pilotlight_server::ask(&address, method, path) {
        Ok((status, body)) if json => {
            print(&body);
            code(status)
        }
        Ok((status, body)) => {
            let told = serde_json::from_str(&body).unwrap_or(serde_json::Value::String(body));
            match told["detail"].as_str() {
                Some(why) if status >= 300 => eprintln!("pilotlight: {}", why.trim_end()),
                _ => print(&plain(&told)),
            }
            code(status)
        }
        Err(error) => {
            eprintln!("pilotlight: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn code(status: u16) -> ExitCode {
    match status {
        ..300 => ExitCode::SUCCESS,
        // The manifest.
        422 => ExitCode::from(REFUSED),
        _ => ExitCode::from(FAILED),
    }
}

/// An answer for people: a line a fact.
fn plain(told: &serde_json::Value) -> String {
    let mut text = String::new();
    match told {
        serde_json::Value::Object(facts) => {
            for (name, value) in facts {
                let shown = match value {
                    serde_json::Value::Null => "none".to_owned(),
                    // How a reload went.
                    serde_json::Value::Object(facts) if facts.contains_key("result") => {
                        let said = facts.values().filter_map(|fact| fact.as_str());
                        said.collect::<Vec<_>>().join(": ")
                    }
                    serde_json::Value::Array(items) => {
                        items.iter().map(short).collect::<Vec<_>>().join(", ")
                    }
                    other => short(other),
                };
                let _ = writeln!(text, "{name:<16} {shown}");
            }
        }
        other => {
            let _ = writeln!(text, "{other}");
        }
    }
    text
}

/// One fact, or one thing by its name, or else by its facts.
fn short(told: &serde_json::Value) -> String {
    match told {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Object(facts) => match facts.get("name") {
            Some(name) => short(name),
            None => {
                let facts = facts.iter().map(|(name, value)| format!("{name} {}", short(value)));
                facts.collect::<Vec<_>>().join(" ")
            }
        },
        other => other.to_string(),
    }
}

pub(crate) fn schema() -> ExitCode {
    let schema = serde_json::to_string_pretty(&pilotlight_config::schema()).unwrap_or_default();
    print(&format!("{schema}\n"));
    ExitCode::SUCCESS
}

pub(crate) fn version(verbose: bool) -> ExitCode {
    print(&format!("pilotlight {}\n", env!("CARGO_PKG_VERSION")));
    if verbose {
        let features = [
            ("lua", cfg!(feature = "lua")),
            ("wasm", cfg!(feature = "wasm")),
            ("wasm-compile", cfg!(feature = "wasm-compile")),
            ("components", cfg!(feature = "components")),
            ("pulley", cfg!(feature = "pulley")),
            ("import", cfg!(feature = "import")),
            ("testing", cfg!(feature = "testing")),
        ];
        let on: Vec<&str> = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
        print(&format!("features  {}\n", on.join(" ")));
        print(&format!("target    {}-{}\n", std::env::consts::ARCH, std::env::consts::OS));
    }
    ExitCode::SUCCESS
}

pub(crate) fn help() -> ExitCode {
    let mut text = String::from("Pilotlight, an edge gateway.\n\nusage: pilotlight COMMAND\n\n");
    for (usage, does) in COMMANDS {
        let _ = writeln!(text, "  {usage}\n      {does}");
    }
    text.push_str("\nexit codes: 0 done; 1 failed while running; 2 bad usage or a bad manifest\n");
    print(&text);
    ExitCode::SUCCESS
}

fn source(from: From) -> Source {
    match from {
        From::File(path) => Box::new(move || pilotlight_config::load(&path, &env)),
        From::Flags { listen, upstream, filters } => {
            Box::new(move || pilotlight_config::from_flags(&listen, &upstream, &filters))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "here is the door")]
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub(crate) fn refuse(report: &Report) -> ExitCode {
    show(report);
    ExitCode::from(REFUSED)
}

fn show(report: &Report) {
    if !report.is_empty() {
        let color = std::io::stderr().is_terminal() && env("NO_COLOR").is_none();
        eprint!("{}", report.render(color));
    }
}

/// Data goes to standard output; a reader that has left is no error.
pub(crate) fn print(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}
