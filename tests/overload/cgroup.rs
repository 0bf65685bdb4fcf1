//! What the gateway does as its cgroup says: cgroups as the kernel shows them, made of files.

use std::process::Command;

use super::{Workshop, ask, until};
use crate::pressure::{metrics, told};
use crate::reload::is_unprocessed;
use crate::support::gateway::Setup;
use crate::support::message::{ALL, Client, Request};
use crate::support::{Folder, free_address, run, soon};

const PRESSURE: &str = "pilotlight_memory_pressure";

/// A namespace in which another folder stands where cgroups do.
fn elsewhere(cgroups: &Folder) -> Vec<String> {
    let script = "mount --bind \"$0\" /sys/fs/cgroup && exec \"$@\"";
    let folder = cgroups.path().display().to_string();
    // Who may not have one of mounts alone may have one of users with it.
    let ways =
        ["-m", "-rm"].map(|how| ["unshare", how, "sh", "-c", script, &folder].map(str::to_owned));
    let works = |words: &[String; 6]| {
        let tried = Command::new(&words[0]).args(&words[1..]).arg("true").output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    ways.into_iter().find(works).expect("mount namespaces (unshare -m)").to_vec()
}

#[test]
fn classes_are_refused_as_memory_becomes_short_and_come_back() {
    let cgroups = Folder::new();
    let under = elsewhere(&cgroups);
    run(async {
        let shop = Workshop::start(100, std::time::Duration::ZERO).await;
        let routes = ["critical", "normal", "low", "background"].map(|priority| {
            format!(
                "[[routes]]\nmatch = {{ path = \"/{priority}\" }}\nupstream = \"app\"\n\
                 priority = \"{priority}\"\n"
            )
        });
        let app = format!(
            "[upstreams.app]\nendpoints = [\"http://{}\"]\nadmission = {{}}\n",
            shop.address
        );
        let admin = free_address();
        let used = |used: &str| cgroups.write("memory.current", format!("{used}\n"));
        cgroups.write("memory.high", "max\n");
        cgroups.write("memory.max", "1000\n");
        cgroups.write("memory.stat", "anon 1\ninactive_file 0\nactive_file 100\n");
        cgroups.write("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
        used("100");
        let mut setup = Setup::new(routes.concat() + &app).quiet();
        setup.gateway = format!("admin = \"{admin}\"\nidle = {{ trim = \"1h\" }}");
        setup.under = under;
        let gateway = std::sync::Arc::new(setup.start().await);
        // A worker that is awake has the memory looked at.
        let awake = |series: &'static str, level: f64| {
            let gateway = gateway.clone();
            async move {
                let look = async {
                    loop {
                        let _ = ask(gateway.clone(), "/critical").await;
                        let page = metrics(admin).await;
                        if page.lines().any(|line| line == format!("{series} {level}")) {
                            return;
                        }
                    }
                };
                soon(&format!("{series} {level}"), look).await;
            }
        };
        for (bytes, level, served) in [
            ("100", 0.0, 4),
            ("930", 0.83, 3),
            ("980", 0.88, 2),
            ("1050", 0.95, 1),
            ("1100", 1.0, 0),
            ("200", 0.1, 4),
        ] {
            used(bytes);
            awake(PRESSURE, level).await;
            for (place, path) in
                ["/critical", "/normal", "/low", "/background"].into_iter().enumerate()
            {
                let wanted = if place < served { 200 } else { 503 };
                ask(gateway.clone(), path).await.assert(wanted);
            }
        }
        let series = "pilotlight_admission_shed_total{upstream=\"app\",reason=\"memory\"}";
        assert!(metrics(admin).await.contains(series));
        gateway.logged(&["memory is short", "0.83"]).await.unwrap();
        gateway.logged(&["memory is not short any more"]).await.unwrap();
        // A limit that is lowered counts as what is used does.
        cgroups.write("memory.max", "100\n");
        awake(PRESSURE, 1.0).await;
        ask(gateway.clone(), "/critical").await.assert(503);
        cgroups.write("memory.max", "1000\n");
        // Somebody waits for memory all the time.
        let mut total = 0;
        let look = async {
            loop {
                total += 200_000;
                let text = format!("some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n");
                cgroups.write("memory.pressure", text);
                if ask(gateway.clone(), "/background").await.is(503) {
                    return;
                }
            }
        };
        soon("stalls to count", look).await;
        until(admin, "pilotlight_requests_in_flight", 0.0).await;
    });
}

#[test]
fn there_are_as_many_workers_as_the_cgroup_allows_cpus() {
    let cgroups = Folder::new();
    let under = elsewhere(&cgroups);
    run(async {
        let there = std::thread::available_parallelism().unwrap().get();
        // Where cgroups of both versions are mounted, version 1 counts.
        std::fs::create_dir(cgroups.path().join("cpu")).unwrap();
        for (quota, wanted) in [(100_000, 1), (250_000, 2), (50_000, 1), (10_000_000, there)] {
            cgroups.write("cpu.max", format!("{quota} 100000\n"));
            cgroups.write("cpu/cpu.cfs_quota_us", format!("{quota}\n"));
            cgroups.write("cpu/cpu.cfs_period_us", "100000\n");
            let admin = free_address();
            let mut setup = Setup::new("[[routes]]\nrespond = {}\n");
            setup.gateway = format!("admin = \"{admin}\"\nworkers = \"auto\"");
            setup.under = under.clone();
            let _gateway = setup.start().await;
            let status = told(admin, "/status").await;
            let wanted = format!("\"workers\":{}", wanted.min(there));
            assert!(status.contains(&wanted), "{wanted} by {quota}: {status}");
        }
    });
}

/// With `workers = "auto"`, while clients come and go: none of them notices.
#[test]
fn workers_follow_the_cgroup_and_lose_nobody() {
    let cgroups = Folder::new();
    let under = elsewhere(&cgroups);
    assert!(std::thread::available_parallelism().unwrap().get() > 1, "it takes two CPUs");
    run(async {
        std::fs::create_dir(cgroups.path().join("cpu")).unwrap();
        let allow = |cpus: usize| {
            cgroups.write("cpu.max", format!("{cpus}00000 100000\n"));
            cgroups.write("cpu/cpu.cfs_quota_us", format!("{cpus}00000\n"));
            cgroups.write("cpu/cpu.cfs_period_us", "100000\n");
        };
        allow(1);
        let admin = free_address();
        let mut setup = Setup::new("[[routes]]\nrespond = { body = \"here\" }\n").quiet();
        setup.gateway = format!("admin = \"{admin}\"\nworkers = \"auto\"");
        setup.under = under;
        let gateway = std::sync::Arc::new(setup.start().await);
        let ends = std::rc::Rc::new(std::cell::Cell::new(false));
        let mut clients = tokio::task::JoinSet::new();
        for protocol in ALL.into_iter().cycle().take(6) {
            let (gateway, ends) = (gateway.clone(), ends.clone());
            clients.spawn_local(async move {
                let mut count = 0;
                while !ends.get() {
                    // Some requests on a connection, then another one.
                    let mut client = Client::connect(protocol, &gateway, "a.test").await;
                    for _ in 0..5 {
                        let answer = client.send(&Request::get("/")).await;
                        if is_unprocessed(protocol, answer.broken.as_deref()) {
                            break;
                        }
                        assert_eq!(answer.assert(200).text(), "here", "{}", protocol.name());
                        count += 1;
                        if answer.closed {
                            break;
                        }
                        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                    }
                }
                count
            });
        }
        let until = async |workers: usize| {
            let line = format!("pilotlight_workers {workers}");
            while !metrics(admin).await.lines().any(|told| told == line) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        for round in 0..2 {
            allow(2);
            soon("a second worker", until(2)).await;
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            allow(1);
            soon(&format!("one worker, round {round}"), until(1)).await;
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        ends.set(true);
        let counts = clients.join_all().await;
        println!("answers: {counts:?}");
        assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
        gateway.logged(&["\"workers\"", "\"from\":\"2\"", "\"to\":\"1\""]).await.unwrap();
    });
}
