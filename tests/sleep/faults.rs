//! What can go wrong on the way back.

use std::time::Duration;

use super::{FILTER, Running, asleep, is_parked, lasting, plain, sleeper};
use crate::support::message::{ALL, Protocol, ask};
use crate::support::upstream::Step;
use crate::support::{Gateway, Request, Script, Upstream, run, soon};

fn manifest(gateway: &Gateway) -> String {
    std::fs::read_to_string(gateway.folder.path().join("pilotlight.toml")).unwrap()
}

#[test]
fn a_manifest_that_changed_meanwhile_is_the_one_that_wakes() {
    run(async {
        let gateway = sleeper("workers = 3").start().await;
        asleep(&gateway).await;
        let changed = manifest(&gateway).replace("\"here\"", "\"there\"");
        gateway.folder.write("pilotlight.toml", changed.replace("workers = 3", "workers = 1"));
        for protocol in ALL.into_iter().cycle().take(9) {
            let answer = ask(protocol, &gateway, &Request::get("/fixed")).await;
            assert_eq!(answer.assert(200).text(), "there");
        }
        asleep(&gateway).await;
        gateway.folder.write("pilotlight.toml", changed.replace("workers = 3", "workers = 4"));
        for protocol in ALL.into_iter().cycle().take(12) {
            ask(protocol, &gateway, &Request::get("/fixed")).await.assert(200);
        }
    });
}

#[test]
fn a_manifest_that_broke_meanwhile_is_answered_with_503_until_it_is_whole() {
    run(async {
        let gateway = sleeper("").start().await;
        asleep(&gateway).await;
        let whole = manifest(&gateway);
        gateway.folder.write("pilotlight.toml", "[[routes");
        let refused = plain(gateway.clear, "/fixed").await;
        assert_eq!(refused.assert(503).field("retry-after"), Some("10"));
        assert!(is_parked(gateway.pid()));
        // The next ones wait their turn, and are then told the same.
        plain(gateway.clear, "/fixed").await.assert(503);
        plain(gateway.clear, "/fixed").await.assert(503);
        // From the third failure on nobody waits.
        let asked = tokio::time::timeout(Duration::from_secs(1), plain(gateway.clear, "/healthz"));
        asked.await.unwrap().assert(503);
        assert!(is_parked(gateway.pid()));
        gateway.folder.write("pilotlight.toml", whole);
        gateway.signal(libc::SIGHUP);
        gateway.logged(&["\"awake\"", "\"failed_tries\":\"3\""]).await.unwrap();
        ask(Protocol::H3, &gateway, &Request::get("/fixed")).await.assert(200);
    });
}

/// Wakes it, and has it crash before it has settled.
async fn crash(gateway: &Gateway) {
    asleep(gateway).await;
    let lines = gateway.log().len();
    gateway.signal(libc::SIGHUP);
    gateway.logged_after(lines, &["\"serving\""]).await.unwrap();
    gateway.signal(libc::SIGSEGV);
    gateway.logged_after(lines, &["crashed while it woke"]).await.unwrap();
    asleep(gateway).await;
}

#[test]
fn a_crash_while_it_wakes_leads_back_to_sleep() {
    run(async {
        let mut gateway = lasting().start().await;
        for failures in 1..=2 {
            crash(&gateway).await;
            assert!(gateway.is_alive(), "{failures}");
        }
        // It waits before it tries again, and whoever comes meanwhile waits with it.
        plain(gateway.clear, "/fixed").await.assert(200);
        let line = gateway.logged(&["\"awake\"", "\"failed_tries\":\"2\""]).await.unwrap();
        assert!(line.contains("\"reason\":\"connection\""), "{line}");
    });
}

#[test]
fn one_that_crashes_again_and_again_says_so_and_stays_parked() {
    run(async {
        let gateway = lasting().start().await;
        for _ in 0..3 {
            crash(&gateway).await;
        }
        let refused = plain(gateway.clear, "/fixed").await;
        assert_eq!(refused.assert(503).field("retry-after"), Some("10"));
        plain(gateway.clear, "/healthz").await.assert(503);
        assert!(is_parked(gateway.pid()));
        gateway.signal(libc::SIGHUP);
        gateway.logged(&["\"awake\"", "\"failed_tries\":\"3\""]).await.unwrap();
        plain(gateway.clear, "/fixed").await.assert(200);
    });
}

