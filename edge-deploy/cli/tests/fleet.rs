//! A fleet on one machine: a controller with its store and TLS, agents as processes of their own, sockets between
//! them. The gateways are stand-ins that load what their manifest's filter says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use support::{Fleet, Node, ROLLOUT};

/// Rolls a version out, and waits for its end: the code of `status --watch`.
fn roll_out(fleet: &Fleet, version: &str) -> (i32, String) {
    fleet.begin(version, ROLLOUT);
    fleet.run(&["status", "--watch"])
}

#[test]
fn a_fleet_takes_what_is_good_and_gives_back_what_is_not() {
    let mut fleet = Fleet::new("fleet");
    let nodes: Vec<Node> = (1..=4).map(|at| fleet.node(&format!("n{at}"))).collect();
    let all = |version: &str| nodes.iter().all(|node| node.runs() == format!("edge@{version}"));
    fleet.until("all nodes enrol", || fleet.inventory().len() == 4);

    // Nobody speaks without a token, or for another node.
    let (code, said) = fleet.run(&["nodes", "--token", "guess"]);
    assert!(code == 1 && said.contains("token"), "{code} {said}");
    let admits = std::fs::read_to_string(fleet.folder.join("enrol.token")).unwrap();
    assert_eq!(fleet.run(&["nodes", "--token", admits.trim()]).0, 1);

    // A good one goes through its waves.
    fleet.pack("1.0.0", "-- one");
    fleet.rollout("1.0.0", ROLLOUT);
    let (code, said) = fleet.run(&["plan", "rollout.toml"]);
    assert!(code == 0 && said.contains("4 nodes run nothing") && said.contains("canary"), "{said}");
    let guess = format!("sha256:{}", "0".repeat(64));
    let (code, said) = fleet.run(&["apply", "rollout.toml", "--plan", &guess]);
    assert!(code == 1 && said.contains("the fleet has changed"), "{code} {said}");
    let (code, said) = roll_out(&fleet, "1.0.0");
    assert!(code == 0 && all("1.0.0"), "{code} {said}");

    // What changes for whom, line by line; who watches need not watch to the end.
    fleet.pack("2.0.0", "-- CRASH");
    fleet.rollout("2.0.0", ROLLOUT);
    let (code, said) = fleet.run(&["plan", "rollout.toml"]);
    let lines = [
        "4 nodes run edge@1.0.0 and fetch",
        "~ filters/hello.lua (",
        "      --- one\n",
        "      +-- CRASH\n",
    ];
    assert!(code == 0 && lines.iter().all(|line| said.contains(line)), "{said}");

    // One whose filter crashes reaches its canary, which goes back by itself, and nobody else.
    fleet.pack("2.0.0", "-- CRASH");
    let begun = Instant::now();
    let (code, said) = roll_out(&fleet, "2.0.0");
    assert!(
        code == 3 && said.contains("1 crash_loop (") && said.contains("): filters failed"),
        "{code} {said}"
    );
    println!("a bad release was back everywhere after {:?}", begun.elapsed());
    fleet.until("all are back", || all("1.0.0"));
    let took = nodes.iter().filter(|node| node.loaded("2.0.0")).count();
    assert_eq!(took, 1);

    // The controller is killed in the middle of a wave, and nobody minds.
    fleet.pack("3.0.0", "-- three");
    fleet.begin("3.0.0", ROLLOUT);
    let (code, said) = fleet.run(&["status", "--watch", "--timeout", "1ms"]);
    assert!(code == 5 && said.contains("canary"), "{code} {said}");
    fleet.until("the canary", || fleet.status()["waves"][0]["committed"] == 1);
    let before = fleet.status();
    fleet.kill();
    let some = nodes.iter().filter(|node| node.runs() == "edge@3.0.0").count();
    assert_eq!(some, 1);
    std::thread::park_timeout(Duration::from_secs(1));
    fleet.start();
    let after = fleet.status();
    for key in ["id", "phase", "wave", "waves", "by", "began"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    let (code, said) = fleet.run(&["status", "--watch"]);
    assert!(code == 0 && all("3.0.0"), "{code} {said}");

    // Taken back by an operator, from the nodes' own disks.
    std::fs::rename(fleet.folder.join("content"), fleet.folder.join("gone")).unwrap();
    let (code, said) = fleet.run(&["revert", "--reason", "no longer wanted"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = fleet.run(&["status", "--watch"]);
    assert!(code == 3 && said.contains("no longer wanted"), "{code} {said}");
    fleet.until("all are back", || all("1.0.0"));
    std::fs::rename(fleet.folder.join("gone"), fleet.folder.join("content")).unwrap();

    // Without a controller a node does what it did.
    fleet.kill();
    std::thread::park_timeout(Duration::from_secs(2));
    assert!(all("1.0.0"));
    fleet.start();
    let page = fleet.get("/metrics");
    assert!(page.contains("edge_deploy_nodes 4\n"), "{page}");
    assert!(page.contains("edge_deploy_rollout_failures{rollout=\"2\",kind=\"crash_loop\"} 1\n"));
    let page = fleet.get("/");
    assert!(page.contains("<h1>Fleet</h1>") && page.contains("no longer wanted"), "{page}");
    let lines: serde_json::Value = serde_json::from_str(&fleet.get("/v1/audit")).unwrap();
    let told = lines.to_string();
    assert!(told.contains("began rollout 1 of edge@1.0.0 to 4 nodes"), "{told}");

    // What scripts read, and people.
    let (code, said) = fleet.run(&["audit"]);
    assert!(
        code == 0 && said.contains("admin: began rollout 1 of edge@1.0.0 to 4 nodes"),
        "{said}"
    );
    let (code, said) = fleet.run(&["audit", "--json", "--after", "2"]);
    let first: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!((code, &first["seq"]), (0, &3.into()), "{said}");
    let (code, said) = fleet.run(&["rollouts"]);
    assert!(code == 0 && said.lines().count() == 3 && said.contains("edge@3.0.0"), "{said}");
    let (code, said) = fleet.run(&["token", "list"]);
    assert!(code == 0 && said.contains("enrol      nodes\n"), "{said}");
    let (code, said) = fleet.run(&["nodes", "--where", "id in [\"n1\"]", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, told.as_array().unwrap().len()), (0, 1), "{said}");
    let (code, said) = fleet.run(&["nodes", "--where", "id =="]);
    assert!(code == 2 && said.contains("where: "), "{code} {said}");

    // Holds are read anew when it is told so; a mistake leaves all as it was.
    let held = || fleet.inventory()[1]["hold"].clone();
    fleet.write("fleet.toml", "kind = \"fleet\"\n[nodes.n2]\nhold = \"new disk\"\n");
    fleet.hang_up();
    fleet.until("it is held", || held() == "new disk");
    fleet.write("fleet.toml", "kind = \"fleet\"\nnodse = 1\n");
    fleet.hang_up();
    fleet.until("it complains", || fleet.complaints().contains("stays as it was read before"));
    assert_eq!(held(), "new disk");
}

#[test]
fn a_wave_waits_for_who_may_say_yes() {
    let fleet = Fleet::new("approval");
    let node = fleet.node("n1");
    fleet.until("it enrols", || fleet.inventory().len() == 1);
    fleet.pack("1.0.0", "-- one");
    let rollout = ROLLOUT.replace("pick = \"rest\"", "pick = \"rest\"\napprove = [\"captain\"]");
    let rollout = rollout.replace("pick = { count = 1 }", "pick = { where = 'role == \"none\"' }");
    let rollout = rollout.replace("name = \"canary\"\n", "name = \"nobody\"\n");
    fleet.begin("1.0.0", &rollout);
    fleet.until("it asks", || fleet.status()["phase"] == "approval");
    assert_eq!(fleet.run(&["status"]).0, 4);
    // Not everybody is who is meant.
    assert_eq!(fleet.run(&["approve"]).0, 1);
    let (code, said) = fleet.run(&["token", "new", "captain", "--role", "operator"]);
    assert_eq!(code, 0, "{said}");
    let token = said.trim().to_owned();
    let (code, said) = fleet.run(&["approve", "--token", &token]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = fleet.run(&["status", "--watch"]);
    assert!(code == 0 && node.runs() == "edge@1.0.0", "{code} {said}");
    // A token that is taken is none.
    assert_eq!(fleet.run(&["token", "revoke", "captain"]).0, 0);
    assert_eq!(fleet.run(&["status", "--token", &token]).0, 1);
}

#[test]
fn a_node_with_a_certificate_is_served_by_a_timer() {
    let fleet = Fleet::new("timer");
    let folder = fleet.timed("c1");
    // Somebody else's certificate is none.
    fleet.timed("c2.x");
    std::fs::write(
        fleet.folder.join("c2.x.pem"),
        std::fs::read(fleet.folder.join("c1.pem")).unwrap(),
    )
    .unwrap();
    let (_, said) = fleet.once("c2.x");
    assert!(said.contains("not enrolled"), "{said}");
    assert_eq!(fleet.once("c1").0, 0);
    assert_eq!(fleet.inventory()[0]["id"], "c1");
    fleet.pack("1.0.0", "-- one");
    fleet.begin("1.0.0", ROLLOUT);
    let status = || std::fs::read_to_string(folder.join("state/status.json")).unwrap_or_default();
    fleet.until("it has it", || {
        let (code, said) = fleet.once("c1");
        assert!(code == 0 || said.contains("way"), "{code} {said}");
        status().contains("edge@1.0.0")
    });
    fleet.once("c1");
    fleet.until("it is done", || {
        fleet.once("c1");
        fleet.status()["phase"] == "done"
    });
}

#[test]
fn a_controller_that_lies_makes_nobody_run_what_was_not_signed() {
    let fleet = Fleet::new("lies");
    fleet.pack("1.0.0", "-- one");
    // Somebody who has the content's place too, and a key that no node trusts.
    fleet.forge("6.6.6", "-- stolen");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut serial = 0;
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut bytes = [0; 4096];
            drop(stream.read(&mut bytes));
            serial += 1;
            let told = format!(
                r#"{{"tag":"{serial}","desired":{{"serial":{serial},"release":{{"name":"edge","version":"6.6.6"}},"switch":true,"retry":true}}}}"#
            );
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length";
            drop(stream.write_all(format!("{head}: {}\r\n\r\n{told}", told.len()).as_bytes()));
        }
    });
    let node = fleet.node_of("n1", &url);
    fleet.until("it has heard", || node.said().contains("signed by 0 of the trusted keys"));
    std::thread::park_timeout(Duration::from_secs(1));
    assert!(!node.loaded("6.6.6") && node.runs() == "null");
}
