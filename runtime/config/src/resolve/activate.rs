//! `activate` and `scale` of `[upstreams]`.

use super::filter::in_order;
use super::{check, row};
use crate::manifest::{
    Activate, Cron, Endpoint, InstanceLimits, Launch, Listens, Ready, Scale, Schedule, Zone,
};
use crate::place::Place;
use crate::raw::{self, At, Share, TextOr};
use crate::report::Problem;
use crate::typed::{Refusal, Scene};

pub(super) fn activate(
    raw: &At<raw::Activate>,
    scale: Option<&At<raw::Scale>>,
    endpoints: &[Endpoint],
    scene: &mut Scene<'_>,
) -> Option<Activate> {
    let launch = launch(raw, scene);
    let table = &raw.value;
    let idle = scene.time(table.idle.as_ref(), &row::ACTIVATE_IDLE);
    let start_timeout = scene.time(table.start_timeout.as_ref(), &row::START_TIMEOUT);
    let stop_timeout = scene.time(table.stop_timeout.as_ref(), &row::STOP_TIMEOUT);
    let queue = scene.usize(table.queue.as_ref(), &row::QUEUE);
    let limits = limits(table.limits.as_ref(), scene);
    let none = raw::Scale::default();
    let mut scale = self::scale(scale.map_or(&none, |scale| &scale.value), scene);
    scale.idle = idle;
    let ready = ready(table.ready.as_ref(), scene);
    let launch = launch?;
    let listens = listens(raw, &launch, scene);
    listening(raw, listens, endpoints, &scale, scene);
    Some(Activate { launch, listens, ready, start_timeout, stop_timeout, queue, limits, scale })
}

/// What is started: exactly one of three.
fn launch(at: &At<raw::Activate>, scene: &mut Scene<'_>) -> Option<Launch> {
    let raw = &at.value;
    let keys = [
        raw.command.as_ref().map(|at| &at.key),
        raw.unit.as_ref().map(|at| &at.key),
        raw.container.as_ref().map(|at| &at.key),
    ];
    let mut keys: Vec<&Place> = keys.into_iter().flatten().collect();
    keys.sort_by_key(|key| key.start);
    match keys[..] {
        [] if !raw.broken => {
            let hint = "one of command, unit and container";
            scene.error(&at.place, "there is nothing to start", Some(hint.into()));
        }
        [first, ref rest @ ..] => {
            for key in rest {
                let problem = Problem::error(*key, "there is something to start already");
                scene.report.push(problem.also("the first is here", first));
            }
        }
        [] => {}
    }
    if raw.command.is_none() && !raw.broken {
        let of_commands = [
            raw.env.as_ref().map(|at| &at.key),
            raw.dir.as_ref().map(|at| &at.key),
            raw.socket.as_ref().map(|at| &at.key),
        ];
        for key in of_commands.into_iter().flatten() {
            scene.error(key, "this has a meaning for a command only", None);
        }
    }
    // All are looked at, so that the mistakes of each are found.
    let command = raw.command.as_ref().map(|argv| command(argv, raw, scene));
    let unit = raw.unit.as_ref().map(|unit| Launch::Unit(scene.checked(unit, check::unit)));
    let container = raw.container.as_ref().map(|raw| container(raw, scene));
    command.or(unit).or(container)
}

fn command(argv: &At<Vec<At<String>>>, raw: &raw::Activate, scene: &mut Scene<'_>) -> Launch {
    let mut words: Vec<String> =
        argv.iter().map(|word| scene.checked(word, check::argument)).collect();
    match words.first_mut() {
        Some(program) if program.contains('/') => {
            *program = scene.path(program).to_string_lossy().into_owned();
        }
        Some(program) if !program.is_empty() => {}
        _ => scene.error(&argv.place, "a command without a program", None),
    }
    let mut env = Vec::new();
    for (name, value) in raw.env.iter().flat_map(|env| &env.value.0) {
        scene.accept(&name.place, check::variable(name));
        env.push((name.value.clone(), scene.checked(value, check::argument)));
    }
    let dir = match &raw.dir {
        Some(dir) => scene.folder(dir, "the folder"),
        None => scene.folder.clone(),
    };
    Launch::Command { argv: words, env, dir }
}

