//! Clusters and clouds: manifests that fit their schemas, and the hook of scaling groups before a cloud of our own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::{Scratch, packaging, programs, root, said, tools};

#[test]
fn manifests_fit_their_schemas() {
    let scratch = Scratch::new("schemas");
    let mut check = Command::new(tools().join("venv/bin/python"));
    check.arg(root().join("edge-deploy/cli/tests/packaging/schemas.py"));
    check.arg(tools().join("cloud-init.json")).arg(packaging()).arg(scratch.at(""));
    let seen = said(&mut check);
    for kind in ["Deployment", "HorizontalPodAutoscaler", "PodMonitor", "ScaledObject"] {
        assert!(seen.contains(kind), "{seen}");
    }
    // What cloud-init would write is a node's manifest, and a script.
    let node = fs::read_to_string(scratch.at("node.toml")).unwrap();
    let name = scratch.at("instance-id");
    fs::write(&name, "i-0abc\n").unwrap();
    let own = node.replace("/var/lib/cloud/data/instance-id", name.to_str().unwrap());
    assert_ne!(own, node);
    scratch.write("node.toml", &own);
    said(Command::new(programs().join("edge-deploy")).arg("check").arg(scratch.at("node.toml")));
    said(Command::new("shellcheck").args(["--shell", "sh"]).arg(scratch.at("runcmd.sh")));
}

/// A metadata service: what it knows by path, and what it was asked.
struct Cloud {
    url: String,
    pages: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Cloud {
    /// `field` must come with each request that is no `PUT`.
    fn new(field: &'static str) -> Cloud {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pages: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let known = Arc::clone(&pages);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let (mut first, mut line, mut allowed) = (String::new(), String::new(), false);
                reader.read_line(&mut first).unwrap();
                while reader.read_line(&mut line).unwrap_or(0) > 2 {
                    allowed |= line.trim().eq_ignore_ascii_case(field);
                    line.clear();
                }
                let words: Vec<&str> = first.split(' ').collect();
                allowed |= words[0] == "PUT";
                let page = known.lock().unwrap().get(words[1]).filter(|_| allowed).cloned();
                let (status, body) = page.map_or((404, String::new()), |page| (200, page));
                let head = "connection: close\r\ncontent-length";
                let answer = format!("HTTP/1.1 {status} x\r\n{head}: {}\r\n\r\n{body}", body.len());
                drop(reader.into_inner().write_all(answer.as_bytes()));
            }
        });
        Cloud { url, pages }
    }

    fn says(&self, path: &str, page: &str) {
        self.pages.lock().unwrap().insert(path.to_owned(), page.to_owned());
    }
}

/// Before the notice nothing is stopped; after it all is, in order. What else was run.
fn drains(name: &str, cloud: &Cloud, notice: (&str, &str)) -> String {
    let scratch = Scratch::new(name);
    for program in ["systemctl", "aws"] {
        scratch.write(
            program,
            &format!("#!/bin/sh\necho {program} \"$@\" >>'{}'\n", scratch.at("ran").display()),
        );
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(scratch.at(program), mode).unwrap();
    }
    let path = format!("{}:{}", scratch.at("").display(), std::env::var("PATH").unwrap());
    let mut hook = Command::new(packaging().join("lifecycle/edge-terminating"));
    hook.env("PATH", path).env("EDGE_METADATA", &cloud.url).env("EDGE_INTERVAL", "0.1");
    let log = fs::File::create(scratch.at("log")).unwrap();
    let mut child = hook.env("EDGE_HOOK", "drain").stdout(log).spawn().unwrap();
    let log = || fs::read_to_string(scratch.at("log")).unwrap();
    for _ in 0..200 {
        if log().contains("looks for notices") {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    std::thread::park_timeout(Duration::from_millis(500));
    assert!(log().contains(&format!("notices of {name}")), "{}", log());
    assert!(!scratch.at("ran").exists() && child.try_wait().unwrap().is_none());
    cloud.says(notice.0, notice.1);
    assert!(child.wait().unwrap().success());
    let ran = fs::read_to_string(scratch.at("ran")).unwrap();
    let stops = "systemctl stop edge-agent.service\nsystemctl stop edge-gateway.service\n";
    let more = ran.strip_prefix(stops);
    more.unwrap_or_else(|| panic!("{ran}\n{}", log())).to_owned()
}

#[test]
fn a_machine_of_a_scaling_group_drains_before_it_goes() {
    tools();
    let cloud = Cloud::new("X-aws-ec2-metadata-token: t0k");
    cloud.says("/latest/api/token", "t0k");
    let data = "/latest/meta-data";
    cloud.says(&format!("{data}/autoscaling/target-lifecycle-state"), "InService");
    cloud.says(&format!("{data}/instance-id"), "i-0abc");
    cloud.says(&format!("{data}/placement/region"), "eu-central-1");
    cloud.says(&format!("{data}/tags/instance/aws:autoscaling:groupName"), "edge");
    let notice = format!("{data}/autoscaling/target-lifecycle-state");
    let more = drains("aws", &cloud, (&notice, "Terminated"));
    assert!(more.starts_with("aws autoscaling complete-lifecycle-action"), "{more}");
    for part in ["hook-name drain", "group-name edge", "i-0abc", "eu-central-1"] {
        assert!(more.contains(part), "{more}");
    }

    let cloud = Cloud::new("Metadata-Flavor: Google");
    let instance = "/computeMetadata/v1/instance";
    cloud.says(&format!("{instance}/id"), "42");
    cloud.says(&format!("{instance}/preempted"), "FALSE");
    assert_eq!(drains("gcp", &cloud, (&format!("{instance}/preempted"), "TRUE")), "");

    let cloud = Cloud::new("Metadata: true");
    let events = "/metadata/scheduledevents?api-version=2020-07-01";
    cloud.says(events, r#"{"Events":[]}"#);
    let notice = r#"{"Events":[{"EventType":"Terminate"}]}"#;
    assert_eq!(drains("azure", &cloud, (events, notice)), "");
}
