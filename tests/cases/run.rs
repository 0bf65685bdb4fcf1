//! Runs a case: one gateway, each protocol in turn, each twin.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::parse::{Case, Kind, Section};
use super::{expect, script};
use crate::support::gateway::Setup;
use crate::support::message::{ALL, Client, Protocol};
use crate::support::{Gateway, Upstream, free_address};

/// What failed, each with the run that it failed in.
pub async fn run(case: &Case) -> Vec<String> {
    let mut failures = Vec::new();
    let twins: Vec<String> = match case.all(Kind::Twins).next() {
        None => vec![String::new()],
        Some(section) => {
            let names = section.argument.split_whitespace();
            names
                .map(|name| {
                    format!("{} = \"{name}\"", if name.ends_with("lua") { "lua" } else { "wasm" })
                })
                .collect()
        }
    };
    let only = case
        .all(Kind::Only)
        .next()
        .map(|s| s.argument.split_once(": ").expect("only PROTOCOL: reason").0);
    for twin in twins {
        let upstreams = upstreams(case).await;
        let gateway = start(case, &upstreams, &twin).await;
        for protocol in ALL {
            if only.is_some_and(|only| !only.split(' ').any(|o| o == protocol.name())) {
                continue;
            }
            let wrong = exchange(case, &gateway, &upstreams, protocol).await;
            if !wrong.is_empty() {
                let name = protocol.name();
                let text = wrong.join("\n").replace('\n', "\n  ");
                failures.push(format!(
                    "{} (line {}) over {name} {twin}\n  {text}",
                    case.title, case.line
                ));
            }
        }
    }
    failures
}

type Upstreams = BTreeMap<String, Upstream>;

fn name(section: &Section) -> String {
    if section.argument.is_empty() { "app".into() } else { section.argument.clone() }
}

async fn upstreams(case: &Case) -> Upstreams {
    let mut upstreams = Upstreams::new();
    for section in case.all(Kind::Upstream) {
        if let Entry::Vacant(place) = upstreams.entry(name(section)) {
            place.insert(Upstream::start(Vec::new()).await);
        }
    }
    upstreams
}

async fn start(case: &Case, upstreams: &Upstreams, twin: &str) -> Gateway {
    let mut rest = case.text(Kind::Manifest).replace("$twin", twin);
    for (name, upstream) in upstreams {
        if !rest.contains(&format!("[upstreams.{name}]"))
            && rest.contains(&format!("upstream = \"{name}\""))
        {
            rest.push_str(&format!("[upstreams.{name}]\nendpoints = [\"http://${name}\"]\n"));
        }
        rest = rest.replace(&format!("${name}"), &upstream.address.to_string());
    }
    rest = rest.replace("$dead", &free_address().to_string());
    let mut setup = Setup::new(rest);
    setup.gateway = case.text(Kind::Gateway);
    setup.listener = case.text(Kind::Listener);
    for section in case.all(Kind::File) {
        setup = setup.file(&section.argument, section.lines.join("\n") + "\n");
    }
    for section in case.all(Kind::Wat) {
        let text = section.lines.join("\n");
        let text = match text.starts_with("(module") {
            true => text,
            false => format!("(module {PRELUDE}\n{text})"),
        };
        setup = setup.file(&section.argument, wat::parse_str(text).unwrap());
    }
    setup.start().await
}

/// The ABI, a memory and an allocator: what every proxy-wasm guest needs.
const PRELUDE: &str = include_str!("prelude.wat");

async fn exchange(
    case: &Case,
    gateway: &Gateway,
    upstreams: &Upstreams,
    protocol: Protocol,
) -> Vec<String> {
    let fill = |section: &Section| -> Vec<String> {
        let put = |line: &String| {
            line.replace("{version}", protocol.version())
                .replace("{scheme}", protocol.scheme())
                .replace("{protocol}", protocol.name())
        };
        section.lines.iter().map(put).collect()
    };
    for (name_, upstream) in upstreams {
        let scripts = case.all(Kind::Upstream).filter(|s| name(s) == *name_);
        upstream.reset(scripts.map(|s| script::script(&fill(s))).collect());
    }
    let before: BTreeMap<&String, usize> = upstreams.iter().map(|(n, u)| (n, u.count())).collect();
    let lines = gateway.log().len();
    let mut wrong = Vec::new();
    let mut client: Option<Client> = None;
    let asked: Vec<_> = case.all(Kind::Downstream).collect();
    let wanted: Vec<_> = case.all(Kind::Expect).collect();
    assert_eq!(asked.len(), wanted.len(), "{}: as many expect as downstream", case.title);
    for (asked, wanted) in asked.into_iter().zip(wanted) {
        let request = script::request(&fill(asked));
        if client.is_none() {
            let name = request.authority.split(':').next().unwrap();
            client = Some(Client::connect(protocol, gateway, name).await);
        }
        let Some(connection) = &mut client else { continue };
        let answer = connection.send(&request).await;
        let known = wrong.len();
        expect::answer(&fill(wanted), &answer, &mut wrong);
        if wrong.len() > known {
            wrong.push(format!("got: {answer}"));
        }
        if answer.closed || answer.broken.is_some() {
            client = None;
        }
    }
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for section in case.all(Kind::UpstreamSaw) {
        let name = name(section);
        let (upstream, from) = (&upstreams[&name], before[&name]);
        let nth = count.entry(name).or_default();
        let wanted = fill(section);
        let cut = wanted.iter().any(|l| l == "@cut");
        let at = from + *nth;
        *nth += 1;
        upstream
            .until("the upstream's request", |s| s.requests.get(at).is_some_and(|r| r.whole || cut))
            .await;
        let seen = upstream.requests()[at].clone();
        let known = wrong.len();
        expect::seen(&wanted, &seen, &mut wrong);
        if wrong.len() > known {
            wrong.push(format!("it saw: {}", expect::show(&seen)));
        }
    }
    for section in case.all(Kind::UpstreamCount) {
        let (name, wanted) =
            section.argument.rsplit_once(' ').unwrap_or(("app", &section.argument));
        let got = upstreams[name].count() - before[&name.to_owned()];
        if wanted.parse() != Ok(got) {
            wrong.push(format!("{name} was asked {got} times, not {wanted}"));
        }
    }
    logs(case, gateway, lines, &fill, &mut wrong).await;
    wrong
}

/// Each section is one line of the log: all its texts stand in it.
async fn logs(
    case: &Case,
    gateway: &Gateway,
    from: usize,
    fill: &dyn Fn(&Section) -> Vec<String>,
    wrong: &mut Vec<String>,
) {
    for section in case.all(Kind::Log) {
        let parts = fill(section);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if let Err(why) = gateway.logged_after(from, &parts).await {
            wrong.push(why);
        }
    }
    for section in case.all(Kind::NoLog) {
        let parts = fill(section);
        let log = gateway.log();
        let found = log[from..].iter().find(|line| parts.iter().all(|p| line.contains(p.as_str())));
        if let Some(line) = found {
            wrong.push(format!("logged: {line}"));
        }
    }
}