fn container(at: &At<TextOr<raw::Container>>, scene: &mut Scene<'_>) -> Launch {
    let table = match &at.value {
        TextOr::Text(name) => {
            scene.accept(&at.place, check::container(name));
            return Launch::Container(name.clone());
        }
        TextOr::Other(table) => table,
    };
    let image = table.image.as_ref().map(|image| scene.checked(image, check::argument));
    if let Some(image) = table.image.as_ref().filter(|at| at.is_empty() || at.starts_with('-')) {
        scene.error(&image.place, format!("{:?} is not an image", image.value), None);
    }
    let port = scene.whole(table.port.as_ref(), &row::CONTAINER_PORT);
    let runtime = table.runtime.as_ref().map_or("podman", |at| at.as_str());
    let runtime: Vec<String> = runtime.split_whitespace().map(str::to_owned).collect();
    if let Some(at) = table.runtime.as_ref().filter(|_| runtime.is_empty()) {
        scene.error(&at.place, "the name of the program is empty", None);
    }
    let args = table.args.as_ref().map(|args| args.iter());
    let args = args.into_iter().flatten().map(|arg| scene.checked(arg, check::argument)).collect();
    let port = u16::try_from(port).unwrap_or(u16::MAX);
    Launch::Image { image: image.unwrap_or_default(), port, args, runtime }
}

fn listens(at: &At<raw::Activate>, launch: &Launch, scene: &mut Scene<'_>) -> Listens {
    let says = |placeholder: &str| match launch {
        Launch::Command { argv, env, .. } => {
            let mut texts = argv.iter().chain(env.iter().map(|(_, value)| value));
            texts.any(|text| text.contains(placeholder))
        }
        Launch::Unit(name) => name.contains(placeholder),
        Launch::Container(_) => false,
        Launch::Image { .. } => placeholder == Launch::PORT,
    };
    let passed = at.value.socket.as_ref().filter(|on| on.value);
    let ways = [
        (says(Launch::PORT), Listens::Port),
        (says(Launch::SOCKET), Listens::Socket),
        (passed.is_some(), Listens::Passed),
    ];
    let mut ways = ways.into_iter().filter(|(said, _)| *said);
    let (first, second) = (ways.next(), ways.next());
    if second.is_some() {
        let place = passed.map_or(&at.place, |passed| &passed.key);
        let hint = "one of \"{port}\", \"{socket}\" and `socket = true`";
        scene.error(place, "an instance listens in one place", Some(hint.into()));
    }
    first.map_or(Listens::Endpoint, |(_, listens)| listens)
}

/// Either the gateway says where instances listen, or the one instance listens at the one endpoint.
fn listening(
    at: &At<raw::Activate>,
    listens: Listens,
    endpoints: &[Endpoint],
    scale: &Scale,
    scene: &mut Scene<'_>,
) {
    match (listens, endpoints) {
        (Listens::Endpoint, []) => {
            let hint =
                "\"{port}\" or \"{socket}\" in it says where, or the upstream has one endpoint";
            let message = "nothing says where an instance listens";
            scene.error(&at.place, message, Some(hint.into()));
        }
        (Listens::Endpoint, [_]) if scale.max > 1 => {
            let hint = "with \"{port}\" or \"{socket}\" in it each has a place of its own";
            let message = "several instances cannot listen at one endpoint";
            scene.error(&at.place, message, Some(hint.into()));
        }
        (Listens::Endpoint, [_]) => {}
        (Listens::Endpoint, [_, second, ..]) => {
            scene.error(&second.place, "an application that is started has one endpoint", None);
        }
        (_, [first, ..]) => {
            let hint = "the gateway picks the places: leave `endpoints` out";
            let message = "the application does not listen at the endpoints";
            scene.error(&first.place, message, Some(hint.into()));
        }
        (_, []) => {}
    }
}

fn ready(raw: Option<&At<String>>, scene: &mut Scene<'_>) -> Ready {
    match raw.map(|at| (at, at.as_str())) {
        None | Some((_, "connect")) => Ready::Connect,
        Some((_, "notify")) => Ready::Notify,
        Some((at, path)) => {
            let plain = |b: u8| b.is_ascii_graphic() && b != b'#';
            if !path.starts_with('/') || !path.bytes().all(plain) {
                let message = format!("{path:?} does not say when an instance is ready");
                let hint = "a path such as \"/health\", \"connect\" or \"notify\"";
                scene.error(&at.place, message, Some(hint.into()));
            }
            Ready::Path(path.into())
        }
    }
}

fn limits(raw: Option<&At<raw::ActivateLimits>>, scene: &mut Scene<'_>) -> InstanceLimits {
    let Some(raw) = raw.map(|raw| &raw.value) else { return InstanceLimits::default() };
    let memory = raw.memory.as_ref().map(|at| scene.size(Some(at), &row::INSTANCE_MEMORY));
    let processes = raw.processes.as_ref().map(|at| scene.whole(Some(at), &row::PROCESSES));
    let cpu = raw.cpu.as_ref().map(|cpu| above_nothing(cpu, "cpu", scene));
    InstanceLimits { memory, cpu, processes }
}

