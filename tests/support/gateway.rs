//! The gateway as a process: started on addresses of its own, watched by its log, ended by drop.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::watch;

use super::{Certificate, Folder, PATIENCE, ahead, free_address, soon};

/// The binary under test; built once, with the profile and target folder of the tests themselves.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(named) = std::env::var_os("PILOTLIGHT_BIN") {
            return named.into();
        }
        // target/<profile>/deps/tests-<hash>
        let this = std::env::current_exe().unwrap();
        let profile = this.ancestors().nth(2).unwrap();
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        build.args(["build", "--quiet", "-p", "pilotlight", "--target-dir"]);
        build.arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        assert!(build.status().unwrap().success(), "the gateway does not build");
        profile.join("pilotlight")
    })
}

/// Compiled modules that all gateways of this run share.
pub fn cache() -> PathBuf {
    let profile = std::env::current_exe().unwrap();
    profile.ancestors().nth(3).unwrap().join("tmp/pilotlight-tests-cache")
}

/// A gateway that serves.
pub struct Gateway {
    child: Child,
    pub folder: Folder,
    /// Clear text: HTTP/1, and HTTP/2 by prior knowledge.
    pub clear: SocketAddr,
    /// TLS: HTTP/1, HTTP/2 and HTTP/3.
    pub tls: SocketAddr,
    log: watch::Receiver<Vec<String>>,
}

/// How a gateway is started.
#[derive(Default)]
pub struct Setup {
    /// Below `[gateway]`.
    pub gateway: String,
    /// Below both listeners.
    pub listener: String,
    /// The rest of the manifest: routes, filters, upstreams.
    pub rest: String,
    /// Files beside the manifest.
    pub files: Vec<(String, Vec<u8>)>,
    /// No access log: for tests that send much.
    pub quiet: bool,
    /// A program with its arguments that runs the gateway.
    pub under: Vec<String>,
}

impl Setup {
    pub fn new(rest: impl Into<String>) -> Setup {
        Setup { rest: rest.into(), ..Setup::default() }
    }

    pub fn file(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Setup {
        self.files.push((name.to_owned(), bytes.as_ref().to_vec()));
        self
    }

    pub fn quiet(mut self) -> Setup {
        self.quiet = true;
        self
    }

    /// The manifest's text.
    pub fn manifest(&self, clear: SocketAddr, tls: SocketAddr) -> String {
        let Setup { gateway, listener, rest, quiet, .. } = self;
        let workers = if gateway.contains("workers") { "" } else { "workers = 1" };
        let drain = if gateway.contains("drain") { "" } else { "drain = \"1s\"" };
        let access = if *quiet { "off" } else { "stdout" };
        let cache = cache();
        format!(
            r#"
[gateway]
{workers}
{drain}
cache_dir = "{}"
{gateway}
[log]
access = "{access}"
level = "debug"
[[listeners]]
name = "clear"
address = "{clear}"
protocols = ["http1", "http2"]
{listener}
[[listeners]]
name = "tls"
address = "{tls}"
protocols = ["http1", "http2", "http3"]
tls = {{ certificate = "edge.pem", key = "edge.key" }}
{listener}
{rest}
"#,
            cache.display()
        )
    }

    pub async fn start(self) -> Gateway {
        let (clear, tls) = (free_address(), free_address());
        self.start_at(clear, tls).await
    }

    pub async fn start_at(self, clear: SocketAddr, tls: SocketAddr) -> Gateway {
        let folder = Folder::new();
        let certificate = Certificate::common();
        folder.write("edge.pem", &certificate.pem);
        folder.write("edge.key", &certificate.key);
        for (name, bytes) in &self.files {
            folder.write(name, bytes);
        }
        folder.write("pilotlight.toml", self.manifest(clear, tls));
        Gateway::serve_under(&self.under, folder, clear, tls).await
    }
}

impl Gateway {
    /// Serves the manifest of a folder, whose listeners have these addresses.
    pub async fn serve(folder: Folder, clear: SocketAddr, tls: SocketAddr) -> Gateway {
        Gateway::serve_under(&[], folder, clear, tls).await
    }

    async fn serve_under(
        under: &[String],
        folder: Folder,
        clear: SocketAddr,
        tls: SocketAddr,
    ) -> Gateway {
        ahead::of_time(&folder);
        let (child, mut log) = spawn(under, folder.path());
        let ready =
            log.wait_for(|lines| lines.iter().any(|l| l.contains("\"serving\"") || l == CLOSED));
        soon("the gateway's start", ready).await.unwrap();
        let lines = log.borrow().join("\n");
        assert!(lines.contains("\"serving\""), "the gateway did not start:\n{lines}");
        Gateway { child, folder, clear, tls, log }
    }
}

/// Stands in the log when the process has closed its standard error.
const CLOSED: &str = "-- closed --";

fn spawn(under: &[String], folder: &Path) -> (Child, watch::Receiver<Vec<String>>) {
    // A program of the folder's own can be replaced.
    let own = folder.join("pilotlight");
    let program = if own.exists() { &own } else { binary() };
    let words = under.iter().map(AsRef::as_ref).chain([program.as_os_str()]);
    let words: Vec<&std::ffi::OsStr> = words.collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg("run").arg("pilotlight.toml").current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (lines, log) = watch::channel(Vec::new());
    follow(child.stdout.take().unwrap(), lines.clone(), None);
    follow(child.stderr.take().unwrap(), lines, Some(CLOSED));
    (child, log)
}

fn follow(
    from: impl Read + Send + 'static,
    to: watch::Sender<Vec<String>>,
    end: Option<&'static str>,
) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            to.send_modify(|lines| lines.push(line));
        }
        if let Some(end) = end {
            to.send_modify(|lines| lines.push(end.to_owned()));
        }
    });
}

