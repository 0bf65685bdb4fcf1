//! A controller and nodes in a folder of their own.
#![allow(dead_code, reason = "each test uses a part")]

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

pub(crate) struct Fleet {
    pub(crate) folder: PathBuf,
    controller: Option<Child>,
    address: String,
    token: String,
    /// Where it is kept.
    store: String,
    /// Controllers that share it.
    others: Vec<Other>,
}

/// Another controller.
struct Other {
    child: Child,
    address: String,
}

/// A node whose gateway is a stand-in.
pub(crate) struct Node {
    folder: PathBuf,
    agent: Child,
}

/// A gateway's program as far as agents run it.
const PROGRAM: &str = "#!/bin/sh\n[ \"$1\" = version ] && echo pilotlight 0.1.0\nexit 0\n";
const MANIFEST: &str = r#"
[gateway]
admin = "unix:run/admin.sock"
[[listeners]]
address = "127.0.0.1:0"
[[routes]]
match = { path = "/*" }
filters = ["hello"]
respond = { status = 200, body = "no filter\n" }
[filters.hello]
lua = "filters/hello.lua"
"#;

/// A rollout in two waves, as quick as one may be.
pub(crate) const ROLLOUT: &str = r#"
kind = "rollout"
target = 'role == "pop"'
pace = { start = "6000/min", max_unavailable = "50%" }
gate = { probation = "1s", soak = "3s" }
[[waves]]
name = "canary"
pick = { count = 1 }
[[waves]]
name = "rest"
pick = "rest"
[[abort]]
kind = "any"
nodes = 1
do = "revert"
"#;

impl Fleet {
    pub(crate) fn new(name: &str) -> Fleet {
        Fleet::on(name, "sqlite:controller.db")
    }