fn above_nothing(share: &At<Share>, key: &str, scene: &mut Scene<'_>) -> f64 {
    if share.value.0 <= 0.0 {
        scene.error(&share.place, format!("{key} must be more than 0%"), None);
    }
    share.value.0
}

/// `idle` is filled in by the caller: it stands in `activate`.
fn scale(raw: &raw::Scale, scene: &mut Scene<'_>) -> Scale {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let min = small(scene.whole(raw.min.as_ref(), &row::SCALE_MIN));
    let most = small(scene.whole(raw.max.as_ref(), &row::SCALE_MAX));
    // Who says only how few there are wants so many.
    let max = if raw.max.is_none() { most.max(min) } else { most };
    if let (Some(at), Some(least)) = (&raw.max, &raw.min)
        && min > max
    {
        let (first, second) = in_order(&least.place, &at.place);
        let problem = Problem::error(second, format!("min is {min}, but max {max}"));
        scene.report.push(problem.also("the other is here", first));
    }
    let window = scene.time(raw.window.as_ref(), &row::WINDOW);
    let panic_window = scene.time(raw.panic_window.as_ref(), &row::PANIC_WINDOW);
    if let Some(at) = raw.panic_window.as_ref().filter(|_| panic_window > window) {
        scene.error(&at.place, "panic_window must not be longer than window", None);
    }
    let share = |at: Option<&At<Share>>, default| at.map_or(default, |at| at.value.0);
    let mut some = |at: Option<&At<Share>>, key, default| {
        at.map_or(default, |at| above_nothing(at, key, scene))
    };
    let target = some(raw.target.as_ref(), "target", 0.7);
    let shrink = some(raw.shrink.as_ref(), "shrink", 0.5);
    Scale {
        min,
        max,
        concurrency: small(scene.whole(raw.concurrency.as_ref(), &row::CONCURRENCY)),
        target,
        window,
        panic_window,
        tolerance: share(raw.tolerance.as_ref(), 0.1),
        cooldown: scene.time(raw.cooldown.as_ref(), &row::COOLDOWN),
        idle: std::time::Duration::ZERO,
        surge: raw.surge.as_ref().map(|at| small(scene.whole(Some(at), &row::SURGE))),
        shrink,
        schedule: raw
            .schedule
            .iter()
            .flat_map(|list| list.iter())
            .filter_map(|entry| schedule(entry, max, scene))
            .collect(),
        predict: raw.predict.as_ref().is_some_and(|on| on.value),
    }
}

fn schedule(at: &At<raw::Schedule>, max: u32, scene: &mut Scene<'_>) -> Option<Schedule> {
    let raw = &at.value;
    let min = u32::try_from(scene.whole(raw.min.as_ref(), &row::SCALE_MIN)).unwrap_or(u32::MAX);
    if let Some(at) = raw.min.as_ref().filter(|_| min > max) {
        let hint = Some("scale.max is the most at any time".to_owned());
        scene.error(&at.place, format!("min is {min}, but max {max}"), hint);
    }
    let hold = scene.time(raw.r#for.as_ref(), &row::SCHEDULE_FOR);
    let zone = raw.zone.as_ref();
    let zone = zone.map_or(Some(Zone::Local), |zone| scene.accept(&zone.place, self::zone(zone)));
    let text = raw.cron.as_ref()?;
    let cron = Cron::new(text).map_err(|why| Refusal { message: why.0, hint: why.1 });
    Some(Schedule { cron: scene.accept(&text.place, cron)?, min, hold, zone: zone? })
}

/// `local`, `UTC` or `+HH:MM`.
fn zone(text: &str) -> Result<Zone, Refusal> {
    let offset = || {
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let two = |text: &str, most: i32| {
            let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<i32>().ok().filter(|number| digits && *number <= most)
        };
        let (hours, minutes) = rest.split_once(':')?;
        Some(sign * (two(hours, 14)? * 3600 + two(minutes, 59)? * 60))
    };
    match text {
        "local" => Ok(Zone::Local),
        "UTC" => Ok(Zone::Fixed(0)),
        _ => offset().map(Zone::Fixed).ok_or_else(|| {
            let hint = "\"local\", \"UTC\" or an offset such as \"+01:00\"; a named zone is set for the \
                        process, by TZ";
            Refusal::new(format!("{text:?} is not a time zone"), hint)
        }),
    }
}
