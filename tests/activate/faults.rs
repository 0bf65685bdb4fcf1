//! Applications that misbehave: what their clients are told, and that the next one is served.

use std::time::Instant;

use super::*;

/// What may have been done is not done again.
async fn post(gateway: &Gateway, path: &str) -> Answer {
    ask(ALL[0], gateway, &Request::new("POST", path)).await
}

#[test]
fn one_that_is_never_ready_is_given_up() {
    run(async {
        let gateway = at_port("never", "start_timeout = \"500ms\"", "").start().await;
        let began = Instant::now();
        get(&gateway, "/a").await.assert(504);
        assert!(began.elapsed() < Duration::from_secs(5));
        let said = ["\"instance failed\"", "\"reason\":\"late\"", "it was not ready within 0.5 s"];
        gateway.logged(&said).await.unwrap();
        // It is not tried again at once.
        get(&gateway, "/a").await.assert(504);
        let starts = gateway.log().iter().filter(|l| l.contains("\"instance starts\"")).count();
        assert_eq!(starts, 1);
    });
}

#[test]
fn one_that_dies_while_it_starts_backs_off() {
    run(async {
        let gateway = at_port("dies", "", "").start().await;
        let answer = get(&gateway, "/a").await;
        assert_eq!(answer.assert(503).field("retry-after"), Some("1"));
        assert!(answer.text().contains("can't be started"), "{}", answer.text());
        gateway
            .logged(&["\"instance failed\"", "exit status: 3", "\"retry_seconds\":\"1.0\""])
            .await
            .unwrap();
        gateway.logged(&["\"stream\":\"stderr\"", "this is the end"]).await.unwrap();
        get(&gateway, "/a").await.assert(503);
        let starts = || gateway.log().iter().filter(|l| l.contains("\"instance starts\"")).count();
        assert_eq!(starts(), 2);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let answer = get(&gateway, "/a").await;
        assert_eq!(answer.assert(503).field("retry-after"), Some("2"));
        assert_eq!(starts(), 3);
    });
}

#[test]
fn a_mishap_costs_nobody_anything() {
    run(async {
        let gateway = at_port("mishap", "", "").start().await;
        get(&gateway, "/a").await.assert(200);
        gateway.logged(&["\"instance failed\"", "\"retry_seconds\":\"0.0\""]).await.unwrap();
    });
}

#[test]
fn what_does_not_exist_is_said() {
    run(async {
        let gateway = before("command = [\"./nothing-here\", \"{port}\"]", "").start().await;
        get(&gateway, "/a").await.assert(503);
        gateway.logged(&["\"instance failed\"", "nothing-here", "No such file"]).await.unwrap();
    });
}

#[test]
fn one_that_answers_its_probe_and_hangs_is_replaced() {
    run(async {
        let more = "timeouts = { first_byte = \"200ms\" }";
        let gateway = at_port("hangs", "ready = \"/health\"", more).start().await;
        for _ in 0..3 {
            get(&gateway, "/a").await.assert(504);
        }
        gateway.logged(&["\"instance failed\"", "\"reason\":\"hung\""]).await.unwrap();
        get(&gateway, "/a").await.assert(504);
        let starts = gateway.log().iter().filter(|l| l.contains("\"instance ready\"")).count();
        assert_eq!(starts, 2);
    });
}

#[test]
fn one_that_ignores_sigterm_is_killed() {
    run(async {
        let keys = "idle = \"1s\", stop_timeout = \"200ms\"";
        let gateway = at_port("stubborn child", keys, "").start().await;
        let all = group(pid(&gateway).await);
        gateway.logged(&["\"instance stopped\"", "\"how\":\"killed\""]).await.unwrap();
        assert!(!all.into_iter().any(is_alive));
    });
}

