//! A node with a real gateway: a good release, one that is refused, one whose filter crashes; all from a folder, without a
//! network.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod common;
mod gateway;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gateway::gateway;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The launcher passes it on to its gateway.
        let pid = self.0.id().to_string();
        drop(Command::new("kill").args(["-TERM", &pid]).status());
        drop(self.0.wait());
    }
}

struct Node {
    folder: PathBuf,
    address: SocketAddr,
    gateway: PathBuf,
    serial: u64,
}

const MANIFEST: &str = r#"
[gateway]
admin = "unix:run/admin.sock"
workers = 1
[[listeners]]
address = "${fleet:address}"
[[routes]]
match = { path = "/*" }
filters = ["hello"]
respond = { status = 200, body = "no filter\n" }
[filters.hello]
lua = "filters/hello.lua"
config = { secret = "${secret:token}" }
"#;

impl Node {
    fn new(name: &str, gateway: PathBuf) -> Node {
        let folder =
            std::env::temp_dir().join(format!("edge-deploy-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let node = Node { folder, address, gateway, serial: 0 };
        node.write("pilotlight.toml", MANIFEST);
        node.write("secrets/token", "s3cret\n");
        node.write(
            "fleet.toml",
            &format!("kind = \"fleet\"\nvars = {{ address = \"{address}\" }}\n"),
        );
        node.write(
            "node.toml",
            &format!(
                "kind = \"node\"\nid = \"n1\"\nsources = [\"content\"]\ntrust = [\"release.pub\"]\n\
                 gateway = {{ admin = \"unix:run/admin.sock\", program = {:?} }}\n\
                 store = {{ dir = \"state\", keep = 2, reserve = \"1MiB\" }}\n\
                 safety = {{ silence = \"2s\" }}\n",
                node.gateway
            ),
        );
        assert_eq!(node.run(&["keys", "new", "release"]).0, 0);
        node
    }

    fn write(&self, name: &str, text: &str) {
        common::write(&self.folder.join(name), text);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge-deploy"));
        command.args(arguments).current_dir(&self.folder);
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    fn start(&self, what: &str) -> Running {
        let log = fs::File::create(self.folder.join(format!("{what}.log"))).unwrap();
        let mut command = self.command(&[what, "node.toml"]);
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        Running(command.spawn().unwrap())
    }

    /// Packs a release with this filter.
    fn pack(&self, version: &str, filter: &str) {
        self.write("filters/hello.lua", filter);
        self.write(
            "release.toml",
            &format!(
                "kind = \"release\"\nname = \"edge\"\nversion = \"{version}\"\n\
                 gateway = \"pilotlight.toml\"\nneeds = {{ gateway = \">=0.1\" }}\nsecrets = [\"token\"]\n"
            ),
        );
        let (code, said) = self.run(&["pack", "--key", "release.key", "-o", "content"]);
        assert_eq!(code, 0, "{said}");
    }

    /// Writes what the node should run.
    fn want(&mut self, version: &str) {
        self.serial += 1;
        let desired = format!(
            r#"{{ "serial": {}, "release": {{ "name": "edge", "version": "{version}" }}, "switch": true, "probation": 2000, "vars": {{ "address": "{}" }} }}"#,
            self.serial, self.address
        );
        self.write("desired.json.new", &desired);
        fs::rename(self.folder.join("desired.json.new"), self.folder.join("desired.json")).unwrap();
    }

    /// What a client gets: status and body, or nothing.
    fn get(&self) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let status = text.split(' ').nth(1)?.parse().ok()?;
        Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
    }

    fn status(&self) -> serde_json::Value {
        let text = fs::read(self.folder.join("state/status.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Asks again and again until it is so; `each` sees every answer.
    fn until(
        &self,
        what: &str,
        mut is: impl FnMut(&Node) -> bool,
        mut each: impl FnMut(Option<(u16, String)>),
    ) -> Duration {
        let log = |name: &str| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        let is = || {
            let is = is(self);
            if !is {
                each(self.get());
            }
            is
        };
        common::until(what, is, || {
            format!("{}\n{}\n{}", self.status(), log("agent.log"), log("launch.log"))
        })
    }

    fn runs(&self, version: &str) -> bool {
        let status = self.status();
        status["runs"] == format!("edge@{version}")
            && status["progress"]["reported"] == "Committed"
            && status["progress"]["serial"] == self.serial
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

fn says(text: &str) -> String {
    format!("return {{ request = function() return {{ status = 200, body = '{text}' }} end }}\n")
}

#[test]
fn a_node_takes_good_releases_and_goes_back_from_bad_ones() {
    let mut node = Node::new("node", gateway());
    let _launcher = node.start("launch");

    // The first release, on a node that has none, by an agent that does not stay.
    node.pack("1.0.0", &says("one"));
    node.want("1.0.0");
    let (code, said) = node.run(&["agent", "node.toml", "--once"]);
    assert!(code == 0 && said.ends_with("committed\n"), "{code} {said}");
    let agent = node.start("agent");
    node.until("the first release", |node| node.runs("1.0.0"), drop);
    let one = Some((200, "one".to_owned()));
    assert_eq!(node.get(), one);

    // A good one: not a request is lost.
    node.pack("2.0.0", &says("two"));
    node.want("2.0.0");
    let two = Some((200, "two".to_owned()));
    node.until(
        "a good release",
        |node| node.runs("2.0.0"),
        |got| {
            assert!(got == one || got == two, "{got:?}");
        },
    );
    assert_eq!(node.get(), two);

    // One whose filter does not load is refused before the switch.
    node.pack("3.0.0", "error('no')\n");
    node.want("3.0.0");
    let rejected = |node: &Node| node.status()["progress"]["reported"] == "Rejected";
    node.until("a refusal", rejected, |got| assert_eq!(got, two));
    let said = node.status()["progress"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("hello.lua"), "{said}");

    // One whose filter crashes on every request; once it is there, nothing can be fetched any more.
    node.pack("4.0.0", "return { request = function() error('boom') end }\n");
    node.want("4.0.0");
    let mut bad = None;
    node.until("a crash", |node| node.get().is_some_and(|(status, _)| status == 500), drop);
    fs::rename(node.folder.join("content"), node.folder.join("gone")).unwrap();
    let took = node.until("the way back", |node| node.get() == two, |got| bad = bad.take().or(got));
    assert!(took < Duration::from_secs(10), "{took:?}");
    println!("a crash loop was reverted after {took:?}");
    node.until("the report", |node| node.status()["denied"][1]["failure"] == "CrashLoop", drop);
    assert_eq!(bad.map(|(status, _)| status), Some(500));

    // Without an agent the gateway serves on; an agent that is there anew does not try again.
    drop(agent);
    assert_eq!(node.get(), two);
    let (code, said) = node.run(&["agent", "node.toml", "--once"]);
    assert!(code == 1 && said.contains("rolled back (crash_loop)"), "{code} {said}");
    assert_eq!(node.get(), two);
    // Back to the first by its name: from this disk.
    node.want("1.0.0");
    let (code, said) = node.run(&["agent", "node.toml", "--once"]);
    assert!(code == 0 && said.contains("committed"), "{code} {said}");
    assert_eq!(node.get(), one);
}

#[test]
fn a_gateway_that_crashes_goes_back_without_an_agent() {
    // Where a release says so, this gateway does not start; so it runs until it is killed, and then no more.
    let scratch = std::env::temp_dir().join(format!("edge-deploy-wrapped-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    let wrapper = scratch.join("pilotlight");
    let (pid, real) = (scratch.join("pid"), gateway());
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = run ]; then\n  grep -q CRASH \"$(dirname \"$2\")/filters/hello.lua\" && exit 7\n  echo $$ >{}\nfi\nexec {} \"$@\"\n",
        pid.display(),
        real.display()
    );
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut node = Node::new("crash", wrapper);
    let launcher = node.start("launch");
    let agent = node.start("agent");
    node.pack("1.0.0", &says("one"));
    node.want("1.0.0");
    node.until("the first release", |node| node.runs("1.0.0"), drop);
    let kill = |signal: &str| {
        let pid = fs::read_to_string(&pid).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    };

    // Killed, it is started again.
    let one = Some((200, "one".to_owned()));
    kill("-KILL");
    node.until("another start", |node| node.get() == one, drop);

    // On trial, without its agent, it goes back after three exits.
    node.pack("2.0.0", &format!("-- CRASH\n{}", says("two")));
    node.want("2.0.0");
    let two = Some((200, "two".to_owned()));
    node.until("the switch", |node| node.get() == two, drop);
    drop(agent);
    kill("-KILL");
    let took = node.until("the way back", |node| node.get() == one, drop);
    assert!(took < Duration::from_secs(10), "{took:?}");
    println!("a gateway that crashes was reverted after {took:?}");
    // The agent finds it so, and leaves it.
    let (code, said) = node.run(&["agent", "node.toml", "--once"]);
    assert!(code == 1 && said.contains("exit code 7"), "{code} {said}");
    assert_eq!(node.get(), one);

    // A good release whose agent is gone in the probation is not watched: back, by a reload.
    let agent = node.start("agent");
    node.pack("3.0.0", &says("three"));
    node.want("3.0.0");
    let three = Some((200, "three".to_owned()));
    node.until("the switch", |node| node.get() == three, drop);
    drop(agent);
    node.until(
        "the way back",
        |node| node.get() == one,
        |got| {
            assert!(got == one || got == three, "{got:?}");
        },
    );
    // Told to end, both do.
    drop(launcher);
    assert_eq!(node.get(), None);
    drop(fs::remove_dir_all(&scratch));
}

#[test]
fn a_first_bad_release_and_another_manifest_on_a_real_gateway() {
    let mut node = Node::new("restart", gateway());
    // Whom to trust comes from a root.
    for name in ["root", "next"] {
        assert_eq!(node.run(&["keys", "new", name]).0, 0);
    }
    let root = "keys root --root root.pub --release release.pub --key root.key -o content";
    let (code, said) = node.run(&root.split(' ').collect::<Vec<_>>());
    assert_eq!(code, 0, "{said}");
    let manifest = fs::read_to_string(node.folder.join("node.toml")).unwrap();
    node.write("root.1", "");
    fs::copy(node.folder.join("content/roots/1"), node.folder.join("root.1")).unwrap();
    let manifest = manifest.replace("release.pub", "root.1");
    node.write(
        "safe.toml",
        MANIFEST
            .replace("${fleet:address}", &node.address.to_string())
            .replace("filters = [\"hello\"]\n", "")
            .replace("no filter", "safe")
            .split("[filters")
            .next()
            .unwrap(),
    );
    node.write(
        "node.toml",
        &manifest.replace(
            "silence = \"2s\"",
            "silence = \"2s\", confirm_in = \"3s\", fallback = \"safe.toml\"",
        ),
    );
    let launcher = node.start("launch");
    let agent = node.start("agent");

    // The first release crashes at each request: it is given up, and nothing runs, as before.
    node.pack("0.9.0", "return { request = function() error('boom') end }\n");
    node.want("0.9.0");
    let failed = |node: &Node| node.status()["denied"][0]["failure"] == "CrashLoop";
    node.until("the end of a bad first release", failed, drop);
    node.until("the end of its gateway", |node| node.get().is_none(), drop);
    let (code, said) = node.run(&["quarantine"]);
    assert!(code == 0 && said.contains("crash_loop: filters failed"), "{said}");
    assert_eq!(node.run(&["quarantine", "--lift", "all"]), (0, "1 may be tried again\n".into()));

    node.pack("1.0.0", &says("one"));
    node.want("1.0.0");
    node.until("the first good release", |node| node.runs("1.0.0"), drop);
    // Its manifest is another file: the gateway is started anew, by whoever started it.
    fs::rename(node.folder.join("pilotlight.toml"), node.folder.join("moved.toml")).unwrap();
    let renamed = |node: &Node, version: &str, filter: &str| {
        node.write("pilotlight.toml", MANIFEST);
        node.pack("0.0.1", filter);
        let release = fs::read_to_string(node.folder.join("release.toml")).unwrap();
        let release = release.replace("pilotlight.toml", "moved.toml").replace("0.0.1", version);
        node.write("release.toml", &release);
        let (code, said) = node.run(&["pack", "--key", "release.key", "-o", "content"]);
        assert_eq!(code, 0, "{said}");
        fs::remove_dir_all(node.folder.join("content/releases/edge/0.0.1")).ok();
        fs::remove_file(node.folder.join("content/releases/edge/0.0.1")).ok();
    };
    renamed(&node, "2.0.0", &says("two"));
    node.want("2.0.0");
    node.until("the other manifest", |node| node.runs("2.0.0"), drop);
    assert_eq!(node.get(), Some((200, "two".to_owned())));
    assert!(node.folder.join("state/current/moved.toml").exists());
    // And back, from one that crashes, without a network.
    node.pack("3.0.0", "return { request = function() error('boom') end }\n");
    node.want("3.0.0");
    node.until("a crash", |node| node.get().is_some_and(|(status, _)| status == 500), drop);
    fs::rename(node.folder.join("content"), node.folder.join("gone")).unwrap();
    let two = Some((200, "two".to_owned()));
    let took = node.until("the way back", |node| node.get() == two, drop);
    println!("another manifest was reverted after {took:?}");
    fs::rename(node.folder.join("gone"), node.folder.join("content")).unwrap();

    // Another key signs, and nobody has touched the node.
    let rotate = "keys rotate root.1 --release next.pub --key root.key -o content";
    let (code, said) = node.run(&rotate.split(' ').collect::<Vec<_>>());
    assert_eq!(code, 0, "{said}");
    node.pack("4.0.0", &says("four"));
    let (code, said) =
        node.run(&["keys", "sign", "content/releases/edge/4.0.0", "--key", "next.key"]);
    assert_eq!((code, said.as_str()), (0, "edge@4.0.0: 2 signatures\n"));
    node.want("4.0.0");
    node.until("a release of the new key", |node| node.runs("4.0.0"), drop);
    assert_eq!(node.status()["root"]["version"], 2);
    drop((agent, launcher));
}
