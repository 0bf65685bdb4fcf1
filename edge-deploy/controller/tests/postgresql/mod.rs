//! A PostgreSQL of Debian's, with a database of its own, for as long as a test.
#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) struct Server {
    programs: PathBuf,
    pub(crate) folder: PathBuf,
    port: u16,
}

impl Server {
    /// Of the newest version that is installed.
    pub(crate) fn start(name: &str) -> Server {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let programs = versions.filter_map(Result::ok).map(|version| version.path().join("bin"));
        let programs = programs.filter(|path| path.join("initdb").is_file()).max();
        let programs =
            programs.unwrap_or_else(|| panic!("no PostgreSQL here: tools/postgresql gets it"));
        let folder = std::env::temp_dir().join(format!("edge-pg-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Server { programs, folder, port };
        server.own(&server.folder);
        let data = server.data();
        server.run("initdb", &["-D", &data, "-A", "trust", "-U", "fleet", "--no-sync"]);
        server.go("start", "-c listen_addresses=");
        server
    }

    /// From now on by TCP too, where it wants TLS: with a certificate for `localhost`, whose file is `ca.pem`.
    pub(crate) fn secure(&self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(self.folder.join("ca.pem"), made.cert.pem()).unwrap();
        let key = self.folder.join("server.key");
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        self.own(&key);
        let rules = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
        fs::write(self.folder.join("data/pg_hba.conf"), rules).unwrap();
        let folder = self.folder.display();
        self.go(
            "restart",
            &format!("-c listen_addresses=127.0.0.1 -c ssl=on -c ssl_cert_file={folder}/ca.pem -c ssl_key_file={folder}/server.key"),
        );
    }

    /// Its processes die at once, and it starts again.
    pub(crate) fn crash(&self) {
        let data = self.data();
        self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "restart"]);
    }

    fn go(&self, verb: &str, more: &str) {
        let folder = self.folder.display();
        let options = format!("-k {folder} -p {} -c fsync=off {more}", self.port);
        let (data, log) = (self.data(), format!("{folder}/log"));
        self.run("pg_ctl", &["-D", &data, "-l", &log, "-o", &options, "-m", "fast", "-w", verb]);
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    /// It refuses to run as root.
    fn own(&self, path: &Path) {
        if is_root() {
            let status = Command::new("chown").arg("postgres").arg(path).status().unwrap();
            assert!(status.success());
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.programs.join(program);
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(path);
                command
            }
            false => Command::new(path),
        };
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{program}: {status}");
    }

    /// By its socket.
    pub(crate) fn url(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://fleet@{folder}:{}/postgres", self.port)
    }

    /// By TCP.
    pub(crate) fn at(&self, host: &str, query: &str) -> String {
        format!("postgres://fleet@{host}:{}/postgres?{query}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data();
        self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]);
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}