    /// One whose controller is kept there.
    pub(crate) fn on(name: &str, store: &str) -> Fleet {
        let folder = std::env::temp_dir().join(format!("edge-fleet-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        let (address, store) = ("127.0.0.1:0".to_owned(), store.to_owned());
        let (controller, token, others) = (None, String::new(), Vec::new());
        let mut fleet = Fleet { folder, controller, address, token, store, others };
        let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        fleet.write("fleet.pem", &key.cert.pem());
        fleet.write("fleet.key", &key.signing_key.serialize_pem());
        fleet.authority();
        fleet.write("pilotlight", PROGRAM);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(fleet.folder.join("pilotlight"), mode).unwrap();
        fleet.write("pilotlight.toml", MANIFEST);
        assert_eq!(fleet.run(&["keys", "new", "release"]).0, 0);
        assert_eq!(fleet.run(&["keys", "new", "thief"]).0, 0);
        fleet.start();
        let (code, said) = fleet.run(&["token", "new", "nodes", "--role", "enrol"]);
        assert_eq!(code, 0, "{said}");
        fleet.write("enrol.token", &said);
        fleet
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        common::write(&self.folder.join(name), text);
    }

    /// Starts the controller, where it was before.
    pub(crate) fn start(&mut self) {
        let (child, address, mut lines) = self.serve("controller", &self.address);
        self.address = address;
        let second = lines.next().unwrap().unwrap();
        if self.token.is_empty() {
            self.token = second.rsplit_once(' ').unwrap().1.to_owned();
        }
        self.controller = Some(child);
    }

    /// Starts another one on the same store: where it is.
    pub(crate) fn join(&mut self, name: &str) -> String {
        let (child, address, _) = self.serve(name, "127.0.0.1:0");
        self.others.push(Other { child, address: address.clone() });
        format!("https://{address}")
    }

    fn serve(&self, name: &str, address: &str) -> (Child, String, Lines<BufReader<ChildStdout>>) {
        self.write(
            &format!("{name}.toml"),
            &format!(
                "kind = \"controller\"\naddress = \"{address}\"\nsources = [\"content\"]\ntrust = [\"release.pub\"]\n\
                 store = \"{}\"\nfleet = \"fleet.toml\"\n\
                 tls = {{ certificate = \"fleet.pem\", key = \"fleet.key\", clients = \"clients.pem\" }}\n",
                self.store
            ),
        );
        if !self.folder.join("fleet.toml").is_file() {
            self.write("fleet.toml", "kind = \"fleet\"\n");
        }
        let log = fs::File::create(self.folder.join(format!("{name}.log"))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge-deploy"));
        command.arg("serve").arg(format!("{name}.toml"));
        command.current_dir(&self.folder).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(Ok(first)) = lines.next() else {
            let said = fs::read_to_string(self.folder.join(format!("{name}.log")));
            panic!("no controller: {said:?}");
        };
        let address = first.strip_prefix("listening on https://").unwrap().to_owned();
        (child, address, lines)
    }

    /// The controller reads its files again.
    pub(crate) fn hang_up(&self) {
        let pid = self.controller.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }

    /// What the controller has complained of.
    pub(crate) fn complaints(&self) -> String {
        fs::read_to_string(self.folder.join("controller.log")).unwrap_or_default()
    }

    /// All controllers, as commands and nodes take them.
    pub(crate) fn urls(&self) -> Vec<String> {
        let others = self.others.iter().map(|other| format!("https://{}", other.address));
        others.chain([format!("https://{}", self.address)]).collect()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.controller.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge-deploy"));
        command.args(arguments).current_dir(&self.folder);
        command.env("EDGE_DEPLOY_CONTROLLER", self.urls().join(","));
        command.env("EDGE_DEPLOY_TOKEN", &self.token).env("EDGE_DEPLOY_CA", "fleet.pem");
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let (status, body) = self.get_from(&format!("https://{}", self.address), path);
        assert_eq!(status, 200, "{body}");
        body
    }

    /// What one of the controllers answers.
    pub(crate) fn get_from(&self, url: &str, path: &str) -> (u16, String) {
        let settings = pilotlight_content::Settings {
            ca: Some(fs::read(self.folder.join("fleet.pem")).unwrap()),
            ..Default::default()
        };
        let token = Some(self.token.clone());
        let second = Duration::from_secs(10);
        let api = pilotlight_content::api::Api::new(url, &settings, token, second).unwrap();
        match api.call("GET", path, None) {
            Ok((status, body)) => (status, String::from_utf8(body).unwrap()),
            Err(error) => (0, error.to_string()),
        }
    }

    /// What the one who leads says; nothing while nobody does.
    fn ask(&self, arguments: &[&str]) -> Value {
        let (code, said) = self.run(&[arguments, &["--json"]].concat());
        if matches!(code, 0 | 3 | 4) { serde_json::from_str(&said).unwrap() } else { Value::Null }
    }

    pub(crate) fn status(&self) -> Value {
        self.ask(&["status"])
    }

    pub(crate) fn inventory(&self) -> Vec<Value> {
        self.ask(&["nodes"]).as_array().cloned().unwrap_or_default()
    }

    /// Packs a release with this filter, signed by whom the nodes trust.
    pub(crate) fn pack(&self, version: &str, filter: &str) {
        self.signed(version, filter, "release.key");
    }

    /// And by somebody else.
    pub(crate) fn forge(&self, version: &str, filter: &str) {
        self.signed(version, filter, "thief.key");
    }

    fn signed(&self, version: &str, filter: &str, key: &str) {
        self.write("filters/hello.lua", &format!("{filter}\n-- {version}\nreturn {{}}\n"));
        self.write(
            "release.toml",
            &format!(
                "kind = \"release\"\nname = \"edge\"\nversion = \"{version}\"\ngateway = \"pilotlight.toml\"\n"
            ),
        );
        let (code, said) =
            self.run(&["pack", "--key", key, "-o", "content", "--gateway", "pilotlight"]);
        assert_eq!(code, 0, "{said}");
    }

    pub(crate) fn rollout(&self, version: &str, text: &str) {
        self.write("rollout.toml", &format!("release = \"edge@{version}\"\n{text}"));
    }

    /// Plans and applies.
    pub(crate) fn begin(&self, version: &str, text: &str) {
        self.rollout(version, text);
        let (code, said) = self.run(&["plan", "rollout.toml", "--json"]);
        assert_eq!(code, 0, "{said}");
        let told: Value = serde_json::from_str(&said).unwrap();
        let digest = told["digest"].as_str().unwrap();
        let (code, said) = self.run(&["apply", "rollout.toml", "--plan", digest]);
        assert_eq!(code, 0, "{said}");
    }

    /// An authority, and a certificate that says who `c1` is.
    fn authority(&self) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        self.write("clients.pem", &ca.pem());
        let issuer = rcgen::Issuer::from_params(&params, &key);
        let own = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["c1".to_owned()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&own, &issuer).unwrap();
        self.write("c1.pem", &format!("{}{}", certificate.pem(), own.serialize_pem()));
    }

    /// Runs a node's agent until it has nothing to do, as a timer would.
    pub(crate) fn once(&self, id: &str) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge-deploy"));
        command.args(["agent", "node.toml", "--once"]).current_dir(self.folder.join(id));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    pub(crate) fn node(&self, id: &str) -> Node {
        self.node_of(id, &self.urls().join("\", \""))
    }

    /// A node of this controller.
    pub(crate) fn node_of(&self, id: &str, controller: &str) -> Node {
        let folder = self.prepare(id, controller, "token = \"../enrol.token\"");
        let log = fs::File::create(folder.join("agent.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge-deploy"));
        command.args(["agent", "node.toml"]).current_dir(&folder).stdin(Stdio::null());
        let agent = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Node { folder, agent }
    }

    /// A node that has a gateway, and whose agent a timer runs; a certificate says who it is.
    pub(crate) fn timed(&self, id: &str) -> PathBuf {
        let controller = format!("https://{}", self.address);
        self.prepare(id, &controller, &format!("identity = \"../{id}.pem\""))
    }

    fn prepare(&self, id: &str, controller: &str, admits: &str) -> PathBuf {
        let folder = self.folder.join(id);
        self.write(
            &format!("{id}/node.toml"),
            &format!(
                "kind = \"node\"\nid = \"{id}\"\nlabels = {{ role = \"pop\" }}\n\
                 controllers = [\"{controller}\"]\nca = \"../fleet.pem\"\n{admits}\n\
                 sources = [\"../content\"]\ntrust = [\"../release.pub\"]\n\
                 gateway = {{ admin = \"unix:run/admin.sock\", program = \"../pilotlight\" }}\n\
                 store = {{ dir = \"state\", keep = 3, reserve = \"1MiB\" }}\n"
            ),
        );
        fs::create_dir_all(folder.join("run")).unwrap();
        let listener = UnixListener::bind(folder.join("run/admin.sock")).unwrap();
        let of = folder.clone();
        std::thread::spawn(move || stand_in(&listener, &of));
        folder
    }

    pub(crate) fn until(&self, what: &str, is: impl Fn() -> bool) {
        let log = |path: &str| fs::read_to_string(self.folder.join(path)).unwrap_or_default();
        common::until(what, is, || {
            format!("{}\n{}\n{}", self.complaints(), log("n1/agent.log"), self.run(&["status"]).1)
        });
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let others = self.others.drain(..).map(|other| other.child);
        for mut child in others.chain(self.controller.take()) {
            drop(child.kill());
            drop(child.wait());
        }
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

impl Node {
    /// What the agent has committed, as it says.
    pub(crate) fn runs(&self) -> String {
        let text = fs::read(self.folder.join("state/status.json")).unwrap_or_default();
        let status: Value = serde_json::from_slice(&text).unwrap_or_default();
        status["runs"].as_str().unwrap_or("null").to_owned()
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }

    /// Whether its gateway has ever loaded this version.
    pub(crate) fn loaded(&self, version: &str) -> bool {
        let log = fs::read_to_string(self.folder.join("loaded")).unwrap_or_default();
        log.contains(&format!("-- {version}\n"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.agent.kill());
        drop(self.agent.wait());
    }
}

/// A gateway's admin interface: a filter that says so fails at each request.
fn stand_in(listener: &UnixListener, node: &Path) {
    let filter = || fs::read_to_string(node.join("state/current/filters/hello.lua"));
    let mut runs = String::new();
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        let mut bytes = [0; 1024];
        let read = stream.read(&mut bytes).unwrap_or(0);
        let asked = String::from_utf8_lossy(&bytes[..read]).into_owned();
        let body = if asked.starts_with("POST /reload") {
            runs = filter().unwrap_or_default();
            let log = fs::OpenOptions::new().create(true).append(true).open(node.join("loaded"));
            drop(log.and_then(|mut log| log.write_all(runs.as_bytes())));
            "{}".to_owned()
        } else if asked.starts_with("GET /metrics") {
            let failed = if runs.contains("CRASH") { 50 } else { 0 };
            format!(
                "pilotlight_requests_total{{status=\"200\"}} 100\npilotlight_filter_errors_total{{kind=\"script\"}} {failed}\n"
            )
        } else {
            "ready\n".to_owned()
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        drop(stream.write_all(format!("{head}{body}").as_bytes()));
    }
}
