//! An application for the gateway to start: this very program, told by its environment what it is to do.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::FromRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A manifest's `command` and `env`: where it listens, what it is to do, more variables.
pub fn command(at: &str, modes: &str, more: &[(&str, &str)]) -> String {
    let this = std::env::current_exe().unwrap();
    let mut env = vec![("APPLICATION", modes), ("AT", at)];
    env.extend_from_slice(more);
    let env: Vec<String> = env.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
    format!(
        "command = [{this:?}, \"--exact\", \"activate::application::serves\", \"--nocapture\"], env = {{ {} }}",
        env.join(", ")
    )
}

/// It is no test: without the variable it has nothing to do.
#[test]
fn serves() {
    let Ok(modes) = std::env::var("APPLICATION") else { return };
    let modes: BTreeSet<&str> = modes.split(' ').collect();
    let at = std::env::var("AT").unwrap();
    if modes.contains("stubborn") {
        // SAFETY: it ignores a signal.
        unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    }
    if modes.contains("child") {
        std::thread::spawn(|| Command::new("sleep").arg("1000").status().unwrap());
    }
    if modes.contains("strangers") {
        let this = std::env::current_exe().unwrap();
        let script = format!(
            "APPLICATION=stranger setsid {this:?} --exact activate::application::serves --nocapture &"
        );
        Command::new("sh").args(["-c", &script]).status().unwrap();
        std::thread::sleep(Duration::from_secs(1000));
    }
    println!("here is {}", std::process::id());
    pause("DELAY");
    if modes.contains("dies") || modes.contains("mishap") && is_first() {
        eprintln!("this is the end");
        std::process::exit(3);
    }
    if modes.contains("never") {
        std::thread::sleep(Duration::from_secs(1000));
    }
    // Another's place instead of its own.
    let at = std::env::var("TAKES").unwrap_or(at);
    if at == "passed" {
        assert_eq!(std::env::var("LISTEN_PID").unwrap(), std::process::id().to_string());
        assert_eq!(std::env::var("LISTEN_FDS").unwrap(), "1");
        // SAFETY: the descriptor is ours: whoever started us has passed it on.
        let listener = unsafe { TcpListener::from_raw_fd(3) };
        each(|| listener.accept().unwrap().0, &modes);
    } else if at.starts_with('/') {
        let listener = UnixListener::bind(&at).unwrap();
        each(|| listener.accept().unwrap().0, &modes);
    } else {
        let listener = TcpListener::bind(("127.0.0.1", at.parse().unwrap())).unwrap();
        if let Ok(mailbox) = std::env::var("NOTIFY_SOCKET") {
            pause("WARM");
            let manager = UnixDatagram::unbound().unwrap();
            manager.send_to(b"STATUS=warm\nREADY=1\n", mailbox).unwrap();
        }
        each(|| listener.accept().unwrap().0, &modes);
    }
}

fn pause(variable: &str) {
    let millis = std::env::var(variable).map_or(0, |text| text.parse().unwrap());
    std::thread::sleep(Duration::from_millis(millis));
}

/// The first of all that share the folder.
fn is_first() -> bool {
    std::fs::File::create_new("been-here").is_ok()
}

fn each<S: Read + Write + Send + 'static>(mut accept: impl FnMut() -> S, modes: &BTreeSet<&str>) {
    // Answers until it hangs.
    let hangs = modes.contains("hangs");
    static ASKED: AtomicU32 = AtomicU32::new(0);
    loop {
        let stream = accept();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            while let Some(path) = next(&mut stream) {
                if hangs && (path != "/health" || ASKED.load(Ordering::Relaxed) > 0) {
                    ASKED.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_secs(1000));
                }
                let body = answer(&path);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                if stream.get_mut().write_all((head + &body).as_bytes()).is_err() {
                    return;
                }
            }
        });
    }
}

/// The path of the next request.
fn next(stream: &mut impl BufRead) -> Option<String> {
    let mut path = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => return path,
            line if path.is_none() => path = Some(line.split(' ').nth(1)?.to_owned()),
            _ => {}
        }
    }
}

fn answer(path: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    match path {
        "/pid" => std::process::id().to_string(),
        "/count" => COUNT.fetch_add(1, Ordering::SeqCst).to_string(),
        "/crash" => std::process::abort(),
        "/leave" => std::process::exit(0),
        "/fds" => {
            let fds = std::fs::read_dir("/proc/self/fd").unwrap();
            let links = fds.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
            let links: Vec<String> = links.map(|to| to.to_string_lossy().into_owned()).collect();
            links.join("\n")
        }
        "/slow" => {
            std::thread::sleep(Duration::from_millis(600));
            "slow".into()
        }
        other => other.into(),
    }
}