impl Gateway {
    pub async fn start(rest: impl Into<String>) -> Gateway {
        Setup::new(rest).start().await
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it wrote so far, on both streams.
    pub fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Waits for a line that holds all of these.
    pub async fn logged(&self, parts: &[&str]) -> Result<String, String> {
        self.logged_after(0, parts).await
    }

    /// The same, past the first lines.
    pub async fn logged_after(&self, first: usize, parts: &[&str]) -> Result<String, String> {
        let mut log = self.log.clone();
        let has = |line: &String| parts.iter().all(|p| line.contains(p));
        let found = log.wait_for(|lines| lines.iter().skip(first).any(has));
        match tokio::time::timeout(*PATIENCE / 4, found).await {
            Ok(Ok(lines)) => Ok(lines.iter().skip(first).find(|l| has(l)).unwrap().clone()),
            _ => Err(format!("no line has {parts:?} in\n{}", self.log().join("\n"))),
        }
    }

    /// How many lines there are, and how many past the first hold this.
    pub fn count_after(&self, first: usize, part: &str) -> (usize, usize) {
        let lines = self.log.borrow();
        (lines.len(), lines.iter().skip(first).filter(|line| line.contains(part)).count())
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: no memory is involved; the process is our child and not yet waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Processes that it has started, or one of those, to take over.
    pub fn heirs(&self) -> Vec<u32> {
        let log = self.log();
        let begun = log.iter().filter(|line| line.contains("\"upgrade begun\""));
        let pid = |line: &String| line.split("\"pid\":\"").nth(1)?.split('"').next()?.parse().ok();
        begun.map(|line| pid(line).expect(line)).collect()
    }

    /// Waits until it has left.
    pub async fn left(&mut self) -> ExitStatus {
        let mut log = self.log.clone();
        let closed = log.wait_for(|lines| lines.iter().any(|l| l == CLOSED));
        soon("the gateway's end", closed).await.unwrap();
        self.child.wait().unwrap()
    }

    /// Proportional set size and such would need root on some systems: this is `VmRSS`, in bytes; of one that is
    /// emulated, what lies where its own mappings do, below those of the emulator.
    pub fn resident(&self) -> u64 {
        const EMULATORS: u64 = 1 << 46;
        let of = |what: &str| format!("/proc/{}/{what}", self.pid());
        let kib = |line: &str| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
        let program = std::fs::read_link(of("exe")).unwrap();
        if !program.file_name().unwrap().to_string_lossy().starts_with("qemu-") {
            let status = std::fs::read_to_string(of("status")).unwrap();
            return kib(status.lines().find(|l| l.starts_with("VmRSS:")).unwrap()) << 10;
        }
        let (mut own, mut sum) = (false, 0);
        for line in std::fs::read_to_string(of("smaps")).unwrap().lines() {
            match line.split_once('-').map(|(start, _)| u64::from_str_radix(start, 16)) {
                Some(Ok(start)) => own = start < EMULATORS,
                _ if own && line.starts_with("Rss:") => sum += kib(line),
                _ => {}
            }
        }
        sum << 10
    }

    /// What the kernel says of each of its workers, in a file of the thread's folder. Other threads may end meanwhile.
    fn workers(&self, file: &str) -> Vec<String> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let of_one = |thread: std::io::Result<std::fs::DirEntry>| {
            let folder = thread.ok()?.path();
            let name = std::fs::read_to_string(folder.join("comm")).ok()?;
            let text = std::fs::read_to_string(folder.join(file)).ok()?;
            name.starts_with("worker").then_some(text)
        };
        threads.filter_map(of_one).collect()
    }

    /// CPU time of its workers so far.
    pub fn worker_cpu(&self) -> Duration {
        let of_one = |text: String| text.split(' ').next()?.parse::<u64>().ok();
        Duration::from_nanos(self.workers("schedstat").into_iter().filter_map(of_one).sum())
    }

    /// Waits until its workers wait, too: they have done what there was to do.
    pub async fn rests(&self) {
        let waits = |stat: &String| stat.contains(") S ");
        let all = async {
            while !self.workers("stat").iter().all(waits) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("a rest", all).await;
    }

    /// Still there: not crashed.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for heir in self.heirs() {
            // Only one of ours: numbers are given again.
            if std::fs::read_link(format!("/proc/{heir}/cwd"))
                .is_ok_and(|at| at == self.folder.path())
            {
                // SAFETY: no memory is involved.
                unsafe { libc::kill(heir as i32, libc::SIGKILL) };
            }
        }
        if std::thread::panicking() {
            let lines = self.log();
            let from = lines.len().saturating_sub(40);
            eprintln!("-- the gateway's log --\n{}", lines[from..].join("\n"));
        }
    }
}
