//! What was typed on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value, ValueExt};

/// A command with its flags.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Version { verbose: bool },
    Schema,
    Run(From),
    Check { file: PathBuf, json: bool },
    Compile { file: PathBuf, output: Option<PathBuf>, target: Option<String> },
    Import(Import),
    Admin { ask: Ask, at: PathBuf, json: bool },
    Test { paths: Vec<PathBuf>, tap: bool, junit: Option<PathBuf> },
    New { what: New, name: String },
}

/// What can be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum New {
    Lua,
    Gateway,
    Rust,
    Application,
    C,
    AssemblyScript,
}

/// Their names.
const NEW: [(&str, New); 6] = [
    ("lua", New::Lua),
    ("gateway", New::Gateway),
    ("wasm-rust", New::Rust),
    ("wasm-application", New::Application),
    ("wasm-c", New::C),
    ("wasm-assemblyscript", New::AssemblyScript),
];

/// What to serve.
#[derive(Debug, Clone)]
pub(crate) enum From {
    File(PathBuf),
    Flags { listen: String, upstream: String, filters: Vec<PathBuf> },
}

/// What is imported, and where it goes.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "import"),
    expect(dead_code, reason = "this build only says that it can't")
)]
pub(crate) struct Import {
    pub(crate) file: PathBuf,
    /// nginx's prefix, or the folder of Kong's source.
    pub(crate) prefix: Option<PathBuf>,
    /// A manifest, or the folder of one.
    pub(crate) output: Option<PathBuf>,
    /// "nginx" or "kong"; else the file tells.
    pub(crate) from: Option<String>,
    pub(crate) json: bool,
    /// Files that are there may be written anew.
    pub(crate) force: bool,
}

/// What a running gateway is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Reload,
    Drain,
    Status,
}

/// The manifest when none is named.
const MANIFEST: &str = "pilotlight.toml";

/// The commands and what they do, as `help` prints them.
pub(crate) const COMMANDS: &[(&str, &str)] = &[
    ("run [FILE]", "serve the manifest (default pilotlight.toml)"),
    ("run --listen ADDR --upstream URL [--filter FILE]...", "serve one route without a manifest"),
    ("check [FILE] [--format json]", "load everything and print every problem"),
    ("reload | drain | status [FILE] [--json]", "ask the gateway that runs this manifest"),
    ("compile FILE.wasm [-o FILE.cwasm] [--target TRIPLE]", "compile a module ahead of time"),
    (
        "import FILE [--from nginx|kong] [--prefix DIR] [-o FILE|DIR] [--force] [--format json]",
        "turn nginx.conf or Kong's declarative file into a manifest",
    ),
    (
        "test [PATH]... [--tap] [--junit FILE]",
        "run tests of filters (*_test.lua) without a network",
    ),
    (
        "new lua | wasm-rust | wasm-c | wasm-assemblyscript | wasm-application | gateway NAME",
        "begin a filter with its test, an application, or a folder with a gateway",
    ),
    ("schema", "print the JSON Schema of the manifest"),
    ("version [--verbose]", "print version, features and target"),
];

/// Reads the process's arguments.
pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let name = match parser.next()? {
        None | Some(Long("help") | Short('h')) => return Ok(Command::Help),
        Some(Long("version") | Short('V')) => return Ok(Command::Version { verbose: false }),
        Some(Value(name)) => name,
        Some(other) => return Err(other.unexpected()),
    };
    if std::env::args_os().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(Command::Help);
    }
    match name.to_string_lossy().as_ref() {
        "help" => Ok(Command::Help),
        "version" => Ok(Command::Version { verbose: flag(&mut parser, "verbose")? }),
        "schema" => {
            flag(&mut parser, "")?;
            Ok(Command::Schema)
        }
        "run" => run(&mut parser),
        "check" => check(&mut parser),
        "compile" => compile(&mut parser),
        "import" => import(&mut parser),
        "test" => test(&mut parser),
        "new" => new(&mut parser),
        "reload" => admin(&mut parser, Ask::Reload),
        "drain" => admin(&mut parser, Ask::Drain),
        "status" => admin(&mut parser, Ask::Status),
        other => Err(format!("unknown command \"{other}\"").into()),
    }
}