#[test]
fn a_program_that_was_replaced_meanwhile_is_the_one_that_wakes() {
    run(async {
        let folder = crate::support::Folder::new();
        let (clear, tls) = (crate::support::free_address(), crate::support::free_address());
        let setup = sleeper("");
        let certificate = crate::support::Certificate::common();
        folder.write("edge.pem", &certificate.pem);
        folder.write("edge.key", &certificate.key);
        folder.write("f.lua", FILTER);
        folder.write("pilotlight.toml", setup.manifest(clear, tls));
        let copy = folder.path().join("pilotlight");
        let own = crate::support::gateway::binary();
        std::fs::copy(own, &copy).unwrap();
        let mut command = std::process::Command::new(&copy);
        command.arg("run").current_dir(folder.path()).stderr(std::process::Stdio::null());
        let child = Running(command.spawn().unwrap());
        let parked = async {
            while !is_parked(child.0.id()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("sleep", parked).await;
        std::fs::copy(own, folder.path().join("new")).unwrap();
        std::fs::rename(folder.path().join("new"), &copy).unwrap();
        plain(clear, "/fixed").await.assert(200);
        let runs = std::fs::read_link(format!("/proc/{}/exe", child.0.id())).unwrap();
        assert_eq!(runs, copy);
    });
}

/// It holds handles of its sockets for a while after it woke: none of them may get connections then.
#[test]
fn a_drain_right_after_waking_ends_what_is_open() {
    run(async {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        let slow = Script::raw(head).then(Step::Pause(Duration::from_millis(400)));
        let upstream = Upstream::always(slow.then(Step::Send("whole".into()))).await;
        let mut setup = sleeper("workers = 2\ndrain = \"10s\"");
        setup.rest.push_str(&format!(
            "[[routes]]\nmatch = {{ path = \"/slow\" }}\nupstream = \"app\"\n\
             [upstreams.app]\nendpoints = [\"http://{}\"]\n",
            upstream.address
        ));
        let mut gateway = setup.start().await;
        asleep(&gateway).await;
        let request = Request::get("/slow");
        let asked = async {
            let each = ALL.map(|protocol| ask(protocol, &gateway, &request));
            let [h1, h2, h3] = each;
            let (h1, h2, h3) = tokio::join!(h1, h2, h3);
            [h1, h2, h3].iter().for_each(|answer| assert_eq!(answer.assert(200).text(), "whole"));
        };
        let told = async {
            upstream.until("three requests", |state| state.requests.len() == 3).await;
            gateway.signal(libc::SIGTERM);
        };
        tokio::join!(asked, told);
        assert!(gateway.left().await.success());
        let refused = tokio::net::TcpStream::connect(gateway.clear).await;
        assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

/// Whatever it is doing when it is told, it ends, and soon.
#[test]
fn a_wake_and_an_end_at_once_end_in_time() {
    run(async {
        for pause in [0, 1, 2, 4, 8, 16, 32, 64] {
            let mut gateway = sleeper("workers = 2\ndrain = \"10s\"").start().await;
            asleep(&gateway).await;
            let clear = gateway.clear;
            // It stays open, as browsers leave connections.
            let client = tokio::task::spawn_local(async move {
                let mut client = crate::support::h1::Client::connect(clear).await;
                let answer = client.send(&Request::get("/filtered")).await;
                let closed = client.is_closed().await;
                (answer.status, closed)
            });
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let told = std::time::Instant::now();
            gateway.signal(libc::SIGTERM);
            assert!(gateway.left().await.success(), "after {pause} ms");
            let took = told.elapsed();
            // 0: it was told before it had looked who is there.
            let (status, _) = client.await.unwrap();
            println!("told after {pause} ms, it left within {took:?}; the client got {status}");
            assert!(took < Duration::from_secs(5), "{took:?} after {pause} ms");
            assert!(status == 200 || pause < 8 && status == 0, "{status} after {pause} ms");
        }
    });
}
