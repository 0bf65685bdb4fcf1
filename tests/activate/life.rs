//! How many there are, and when they end.

use super::*;

#[test]
fn idle_it_is_stopped_with_all_that_it_started_and_comes_back() {
    run(async {
        let gateway = at_port("child", "idle = \"1s\"", "").start().await;
        let first = pid(&gateway).await;
        let all = group(first);
        assert!(all.len() >= 2, "{all:?}");
        gateway.logged(&["\"instance stopped\"", "\"how\":\"ended\""]).await.unwrap();
        assert!(!all.into_iter().any(is_alive));
        assert_ne!(pid(&gateway).await, first);
    });
}

#[test]
fn after_the_gateway_nothing_is_left() {
    run(async {
        // Asked, killed, and asked by one who does not listen.
        for (modes, signal) in
            [("child", libc::SIGTERM), ("", libc::SIGKILL), ("stubborn child", libc::SIGTERM)]
        {
            let mut gateway = at_port(modes, "stop_timeout = \"300ms\"", "").start().await;
            let all = group(pid(&gateway).await);
            gateway.signal(signal);
            gateway.left().await;
            for pid in all {
                gone(pid).await;
            }
        }
    });
}

#[test]
fn asked_twice_the_gateway_does_not_wait_for_it() {
    run(async {
        let mut gateway = at_port("stubborn", "stop_timeout = \"10m\"", "").start().await;
        let its = pid(&gateway).await;
        gateway.signal(libc::SIGTERM);
        gateway.logged(&["\"draining\""]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        gateway.signal(libc::SIGTERM);
        assert!(gateway.left().await.success());
        gone(its).await;
    });
}

#[test]
fn more_load_starts_more_and_they_share_it() {
    run(async {
        let scale = "scale = { max = 3, concurrency = 2, panic_window = \"1s\" }";
        let gateway = at_port("", "", scale).start().await;
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                let all = (0..12).map(|_| {
                    let address = gateway.clear;
                    tokio::task::spawn_local(async move {
                        let mut client = h1::Client::connect(address).await;
                        for _ in 0..8 {
                            client.send(&Request::get("/slow")).await.assert(200);
                        }
                    })
                });
                for one in all.collect::<Vec<_>>() {
                    soon("the load", one).await.unwrap();
                }
            })
            .await;
        let starts = gateway.log().iter().filter(|l| l.contains("\"instance ready\"")).count();
        assert_eq!(starts, 3);
        gateway.logged(&["\"scaled\"", "\"to\":\"3\""]).await.unwrap();
    });
}

#[test]
fn the_fewest_are_there_without_a_request() {
    run(async {
        let gateway = at_port("", "", "scale = { min = 2, max = 2 }").start().await;
        for _ in 0..2 {
            gateway.logged(&["\"instance ready\""]).await.unwrap();
        }
        gateway.logged(&["\"instance starts\"", "\"reason\":\"min\""]).await.unwrap();
    });
}

#[test]
fn an_upgrade_starts_its_own_and_ends_the_old_ones() {
    run(async {
        let fixed = free_address().port().to_string();
        let at = format!("endpoints = [\"http://127.0.0.1:{fixed}\"]");
        for setup in [at_port("", "", ""), before(&command(&fixed, "", &[]), &at)] {
            let gateway = setup.start().await;
            let first = pid(&gateway).await;
            gateway.signal(libc::SIGUSR2);
            gateway.logged(&["\"handed over\""]).await.unwrap();
            assert_ne!(pid(&gateway).await, first);
            gone(first).await;
        }
    });
}

/// Of the listener and the routes around it.
fn changed(setup: &Setup, gateway: &Gateway, rest: &str) {
    let text = setup.manifest(gateway.clear, gateway.tls);
    gateway.folder.write("pilotlight.toml", format!("{text}\n{rest}"));
}

async fn reload(gateway: &Gateway) {
    let lines = gateway.log().len();
    gateway.signal(libc::SIGHUP);
    gateway.logged_after(lines, &["\"reloaded\""]).await.unwrap();
}

#[test]
fn a_reload_leaves_it_alone_or_replaces_it() {
    run(async {
        let one = || at_port("", "idle = \"30s\"", "");
        let gateway = one().start().await;
        let first = pid(&gateway).await;
        // Something else is new, and its own limits of time.
        changed(
            &one(),
            &gateway,
            "[[routes]]\nmatch = { path = \"/x\" }\nrespond = { body = \"x\" }\n",
        );
        reload(&gateway).await;
        assert_eq!(get(&gateway, "/x").await.text(), "x");
        assert_eq!(pid(&gateway).await, first);
        changed(&at_port("", "idle = \"20s\"", "scale = { max = 2 }"), &gateway, "");
        reload(&gateway).await;
        assert_eq!(pid(&gateway).await, first);
        // Another application: the old one ends, once it has answered.
        let slow = {
            let mut client = h1::Client::connect(gateway.clear).await;
            async move { client.send(&Request::get("/slow")).await.assert(200).text() }
        };
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                let slow = tokio::task::spawn_local(slow);
                tokio::time::sleep(Duration::from_millis(200)).await;
                changed(&at_port("child", "", ""), &gateway, "");
                reload(&gateway).await;
                let second = pid(&gateway).await;
                assert_ne!(second, first);
                assert_eq!(slow.await.unwrap(), "slow");
                gone(first).await;
                gateway.logged(&["\"instance stopped\"", "\"reason\":\"reload\""]).await.unwrap();
                // No application at all.
                let none = Setup::new("[[routes]]\nrespond = { body = \"none\" }\n");
                changed(&none, &gateway, "");
                reload(&gateway).await;
                gone(second).await;
            })
            .await;
    });
}

