//! Debian's packages: contents, metadata, and what they do to a system.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::{Scratch, build, packages, packaging, programs, refused, said};

const GATEWAY: &[&str] = &[
    "/etc/pilotlight/pilotlight.toml",
    "/usr/bin/pilotlight",
    "/usr/lib/systemd/system/pilotlight-tls.socket",
    "/usr/lib/systemd/system/pilotlight.service",
    "/usr/lib/systemd/system/pilotlight.socket",
    "/usr/lib/sysusers.d/pilotlight.conf",
    "/usr/lib/tmpfiles.d/pilotlight.conf",
    "/usr/share/doc/pilotlight/changelog.gz",
    "/usr/share/doc/pilotlight/copyright",
];
const FLEET: &[&str] = &[
    "/usr/bin/edge-deploy",
    "/usr/lib/edge-deploy/edge-terminating",
    "/usr/lib/systemd/system/edge-agent-once.service",
    "/usr/lib/systemd/system/edge-agent-once.timer",
    "/usr/lib/systemd/system/edge-agent.service",
    "/usr/lib/systemd/system/edge-controller.service",
    "/usr/lib/systemd/system/edge-gateway.service",
    "/usr/lib/systemd/system/edge-terminating.service",
    "/usr/lib/sysusers.d/edge-deploy.conf",
    "/usr/lib/tmpfiles.d/edge-deploy.conf",
    "/usr/share/doc/edge-deploy/changelog.gz",
    "/usr/share/doc/edge-deploy/copyright",
    "/usr/share/doc/edge-deploy/examples/controller.toml",
    "/usr/share/doc/edge-deploy/examples/node.toml",
];

/// The files of a package; all of them are root's, and nobody else writes them.
fn contents(package: &Path) -> Vec<String> {
    let listed = said(Command::new("dpkg-deb").arg("-c").arg(package));
    let mut files = Vec::new();
    for line in listed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (mode, owner, path) = (words[0], words[1], words[5].trim_start_matches('.'));
        assert!(owner == "root/root" && &mode[8..9] == "-" && &mode[5..6] == "-", "{line}");
        if mode.starts_with('-') {
            assert_eq!(
                mode.ends_with("r-x"),
                path.contains("/bin/")
                    || path.contains("terminating") && !path.ends_with(".service"),
                "{line}"
            );
            files.push(path.to_owned());
        }
    }
    files.sort();
    files
}

fn field(package: &Path, name: &str) -> String {
    said(Command::new("dpkg-deb").arg("-f").arg(package).arg(name)).trim().to_owned()
}

#[test]
fn packages_have_what_they_should_and_nothing_else() {
    let [gateway, fleet] = packages();
    assert_eq!(contents(gateway), GATEWAY);
    assert_eq!(contents(fleet), FLEET);
    let here = said(Command::new("dpkg").arg("--print-architecture"));
    for package in [gateway, fleet] {
        assert_eq!(field(package, "Architecture"), here.trim());
        assert_eq!(field(package, "Version"), env!("CARGO_PKG_VERSION"));
        let depends = field(package, "Depends");
        assert!(depends.starts_with("libc6 (>= 2.") && depends.contains("libgcc-s1"), "{depends}");
    }
    let info = said(Command::new("dpkg-deb").arg("-I").arg(gateway).arg("conffiles"));
    assert_eq!(info.trim(), "/etc/pilotlight/pilotlight.toml");
    // The same input gives the same bytes.
    let scratch = Scratch::new("again");
    let again = build(&scratch.at("packages"));
    for (one, other) in [gateway, fleet].into_iter().zip(&again) {
        assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{} differs", one.display());
    }
}

#[test]
fn a_program_for_another_machine_is_refused() {
    let scratch = Scratch::new("machine");
    let other = match field(&packages()[0], "Architecture").as_str() {
        "arm64" => "amd64",
        _ => "arm64",
    };
    let mut build = Command::new(packaging().join("build"));
    build.args(["deb", "--arch", other, "--programs"]).arg(programs()).arg("-o");
    let why = refused(build.arg(scratch.at("packages")));
    assert!(why.contains(&format!("is not for {other}")), "{why}");
    assert!(fs::read_dir(scratch.at("packages")).unwrap().next().is_none());
}

/// A Debian system, as far as packages see one: a database of packages, users, folders.
struct System(Scratch);

impl System {
    fn new(name: &str) -> System {
        let system = System(Scratch::new(name));
        // What our packages ask for is here, and so it is there.
        let asked = ["libc6", "libgcc-s1", "systemd", "init-system-helpers"];
        let mut status = String::new();
        for package in asked {
            let known = said(Command::new("dpkg-query").args(["-s", package]));
            let plain = |line: &&str| {
                [
                    "Package:",
                    "Status:",
                    "Version:",
                    "Architecture:",
                    "Multi-Arch:",
                    "Maintainer:",
                    "Description:",
                    "Provides:",
                ]
                .iter()
                .any(|name| line.starts_with(name))
            };
            status.push_str(&known.lines().filter(plain).collect::<Vec<_>>().join("\n"));
            status.push_str("\n\n");
            let arch = said(Command::new("dpkg-query").args(["-Wf", "${Architecture}", package]));
            for name in [package.to_owned(), format!("{package}:{arch}")] {
                system.0.write(&format!("var/lib/dpkg/info/{name}.list"), "");
            }
        }
        system.0.write("var/lib/dpkg/status", &status);
        system.0.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        system.0.write("etc/group", "root:x:0:\n");
        for folder in ["var/lib/dpkg/updates", "var/lib/dpkg/triggers", "tmp"] {
            fs::create_dir_all(system.0.at(folder)).unwrap();
        }
        system
    }

