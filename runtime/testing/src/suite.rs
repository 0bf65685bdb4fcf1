//! Runs a test file: each of its tests in a world and a VM of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use pilotlight_abi::Phase;
use pilotlight_filter::engine::Source;
use pilotlight_filter::exchange::Request;
use pilotlight_filter::{Call, Exchange, Fault, Filter, Peer, Spec};

use crate::host::{Host, Notes, Task};
use crate::outcome::{Ended, File, Outcome};
use crate::subject::{self, Home};
use crate::values::Table;
use crate::world::{HOST, World};
use crate::{Bench, Refusal};

/// How a test file reaches the manifest's modules; who does not say it waits for none to load.
const MODULES: &[u8] = b"gateway.wasm";
/// CPU time of one test, the filters' own time left out.
const CPU: Duration = Duration::from_secs(5);
/// Times that the clock may go on in one test.
const STEPS: u32 = 1_000_000;
/// Rounds of tasks that wake each other, before the test has its turn again.
const ROUNDS: u32 = 1000;

/// Runs the tests of a file. `name` is what messages call it.
///
/// # Errors
/// A manifest that can't be read; a build without Lua.
pub(crate) fn run(
    bench: &Rc<Bench>,
    path: &Path,
    name: &str,
    cache: &Path,
) -> Result<File, Refusal> {
    let folder = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let folder = folder.parent().unwrap_or(Path::new("/"));
    let home = Rc::new(Home::of(folder, cache, bench).map_err(Refusal::Manifest)?);
    let alone = |ended| vec![Outcome { name: String::new(), ended, printed: Vec::new() }];
    let tests = match std::fs::read(path) {
        Ok(text) => {
            let task = Task { file: name.to_owned(), text, test: None };
            let (outcome, notes) = perform(bench, &home, task.clone())?;
            let listed = notes.listed.take();
            match outcome.ended {
                Ended::Passed if listed.is_empty() => alone(Ended::Broken {
                    message: format!("{name}: no tests in it"),
                    trace: String::new(),
                }),
                Ended::Passed => listed
                    .into_iter()
                    .map(|test| {
                        Ok(perform(bench, &home, Task { test: Some(test), ..task.clone() })?.0)
                    })
                    .collect::<Result<_, Refusal>>()?,
                _ => vec![outcome],
            }
        }
        Err(error) => alone(Ended::Broken {
            message: format!("{name}: can't be read: {error}"),
            trace: String::new(),
        }),
    };
    Ok(File { name: name.to_owned(), tests })
}

/// Runs one test, or asks a file for its tests.
fn perform(
    bench: &Rc<Bench>,
    home: &Rc<Home>,
    task: Task,
) -> Result<(Outcome, Rc<Notes>), Refusal> {
    let Some(engine) = bench.engines.iter().find(|engine| engine.name() == "lua") else {
        return Err(Refusal::Usage("this build has no Lua, which tests are written in".into()));
    };
    let notes = Rc::<Notes>::default();
    let world = World::new(home.dictionaries());
    let name = task.test.clone().unwrap_or_default();
    let calls_modules = task.text.windows(MODULES.len()).any(|part| part == MODULES);
    let host = Host::new(&world, bench, home, task, &notes);
    world.host.replace(Some(host.clone()));
    let mut plan = home.plan(bench, engine.name(), world.clock.wall());
    plan.module_names.push(Arc::from(HOST));
    plan.filters = vec![spec()];
    let modules = if calls_modules { home.modules(bench, &world) } else { Ok(()) };
    let ran = modules
        .and_then(|()| subject::open(engine, &plan, &world))
        .and_then(|(realm, _)| finish(&world, &mut *realm.start(0)));
    host.end();
    world.end();
    let broken = |message| Ended::Broken { message, trace: String::new() };
    let ended = match (ran, notes.ended.take()) {
        (Err(message), _) => broken(message),
        (Ok(()), None) => broken("it ended without a word".into()),
        (Ok(()), Some(ended)) => complain(&world, ended),
    };
    Ok((Outcome { name, ended, printed: printed(&world) }, notes))
}

/// The program that runs a test file.
fn spec() -> Spec {
    Spec {
        name: Arc::from(HOST),
        program: Source::Text { name: "pilotlight:test", text: include_str!("test.lua") },
        config: Vec::new(),
        config_is_json: false,
        cpu: CPU,
        memory: None,
        fresh: false,
        proxy: Default::default(),
        target: false,
        flow: false,
    }
}

/// A test that went where nothing stands in has failed, whatever it made of that.
fn complain(world: &World, ended: Ended) -> Ended {
    let complaints = world.complaints.borrow().join("\n");
    match ended {
        ended if complaints.is_empty() => ended,
        Ended::Passed => Ended::Failed { message: complaints, trace: String::new() },
        Ended::Failed { message, trace } => {
            Ended::Failed { message: format!("{message}\n{complaints}"), trace }
        }
        Ended::Broken { message, trace } => {
            Ended::Broken { message: format!("{message}\n{complaints}"), trace }
        }
    }
}

/// What was printed, and what the filters wrote to the log.
fn printed(world: &World) -> Vec<String> {
    let mut all = world.said.take();
    let line = |line: &pilotlight_abi::Value| -> Result<String, String> {
        let table = Table::of(Some(line), "a line")?;
        let part = |name| Ok::<_, String>(table.text(name)?.unwrap_or_default());
        Ok(format!("log {} {}: {}", part("level")?, part("filter")?, part("message")?))
    };
    all.extend(world.lines.borrow().iter().filter_map(|value| line(value).ok()));
    all
}

/// Notes that somebody was woken.
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a test to its end. When all wait, the clock goes on.
fn finish(world: &Rc<World>, filter: &mut dyn Filter) -> Result<(), String> {
    let bell = Arc::new(Bell(AtomicBool::new(false)));
    let waker = Waker::from(bell.clone());
    let mut cx = Context::from_waker(&waker);
    let mut exchange = Exchange::new(1, nobody(), Request::default());
    let stirred = || bell.0.swap(false, Ordering::Relaxed) | world.take_stir();
    let mut steps = 0;
    loop {
        // What falls due at the same moment comes before the test goes on.
        for _ in 0..ROUNDS {
            world.poll_tasks(&mut cx);
            if !stirred() {
                break;
            }
        }
        let call = Call { phase: Phase::Request, exchange: &mut exchange, chunk: None };
        if let Poll::Ready(ended) = filter.poll(&mut cx, call) {
            return ended.map(drop).map_err(told);
        }
        if stirred() {
            continue;
        }
        if !world.clock.advance() {
            return Err("it waits for something that never comes".into());
        }
        steps += 1;
        if steps > STEPS {
            return Err("it goes on and on: its timers have run a million times".into());
        }
    }
}

fn told(fault: Fault) -> String {
    let mut text = fault.message.strip_prefix("request: ").unwrap_or(&fault.message).to_owned();
    // Ours are of no interest.
    let trace = fault.trace.unwrap_or_default();
    for line in trace.lines().filter(|line| !line.contains("pilotlight:")) {
        text.push_str("\n  in ");
        text.push_str(line.trim());
    }
    text
}

fn nobody() -> Rc<Peer> {
    Rc::new(Peer::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0, HOST))
}