#[test]
fn one_at_a_fixed_place_waits_for_the_one_before() {
    run(async {
        let port = free_address().port().to_string();
        let at = format!("endpoints = [\"http://127.0.0.1:{port}\"]");
        let setup = |modes: &str| before(&command(&port, modes, &[]), &at);
        let gateway = setup("").start().await;
        let first = pid(&gateway).await;
        changed(&setup("child"), &gateway, "");
        reload(&gateway).await;
        assert_ne!(pid(&gateway).await, first);
        assert!(!gateway.log().iter().any(|line| line.contains("\"instance failed\"")));
    });
}

#[test]
fn the_gateway_sleeps_when_its_application_does() {
    run(async {
        let mut setup = at_port("", "idle = \"1s\"", "");
        setup.gateway = "idle = { sleep = \"100ms\" }".into();
        let gateway = setup.start().await;
        let first = pid(&gateway).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(is_alive(first));
        crate::sleep::asleep(&gateway).await;
        assert!(!is_alive(first));
        assert_ne!(pid(&gateway).await, first);
    });
}

/// Asleep it knows when the next instance is due: up to a minute.
#[test]
fn a_schedule_wakes_a_gateway_that_sleeps() {
    if !full() {
        return;
    }
    run(async {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let minute = (unix.as_secs() + 10) / 60 + 1;
        let cron = format!("{} {} * * *", minute % 60, minute / 60 % 24);
        let scale =
            format!("scale = {{ schedule = [{{ cron = {cron:?}, min = 1, zone = \"UTC\" }}] }}");
        let mut setup = at_port("", "", &scale);
        setup.gateway = "idle = { sleep = \"100ms\" }".into();
        let gateway = setup.start().await;
        crate::sleep::asleep(&gateway).await;
        let due = async { while gateway.logged(&["\"instance ready\""]).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(90), due).await.unwrap();
        gateway.logged(&["\"awake\"", "\"reason\":\"schedule\""]).await.unwrap();
        gateway.logged(&["\"instance starts\"", "\"reason\":\"schedule\""]).await.unwrap();
    });
}

/// Where the gateway has the right to a cgroup; elsewhere it says that it has none.
#[test]
fn its_limits_hold_or_are_missed() {
    run(async {
        let keys = "limits = { memory = \"64MiB\", processes = 50, cpu = \"50%\" }";
        let gateway = at_port("", keys, "").start().await;
        let its = pid(&gateway).await;
        let groups = std::fs::read_to_string(format!("/proc/{its}/cgroup")).unwrap();
        let missed = gateway.log().iter().any(|line| line.contains("\"instance without limits\""));
        assert_ne!(groups.contains("/pilotlight-app-"), missed, "{groups}");
    });
}

/// A container's runtime may be any program: this one runs what it is told as a process of its own.
#[test]
fn a_container_is_run_and_stopped_by_its_runtime() {
    run(async {
        let this = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\nset -e\ncase $1 in\nrun)\n  name=$4 publish=$6\n  echo \"$@\" > said\n\
             APPLICATION= AT=$(echo $publish | cut -d: -f2) setsid {this:?} --exact \
             activate::application::serves --nocapture &\n  echo $! > $name.pid\n  wait $!;;\n\
             stop)\n  kill $(cat $4.pid);;\nesac\n"
        );
        let setup =
            before("container = { image = \"shop:1\", port = 80, runtime = \"RUNTIME\" }", "");
        let folder = crate::support::Folder::new();
        let runtime = folder.write(
            "runtime",
            script
                .replace("said", "$(dirname $0)/said")
                .replace("$name.pid", "$(dirname $0)/$name.pid")
                .replace("$4.pid", "$(dirname $0)/$4.pid"),
        );
        std::fs::set_permissions(&runtime, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let rest = setup.rest.replace("RUNTIME", runtime.to_str().unwrap());
        let mut gateway = Setup { rest, ..setup }.start().await;
        let its = pid(&gateway).await;
        let said = std::fs::read_to_string(folder.path().join("said")).unwrap();
        assert!(said.starts_with("run --rm --name pilotlight-app-"), "{said}");
        assert!(said.trim_end().ends_with(":80 shop:1"), "{said}");
        gateway.signal(libc::SIGTERM);
        assert!(gateway.left().await.success());
        gone(its).await;
    });
}
