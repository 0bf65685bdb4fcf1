//! From what the manifest says to what is started: a program, where it listens, and what ends it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_config::manifest::{Endpoint, Launch, Listens, Ready};

use super::app::Settings;
use crate::clock;

/// Tries to find a port that no instance has been given.
const TRIES: usize = 64;

/// Ports and paths that instances have.
#[derive(Default)]
pub(super) struct Places {
    ports: RefCell<BTreeSet<u16>>,
    /// For sockets; made when one is needed, and nobody else's.
    folder: RefCell<Option<PathBuf>>,
    next: Cell<u64>,
}

/// All that one start needs.
pub(super) struct Launched {
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) dir: PathBuf,
    pub(super) passed: Option<OwnedFd>,
    /// Where it says that it is ready.
    pub(super) mailbox: Option<UnixDatagram>,
    /// What ends it, where that is no signal.
    pub(super) stop: Option<Vec<String>>,
    pub(super) endpoint: Arc<Endpoint>,
    /// The port that was picked for it, at which nobody else may listen.
    pub(super) port: Option<u16>,
    places: Rc<Places>,
    /// To be removed when it has ended.
    files: Vec<PathBuf>,
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.port.map(|port| self.places.ports.borrow_mut().remove(&port));
        self.files.iter().for_each(|file| drop(fs::remove_file(file)));
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.folder.take().map(fs::remove_dir_all);
    }
}

impl Launched {
    /// # Errors
    /// No port, or no socket.
    pub(super) fn new(
        places: &Rc<Places>,
        settings: &Settings,
        name: &str,
    ) -> io::Result<Launched> {
        let meant = &settings.meant;
        let mut launched = Launched {
            argv: Vec::new(),
            env: Vec::new(),
            dir: PathBuf::from("/"),
            passed: None,
            mailbox: None,
            stop: None,
            endpoint: Arc::new(at_port(0)),
            port: None,
            places: places.clone(),
            files: Vec::new(),
        };
        let mut socket = None;
        match (meant.listens, &settings.endpoint) {
            (Listens::Port, _) => launched.port = Some(places.port()?),
            (Listens::Socket, _) => {
                let path = places.path("sock")?;
                launched.endpoint = Arc::new(at_path(path.clone()));
                socket = Some(path.to_string_lossy().into_owned());
                launched.files.push(path);
            }
            (Listens::Passed, _) => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                launched.endpoint = Arc::new(at_port(listener.local_addr()?.port()));
                launched.passed = Some(listener.into());
            }
            (Listens::Endpoint, Some(endpoint)) => launched.endpoint = Arc::new(endpoint.clone()),
            (Listens::Endpoint, None) => return Err(io::ErrorKind::AddrNotAvailable.into()),
        }
        if let Some(port) = launched.port {
            launched.endpoint = Arc::new(at_port(port));
        }
        let port = launched.port.map(|port| port.to_string()).unwrap_or_default();
        let socket = socket.unwrap_or_default();
        let put = |text: &str| text.replace(Launch::PORT, &port).replace(Launch::SOCKET, &socket);
        launched.command(settings, name, put);
        if meant.ready == Ready::Notify {
            let path = places.path("notify")?;
            let mailbox = UnixDatagram::bind(&path)?;
            mailbox.set_nonblocking(true)?;
            launched.env.push(("NOTIFY_SOCKET".into(), path.to_string_lossy().into_owned()));
            launched.mailbox = Some(mailbox);
            launched.files.push(path);
        }
        Ok(launched)
    }

    fn command(&mut self, settings: &Settings, name: &str, put: impl Fn(&str) -> String) {
        let meant = &settings.meant;
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let grace = whole_seconds(meant.stop_timeout);
        match &meant.launch {
            Launch::Command { argv, env, dir } => {
                self.argv = argv.iter().map(|word| put(word)).collect();
                self.env = env.iter().map(|(name, value)| (name.clone(), put(value))).collect();
                self.dir.clone_from(dir);
            }
            // It stays as long as the unit does; so do the others with their containers.
            Launch::Unit(unit) => {
                let unit = put(unit);
                self.argv = words(&["systemctl", "start", "--wait", &unit]);
                self.stop = Some(words(&["systemctl", "stop", &unit]));
            }
            Launch::Container(container) => {
                self.argv = words(&["podman", "start", "--attach", container]);
                self.stop = Some(words(&["podman", "stop", "--time", &grace, container]));
            }
            Launch::Image { image, port, args, runtime } => {
                let publish = format!("127.0.0.1:{}:{port}", put(Launch::PORT));
                let mut argv = runtime.clone();
                argv.extend::<Vec<_>>(words(&[
                    "run",
                    "--rm",
                    "--name",
                    name,
                    "--publish",
                    &publish,
                ]));
                let limits = &meant.limits;
                let cpus =
                    std::thread::available_parallelism().map_or(1.0, |cpus| cpus.get() as f64);
                let all = [
                    ("--memory", limits.memory.map(|bytes| bytes.to_string())),
                    ("--cpus", limits.cpu.map(|share| format!("{:.3}", share * cpus))),
                    ("--pids-limit", limits.processes.map(|most| most.to_string())),
                ];
                for (flag, value) in all {
                    argv.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
                }
                argv.extend(args.iter().cloned());
                argv.push(image.clone());
                self.argv = argv;
                let stop: Vec<String> = words(&["stop", "--time", &grace, name]);
                self.stop = Some(runtime.iter().cloned().chain(stop).collect());
            }
        }
    }
}

fn whole_seconds(time: Duration) -> String {
    time.as_secs_f64().ceil().to_string()
}

impl Places {
    /// A port that is free, and was not given to an instance that does not listen yet.
    fn port(&self) -> io::Result<u16> {
        for _ in 0..TRIES {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if self.ports.borrow_mut().insert(port) {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// The path of a new socket: short, since there is room for 107 bytes only.
    fn path(&self, kind: &str) -> io::Result<PathBuf> {
        let number = self.next.get();
        self.next.set(number + 1);
        let mut folder = self.folder.borrow_mut();
        let folder = match &*folder {
            Some(folder) => folder,
            None => folder.insert(private(&std::env::temp_dir())?),
        };
        Ok(folder.join(format!("{number}.{kind}")))
    }
}

/// A new folder that is ours alone.
fn private(below: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    clock::random(&mut random);
    let folder = below.join(format!("pilotlight-{:016x}", u64::from_ne_bytes(random)));
    DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

fn at_port(port: u16) -> Endpoint {
    let host = Ipv4Addr::LOCALHOST.to_string();
    Endpoint {
        place: Default::default(),
        tls: false,
        host,
        port,
        unix: None,
        weight: 1,
        lookup: Default::default(),
    }
}

fn at_path(path: PathBuf) -> Endpoint {
    let host = path.to_string_lossy().into_owned();
    Endpoint { host, unix: Some(path), ..at_port(0) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests;