    fn dpkg(&self, arguments: &[&str], files: &[&Path]) -> String {
        let mut dpkg = Command::new("dpkg");
        // Scripts know the system by DPKG_ROOT.
        dpkg.arg(format!("--root={}", self.0.at("").display()));
        dpkg.args(["--force-script-chrootless", "--force-confold"]).args(arguments).args(files);
        said(&mut dpkg)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.at(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.0.at(path).symlink_metadata().is_ok()
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.0.at(path)).unwrap().permissions().mode() & 0o7777
    }
}

#[test]
fn packages_are_installed_upgraded_and_removed() {
    let system = System::new("system");
    let [gateway, fleet] = packages();
    system.dpkg(&["--install"], &[gateway, fleet]);
    for user in ["pilotlight", "edge-deploy", "edge-controller"] {
        let users = system.read("etc/passwd");
        let line = users.lines().find(|line| line.starts_with(&format!("{user}:"))).unwrap();
        assert!(line.ends_with(":/usr/sbin/nologin"), "{line}");
    }
    for folder in ["etc/pilotlight/tls", "etc/edge-deploy/secrets", "etc/edge-deploy/tls"] {
        assert_eq!(system.mode(folder), 0o750, "{folder}");
    }
    // The gateway begins with the system; what a fleet needs is chosen by who writes its manifests.
    let wanted = "etc/systemd/system/multi-user.target.wants/pilotlight.service";
    let socket = "etc/systemd/system/sockets.target.wants/pilotlight.socket";
    assert!(system.has(wanted) && system.has(socket));
    assert!(!system.has("etc/systemd/system/multi-user.target.wants/edge-agent.service"));
    assert!(!system.has("etc/systemd/system/sockets.target.wants/pilotlight-tls.socket"));

    // What runs is what was installed.
    let program = system.0.at("usr/bin/pilotlight");
    let version = said(Command::new(&program).arg("version"));
    assert_eq!(version.trim(), format!("pilotlight {}", env!("CARGO_PKG_VERSION")));
    said(Command::new(&program).arg("check").arg(system.0.at("etc/pilotlight/pilotlight.toml")));
    said(Command::new(system.0.at("usr/bin/edge-deploy")).arg("version"));
    served(&system);

    // What an operator wrote stays at an upgrade, and what he has switched off stays off.
    let manifest = "etc/pilotlight/pilotlight.toml";
    let own = format!("# our own\n{}", system.read(manifest));
    fs::write(system.0.at(manifest), &own).unwrap();
    fs::remove_file(system.0.at(wanted)).unwrap();
    system.dpkg(&["--install"], &[gateway, fleet]);
    assert!(system.read(manifest) == own && !system.has(wanted));

    system.dpkg(&["--remove", "pilotlight", "edge-deploy"], &[]);
    assert!(!system.has("usr/bin/pilotlight") && system.has(manifest));
    system.0.write("var/lib/edge-deploy/pointer.0", "what the node runs");
    system.0.write("var/cache/pilotlight/module.cwasm", "");
    system.dpkg(&["--purge", "pilotlight", "edge-deploy"], &[]);
    assert!(!system.has(manifest) && !system.has("var/cache/pilotlight") && !system.has(socket));
    assert!(system.has("var/lib/edge-deploy/pointer.0"));
}

/// As the service manager starts it: the sockets are there before it is.
fn served(system: &System) {
    let manifest = system.read("etc/pilotlight/pilotlight.toml");
    let at = |path: &str| system.0.at(path).display().to_string();
    let manifest = manifest
        .replace("/run/pilotlight", &at("run/pilotlight"))
        .replace("/var/cache/pilotlight", &at("var/cache/pilotlight"));
    system.0.write("run/pilotlight/pilotlight.toml", &manifest);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut activate = Command::new("systemd-socket-activate");
    activate.arg(format!("--listen={address}")).arg("--fdname=http").arg(at("usr/bin/pilotlight"));
    activate.arg("run").arg(at("run/pilotlight/pilotlight.toml"));
    let log = fs::File::create(system.0.at("tmp/log")).unwrap();
    let mut child = activate.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let mut stream = (0..200).find_map(|_| {
        std::thread::park_timeout(std::time::Duration::from_millis(25));
        TcpStream::connect(address).ok()
    });
    let stream = stream.as_mut().unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    // It is the gateway by now: the same process.
    let pid = child.id().to_string();
    drop(Command::new("kill").args(["-TERM", &pid]).status());
    child.wait().unwrap();
    let log = fs::read_to_string(system.0.at("tmp/log")).unwrap();
    assert!(read.is_ok() && text.starts_with("HTTP/1.1 200"), "{text}\n{log}");
}