/// A command whose only flag may be `--name`.
fn flag(parser: &mut lexopt::Parser, name: &str) -> Result<bool, lexopt::Error> {
    let mut given = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long(long) if !name.is_empty() && long == name => given = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(given)
}

fn file(slot: &mut Option<PathBuf>, value: OsString) -> Result<(), lexopt::Error> {
    match slot.replace(value.into()) {
        None => Ok(()),
        Some(_) => Err("more than one file given".into()),
    }
}

fn run(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut path, mut listen, mut upstream, mut filters) = (None, None, None, Vec::new());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => listen = Some(parser.value()?.string()?),
            Long("upstream") => upstream = Some(parser.value()?.string()?),
            Long("filter") => filters.push(parser.value()?.into()),
            Value(value) => file(&mut path, value)?,
            other => return Err(other.unexpected()),
        }
    }
    match (path, listen, upstream) {
        (None, Some(listen), Some(upstream)) => {
            Ok(Command::Run(From::Flags { listen, upstream, filters }))
        }
        (path, None, None) if filters.is_empty() => {
            Ok(Command::Run(From::File(path.unwrap_or_else(|| MANIFEST.into()))))
        }
        (Some(_), ..) => Err("give a manifest, or --listen and --upstream, not both".into()),
        _ => Err("without a manifest both --listen and --upstream are needed".into()),
    }
}

fn check(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut path, mut json) = (None, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("format") => json = format(parser)?,
            Value(value) => file(&mut path, value)?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Check { file: path.unwrap_or_else(|| MANIFEST.into()), json })
}

/// Whether it is JSON.
fn format(parser: &mut lexopt::Parser) -> Result<bool, lexopt::Error> {
    match parser.value()?.string()?.as_str() {
        "json" => Ok(true),
        "text" => Ok(false),
        other => Err(format!("unknown format \"{other}\": text or json").into()),
    }
}

fn import(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut path, mut prefix, mut output, mut from) = (None, None, None, None);
    let (mut json, mut force) = (false, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('o') | Long("output") => output = Some(parser.value()?.into()),
            Long("prefix") => prefix = Some(parser.value()?.into()),
            Long("force") => force = true,
            Long("format") => json = format(parser)?,
            Long("from") => match parser.value()?.string()? {
                kind if kind == "nginx" || kind == "kong" => from = Some(kind),
                other => return Err(format!("unknown kind \"{other}\": nginx or kong").into()),
            },
            Value(value) => file(&mut path, value)?,
            other => return Err(other.unexpected()),
        }
    }
    let file = path.ok_or("import needs a file: nginx.conf or kong.yaml")?;
    Ok(Command::Import(Import { file, prefix, output, from, json, force }))
}

fn compile(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut path, mut output, mut target) = (None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('o') | Long("output") => output = Some(parser.value()?.into()),
            Long("target") => target = Some(parser.value()?.string()?),
            Value(value) => file(&mut path, value)?,
            other => return Err(other.unexpected()),
        }
    }
    let file = path.ok_or("compile needs a .wasm file")?;
    Ok(Command::Compile { file, output, target })
}

fn test(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut paths, mut tap, mut junit) = (Vec::new(), false, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("tap") => tap = true,
            Long("junit") => junit = Some(parser.value()?.into()),
            Value(value) => paths.push(value.into()),
            other => return Err(other.unexpected()),
        }
    }
    if paths.is_empty() {
        paths.push(".".into());
    }
    Ok(Command::Test { paths, tap, junit })
}

fn new(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut words = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(value) => words.push(value.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let kinds = NEW.map(|(kind, _)| kind).join(", ");
    let [what, name] = words.as_slice() else {
        return Err(format!("new takes a kind ({kinds}) and a name").into());
    };
    let Some((_, what)) = NEW.iter().copied().find(|(kind, _)| kind == what) else {
        return Err(format!("no \"{what}\" to begin: one of {kinds}").into());
    };
    Ok(Command::New { what, name: name.clone() })
}

fn admin(parser: &mut lexopt::Parser, ask: Ask) -> Result<Command, lexopt::Error> {
    let (mut path, mut json) = (None, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("json") if ask == Ask::Status => json = true,
            Value(value) => file(&mut path, value)?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Admin { ask, at: path.unwrap_or_else(|| MANIFEST.into()), json })
}
