//! Servers for tests: one of ours that misbehaves on demand, and Debian's registry.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;

/// How a server serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should.
    Fine,
    /// It does not know ranges.
    Whole,
    /// Bodies end after so many bytes.
    Short(usize),
    /// Bodies do not end.
    Endless,
    /// It answers everything with this status.
    Status(u16),
    /// It sends another page instead: a captive portal.
    Portal,
    /// It wants a token, which it gives to whoever asks.
    Token,
}

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A web server that takes `PUT`.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) mood: Arc<Mutex<Mood>>,
    pub(crate) files: Files,
    /// The ranges that were asked for.
    pub(crate) ranges: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn new() -> Server {
        Server::with(None)
    }

    /// With a certificate for `localhost`; its authority in PEM.
    pub(crate) fn secure() -> (Server, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        (Server::with(Some(Arc::new(config))), made.cert.pem().into_bytes())
    }

    fn with(tls: Option<Arc<rustls::ServerConfig>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            url: match tls {
                None => format!("http://{}/edge", listener.local_addr().unwrap()),
                Some(_) => {
                    format!("https://localhost:{}/edge", listener.local_addr().unwrap().port())
                }
            },
            mood: Arc::new(Mutex::new(Mood::Fine)),
            files: Files::default(),
            ranges: Arc::default(),
        };
        let (mood, files, ranges) =
            (server.mood.clone(), server.files.clone(), server.ranges.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mood, stream) = (*mood.lock().unwrap(), stream.unwrap());
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                drop(match &tls {
                    None => serve(stream, mood, &files, &ranges),
                    Some(config) => {
                        let secured = rustls::ServerConnection::new(config.clone()).unwrap();
                        let mut stream = rustls::StreamOwned::new(secured, stream);
                        let served = serve(&mut stream, mood, &files, &ranges);
                        stream.conn.send_close_notify();
                        drop(stream.flush());
                        served
                    }
                });
            }
        });
        server
    }
}

fn serve(
    stream: impl Read + Write,
    mood: Mood,
    files: &Files,
    ranges: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length, mut from) = (String::new(), 0, 0);
    let (mut host, mut leave) = (String::new(), String::new());
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    loop {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        let field = field.trim().to_ascii_lowercase();
        match field.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("host", value)) => host = value.into(),
            Some(("authorization", value)) => leave = value.into(),
            Some(("range", value)) => {
                ranges.lock().unwrap().push(value.into());
                from = value.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    // The client has said all that it will.
    let mut stream = reader.into_inner();
    let (status, extra, bytes) = match (mood, method.as_str()) {
        (Mood::Status(status), _) => (status, String::new(), Vec::new()),
        (Mood::Token, _) if path == "/token?service=edge&scope=repository:edge:pull" => {
            (200, String::new(), b"{\"token\":\"t0k\",\"expires_in\":60}".to_vec())
        }
        (Mood::Token, _) if leave != "bearer t0k" => {
            let challenge = format!(
                "www-authenticate: Bearer realm=\"http://{host}/token\",service=\"edge\",scope=\"repository:edge:pull\"\r\n"
            );
            (401, challenge, Vec::new())
        }
        (Mood::Portal, _) => (200, String::new(), b"<html>please sign in".to_vec()),
        (_, "PUT") => {
            files.lock().unwrap().insert(path, body);
            (201, String::new(), Vec::new())
        }
        (mood, _) => match files.lock().unwrap().get(&path) {
            None => (404, String::new(), Vec::new()),
            Some(bytes) if from > 0 && mood != Mood::Whole => {
                let range =
                    format!("content-range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
                (206, range, bytes[from..].to_vec())
            }
            Some(bytes) => (200, String::new(), bytes.clone()),
        },
    };
    let (length, sent) = match mood {
        Mood::Short(most) => (bytes.len(), &bytes[..bytes.len().min(most)]),
        Mood::Endless => (1 << 40, &bytes[..]),
        _ => (bytes.len(), &bytes[..]),
    };
    write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{extra}connection: close\r\n\r\n"
    )?;
    if method == "HEAD" {
        return Ok(());
    }
    stream.write_all(sent)?;
    if mood == Mood::Endless {
        // Whoever reads on is not stopped by us.
        let more = vec![b'x'; 1 << 16];
        while stream.write_all(&more).is_ok() {}
    }
    Ok(())
}

/// Debian's registry, which ends with the test.
pub(crate) struct Registry {
    child: Child,
    pub(crate) place: String,
    pub(crate) folder: PathBuf,
}

impl Registry {
    pub(crate) fn new(name: &str) -> Registry {
        Registry::with(name, "")
    }

    /// One that wants to know who it is: `edge`, with the password `secret`.
    pub(crate) fn with_password(name: &str) -> Registry {
        let users = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.htpasswd"));
        let hash = "edge:$2b$05$so10lgs8ZYj1Y8/.Z3qdKeRcayXrM.DjsBdnOQYet3DHOUaX6UxlW\n";
        std::fs::write(&users, hash).unwrap();
        let path = users.display();
        Registry::with(name, &format!("auth:\n  htpasswd:\n    realm: edge\n    path: {path}\n"))
    }

    fn with(name: &str, more: &str) -> Registry {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/registry");
        let found = Command::new(tool).output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let program = String::from_utf8(found.stdout).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n{more}",
            folder.join("data").display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new(program.trim())
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Registry { child, place: format!("oci://{address}/edge/shop"), folder };
        for _ in 0..200 {
            if TcpStream::connect(address).is_ok() {
                return registry;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        panic!("the registry does not listen on {address}");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// An object store with one bucket, which ends with the test. It checks signatures until it is told otherwise.
pub(crate) struct Bucket {
    child: Child,
    said: BufReader<ChildStdout>,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) place: String,
    /// The same, for those who only read.
    pub(crate) url: String,
}

impl Bucket {
    pub(crate) fn new(name: &str) -> Bucket {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = Command::new(here.join("../../tools/s3")).output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let python = String::from_utf8(found.stdout).unwrap();
        let mut child = Command::new(python.trim())
            .arg(here.join("tests/support/s3.py"))
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut word = || words.next().unwrap();
        let (endpoint, id, secret) = (word(), word(), word());
        let place = format!("s3://{name}/edge?endpoint={endpoint}");
        Bucket { child, said, id, secret, place, url: format!("{endpoint}/{name}/edge") }
    }

    /// From now on anybody may read.
    pub(crate) fn open(&mut self) {
        self.child.stdin.as_ref().unwrap().write_all(b"open\n").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line, "open\n");
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