#[test]
fn one_that_takes_the_port_of_another_gets_none_of_its_requests() {
    run(async {
        // The first listens where the second is to, whose own does nothing.
        let port = free_address().port().to_string();
        let thief = command("{port}", "", &[("TAKES", &port)]);
        let rest = format!(
            "[[routes]]\nupstream = \"app\"\n[[routes]]\nmatch = {{ path = \"/pid\" }}\nupstream = \"thief\"\n\
            [upstreams.thief]\nactivate = {{ {thief}, start_timeout = \"300ms\" }}\n\
            [upstreams.app]\nactivate = {{ {} }}\n",
            command("{port}", "", &[])
        );
        let gateway = Setup::new(rest).start().await;
        // Where it should be nobody is.
        get(&gateway, "/pid").await.assert(504);
        get(&gateway, "/a").await.assert(200);
        gateway
            .logged(&["\"instance failed\"", "\"upstream\":\"thief\"", "\"late\""])
            .await
            .unwrap();
    });
}

#[test]
fn a_stranger_at_its_port_gets_none_of_its_requests() {
    run(async {
        let gateway = at_port("strangers", "", "").start().await;
        get(&gateway, "/a").await.assert(503);
        let said = ["\"instance failed\"", "another process listens at its port"];
        gateway.logged(&said).await.unwrap();
        // They have left its group, and are nobody's now.
        for line in gateway.log().iter().filter(|line| line.contains("here is ")) {
            let number = line.split("here is ").nth(1).unwrap();
            let number: i32 =
                number.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            // SAFETY: no memory is involved.
            unsafe { libc::kill(number, libc::SIGKILL) };
        }
    });
}

#[test]
fn a_crash_under_way_is_told_and_the_next_one_is_served() {
    run(async {
        let gateway = at_port("", "", "").start().await;
        let first = pid(&gateway).await;
        post(&gateway, "/crash").await.assert(502);
        gateway.logged(&["\"instance failed\"", "\"reason\":\"crash\"", "SIGABRT"]).await.unwrap();
        let second = pid(&gateway).await;
        assert_ne!(second, first);
        // In a loop it is not started at once.
        post(&gateway, "/crash").await.assert(502);
        gateway.logged(&["\"instance failed\"", "\"retry_seconds\":\"1.0\""]).await.unwrap();
        let answer = get(&gateway, "/a").await;
        assert_eq!(answer.assert(503).field("retry-after"), Some("1"));
        tokio::time::sleep(Duration::from_millis(1100)).await;
        get(&gateway, "/a").await.assert(200);
    });
}

#[test]
fn one_that_leaves_by_itself_is_started_by_the_next_request_only() {
    run(async {
        let gateway = at_port("", "", "").start().await;
        let first = pid(&gateway).await;
        post(&gateway, "/leave").await.assert(502);
        gateway.logged(&["\"instance stopped\"", "\"reason\":\"left\""]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let starts = gateway.log().iter().filter(|l| l.contains("\"instance starts\"")).count();
        assert_eq!(starts, 1);
        assert_ne!(pid(&gateway).await, first);
    });
}

#[test]
fn the_queue_has_an_end_and_who_leaves_makes_room() {
    run(async {
        let keys = "queue = 2, start_timeout = \"10s\"";
        let activate = format!("{}, {keys}", command("{port}", "", &[("DELAY", "1500")]));
        let gateway = before(&activate, "").start().await;
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                let ask = || async {
                    let mut client = h1::Client::connect(gateway.clear).await;
                    client.send(&Request::get("/a")).await.status
                };
                let mut leaver = h1::Client::connect(gateway.clear).await;
                leaver.write("GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                let waits = async {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    // Two wait: the third does not.
                    assert_eq!(ask().await, 503);
                    drop(leaver);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    ask().await
                };
                let (first, last) = tokio::join!(ask(), waits);
                assert_eq!((first, last), (200, 200));
            })
            .await;
    });
}

#[test]
fn a_flood_of_output_is_cut() {
    run(async {
        let script = "head -c 20000000 /dev/zero | tr '\\\\0' 'a' | fold -w 99; exec sleep 1000";
        let activate = format!(
            "command = [\"sh\", \"-c\", \"{script}\", \"{{port}}\"], start_timeout = \"2s\""
        );
        let gateway = before(&activate, "").start().await;
        get(&gateway, "/a").await.assert(504);
        let lines = gateway.log().iter().filter(|l| l.contains("the application wrote\"")).count();
        assert!((100..5000).contains(&lines), "{lines}");
    });
}
