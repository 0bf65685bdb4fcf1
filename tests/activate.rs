//! Applications that sleep: the first request starts them, nobody is forgotten, nothing is left behind.

mod application;
mod faults;
mod life;

use std::net::SocketAddr;
use std::time::Duration;

use self::application::command;
use crate::support::gateway::Setup;
use crate::support::message::{ALL, ask};
use crate::support::{Answer, Gateway, Request, free_address, full, h1, run, soon};

const ROUTE: &str = "[[routes]]\nupstream = \"app\"\n";

/// A gateway before an application, with the keys of its `activate` and more of the upstream.
fn before(activate: &str, more: &str) -> Setup {
    Setup::new(format!("{ROUTE}[upstreams.app]\nactivate = {{ {activate} }}\n{more}\n")).quiet()
}

/// With a port, and these keys beside the command.
fn at_port(modes: &str, keys: &str, more: &str) -> Setup {
    before(&format!("{}, {keys}", command("{port}", modes, &[])), more)
}

async fn get(gateway: &Gateway, path: &str) -> Answer {
    ask(ALL[0], gateway, &Request::get(path)).await
}

async fn pid(gateway: &Gateway) -> u32 {
    get(gateway, "/pid").await.assert(200).text().parse().unwrap()
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn gone(pid: u32) {
    let look = async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the end of an instance", look).await;
}

/// All processes of a group.
fn group(of: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let in_it = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        rest.split(' ').nth(2).is_some_and(|group| group == of.to_string())
    };
    pids.filter(in_it).collect()
}

async fn plain(address: SocketAddr, path: &str) -> String {
    let mut client = h1::Client::connect(address).await;
    client.send(&Request::get(path).field("connection", "close")).await.assert(200).text()
}

#[test]
fn the_first_requests_start_it_and_all_are_answered_in_order() {
    const REQUESTS: usize = 1000;
    run(async {
        let setup = before(
            &format!("{}, ready = \"/health\"", command("{port}", "", &[("DELAY", "500")])),
            "scale = { concurrency = 1 }",
        );
        let gateway = setup.start().await;
        let tasks = tokio::task::LocalSet::new();
        let answers = tasks.run_until(async {
            let mut asked = Vec::new();
            for _ in 0..REQUESTS {
                let mut client = h1::Client::connect(gateway.clear).await;
                asked.push(tokio::task::spawn_local(async move {
                    client.send(&Request::get("/count")).await.assert(200).text()
                }));
                // Each is in the queue before the next one is sent.
                tokio::task::yield_now().await;
            }
            let mut answers: Vec<usize> = Vec::new();
            for asked in asked {
                answers.push(soon("an answer", asked).await.unwrap().parse().unwrap());
            }
            answers
        });
        let answers = answers.await;
        // Clients' bytes overtake one another on their way to the gateway, by a little.
        let late = answers.iter().enumerate().map(|(sent, served)| sent.abs_diff(*served));
        assert!(late.max().unwrap() <= 64, "{answers:?}");
        let mut sorted = answers.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..REQUESTS));
        let log = gateway.log();
        assert_eq!(log.iter().filter(|line| line.contains("\"instance starts\"")).count(), 1);
    });
}

#[test]
fn every_protocol_wakes_it_and_its_output_is_logged() {
    run(async {
        for protocol in ALL {
            let gateway = at_port("", "ready = \"connect\"", "").start().await;
            ask(protocol, &gateway, &Request::get("/a")).await.assert(200);
            gateway.logged(&["\"instance starts\"", "\"reason\":\"activate\""]).await.unwrap();
            gateway.logged(&["\"instance ready\"", "\"start_seconds\""]).await.unwrap();
            gateway.logged(&["\"line\":\"here is ", "\"stream\":\"stdout\""]).await.unwrap();
        }
    });
}

#[test]
fn it_listens_where_it_is_told_to() {
    run(async {
        let fixed = free_address();
        let port = fixed.port().to_string();
        let at = format!("{}\nendpoints = [\"http://127.0.0.1:{port}\"]", "");
        let ways = [
            (command("{socket}", "", &[]), String::new()),
            (format!("{}, socket = true", command("passed", "", &[])), String::new()),
            (command(&port, "", &[]), at),
            (
                format!("{}, ready = \"notify\"", command("{port}", "", &[("WARM", "200")])),
                String::new(),
            ),
        ];
        for (activate, more) in ways {
            let gateway = before(&activate, &more).start().await;
            get(&gateway, "/a").await.assert(200);
            // What the gateway has open is its own.
            let fds = get(&gateway, "/fds").await.assert(200).text();
            let foreign =
                fds.lines().filter(|to| to.contains("anon_inode") || to.contains("memfd"));
            assert_eq!(foreign.count(), 0, "{fds}");
            let sockets = fds.lines().filter(|to| to.starts_with("socket:")).count();
            assert!(sockets <= 4, "{fds}");
        }
    });
}

#[test]
fn a_fetch_of_a_script_wakes_it() {
    run(async {
        let script = "return { request = function()\n\
            local got = gateway.fetch{ url = '/from-script', upstream = 'app' }\n\
            return { body = got.body } end }";
        let rest = format!(
            "[[routes]]\nfilters = [\"f\"]\nrespond = {{ }}\n[filters.f]\nlua = \"f.lua\"\n\
            [upstreams.app]\nactivate = {{ {} }}\n",
            command("{port}", "", &[])
        );
        let gateway = Setup::new(rest).file("f.lua", script).start().await;
        assert_eq!(get(&gateway, "/").await.assert(200).text(), "/from-script");
    });
}

#[test]
fn its_state_is_shown_and_counted() {
    run(async {
        let admin = free_address();
        let mut setup = at_port("", "idle = \"1s\"", "");
        setup.gateway = format!("admin = \"{admin}\"");
        let gateway = setup.start().await;
        let status = plain(admin, "/status").await;
        assert!(status.contains("\"state\":\"asleep\""), "{status}");
        get(&gateway, "/a").await.assert(200);
        let status = plain(admin, "/status").await;
        assert!(
            status.contains("\"state\":\"awake\"") && status.contains("\"ready\":1"),
            "{status}"
        );
        let page = plain(admin, "/metrics").await;
        for sample in [
            "pilotlight_instances{upstream=\"app\",state=\"ready\"} 1",
            "pilotlight_instance_starts_total{upstream=\"app\",reason=\"activate\"} 1",
            "pilotlight_instance_start_seconds_count{upstream=\"app\"} 1",
            "pilotlight_desired_instances{upstream=\"app\"} 1",
        ] {
            assert!(page.contains(sample), "{sample} in\n{page}");
        }
        gateway.logged(&["\"instance stopped\"", "\"reason\":\"idle\""]).await.unwrap();
        let page = plain(admin, "/metrics").await;
        let sample = "pilotlight_instance_ends_total{upstream=\"app\",reason=\"idle\"} 1";
        assert!(page.contains(sample), "{page}");
    });
}
