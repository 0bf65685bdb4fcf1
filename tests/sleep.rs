//! A gateway that goes to sleep and comes back: nobody loses a request, nothing is left over.

mod cycles;
mod faults;
mod known;
mod manager;
mod state;

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::gateway::{Setup, binary};
use crate::support::message::{ALL, Client, ask};
use crate::support::{Answer, Gateway, Request, free_address, h1, run, soon};
use crate::tcp;

const ROUTES: &str = "[[routes]]\nmatch = { path = \"/fixed\" }\nrespond = { body = \"here\" }\n\
    [[routes]]\nfilters = [\"f\"]\nrespond = { body = \"filtered\" }\n[filters.f]\nlua = \"f.lua\"\n";
const FILTER: &str =
    "local f = {}\nfunction f.request(req)\n  req.headers['x-seen'] = '1'\nend\nreturn f\n";

/// A gateway that sleeps after a moment; more for `[gateway]`.
fn sleeper(more: &str) -> Setup {
    let mut setup = Setup::new(ROUTES).file("f.lua", FILTER).quiet();
    setup.gateway = format!("idle = {{ sleep = \"100ms\", health_path = \"/healthz\" }}\n{more}");
    setup
}

/// One that stays awake long enough to be hit.
fn lasting() -> Setup {
    let mut setup = sleeper("");
    setup.gateway = setup.gateway.replace("100ms", "1s");
    setup
}

/// Waits until the process is its parked form.
pub async fn asleep(gateway: &Gateway) {
    let look = async {
        while !is_parked(gateway.pid()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("sleep", look).await;
}

/// The parked form has one thread, and says so in its environment. Who turns says so a moment before,
/// with workers that still serve.
fn is_parked(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    if threads.map_or(0, Iterator::count) != 1 {
        return false;
    }
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|b| *b == 0).any(|entry| entry.starts_with(b"PILOTLIGHT_SLEEP=p"))
}

/// A process that ends with its test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// A field of `smaps_rollup`, in bytes.
fn memory(pid: u32, field: &str) -> u64 {
    let page = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = page.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// How often its threads were taken off a processor: each time they run they are.
fn switches(pid: u32) -> u64 {
    let of_one = |thread: std::fs::DirEntry| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        let counts = lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>());
        counts.map(Result::unwrap).sum::<u64>()
    };
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().map(of_one).sum()
}

/// Asks a plain address for a path, on a connection of its own.
async fn plain(address: SocketAddr, path: &str) -> Answer {
    let mut client = h1::Client::connect(address).await;
    client.send(&Request::get(path).field("connection", "close")).await
}

#[test]
fn every_protocol_wakes_it() {
    run(async {
        let gateway = sleeper("workers = 2").start().await;
        let pid = gateway.pid();
        for (round, protocol) in ALL.into_iter().cycle().take(6).enumerate() {
            asleep(&gateway).await;
            let path = ["/fixed", "/filtered"][round % 2];
            let answer = ask(protocol, &gateway, &Request::get(path)).await;
            answer.assert(200);
            assert!(!is_parked(pid), "{}", protocol.name());
        }
        gateway.logged(&["\"awake\"", "\"reason\":\"connection\""]).await.unwrap();
        gateway.logged(&["\"awake\"", "\"reason\":\"datagram\""]).await.unwrap();
    });
}

#[test]
fn asleep_it_is_small_and_quiet() {
    run(async {
        let gateway = sleeper("").start().await;
        asleep(&gateway).await;
        let pid = gateway.pid();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let before = switches(pid);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(switches(pid), before);
        let (pss, dirty) = (memory(pid, "Pss:"), memory(pid, "Private_Dirty:"));
        println!("parked: proportional {} KiB, dirty {} KiB", pss >> 10, dirty >> 10);
        // A dev build has more constants to relocate, and only says its size.
        if !binary().components().any(|part| part.as_os_str() == "debug") {
            assert!(pss < 512 << 10, "{pss}");
        }
    });
}

/// Also while clients keep their connections, and until the time at which it would trim and sleep.
#[test]
fn awake_and_quiet_it_wakes_up_once_a_second_at_most() {
    const SECONDS: u64 = 8;
    run(async {
        let mut setup = sleeper("workers = 2");
        setup.gateway = setup.gateway.replace("100ms", "60s\", trim = \"50s");
        let gateway = setup.start().await;
        let mut clients = Vec::new();
        for protocol in ALL {
            let mut client = Client::connect(protocol, &gateway, "a.test").await;
            client.send(&Request::get("/filtered")).await.assert(200);
            clients.push(client);
        }
        // It gives its memory back in steps.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let before = switches(gateway.pid());
        tokio::time::sleep(Duration::from_secs(SECONDS)).await;
        let count = switches(gateway.pid()) - before;
        println!("{count} wake-ups in {SECONDS} s");
        assert!(count <= SECONDS, "{count}");
        for mut client in clients {
            client.send(&Request::get("/fixed")).await.assert(200);
        }
    });
}

#[test]
fn probes_and_scans_do_not_wake_it() {
    run(async {
        let admin = free_address();
        let gateway = sleeper(&format!("admin = \"{admin}\"")).start().await;
        // Awake, a probe is answered, too, and is no work.
        assert_eq!(plain(gateway.clear, "/healthz").await.assert(200).text(), "ok\n");
        asleep(&gateway).await;
        assert_eq!(plain(gateway.clear, "/healthz").await.assert(200).text(), "ok\n");
        assert_eq!(plain(admin, "/livez").await.assert(200).text(), "ok\n");
        let status = plain(admin, "/status").await.assert(200).text();
        assert!(status.contains("\"state\":\"asleep\""), "{status}");
        let page = plain(admin, "/metrics").await.assert(200).text();
        assert!(page.contains("pilotlight_sleeps_total 1"), "{page}");
        for address in [gateway.clear, gateway.tls] {
            // It connects and leaves, or waits a while.
            drop(tokio::net::TcpStream::connect(address).await.unwrap());
            let waiting = tokio::net::TcpStream::connect(address).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(waiting);
        }
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        // Too short; no long header.
        udp.send_to(&[0xc0; 600], gateway.tls).unwrap();
        udp.send_to(&[0x40; 1250], gateway.tls).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(is_parked(gateway.pid()));
        // The admin interface wakes it for what it can't say asleep.
        plain(admin, "/dashboard").await.assert(404);
        assert!(!is_parked(gateway.pid()));
        gateway.logged(&["\"awake\"", "\"reason\":\"admin\""]).await.unwrap();
        let page = plain(admin, "/metrics").await.assert(200).text();
        assert!(page.contains("pilotlight_wakes_total{reason=\"admin\"} 1"), "{page}");
        assert!(page.contains("pilotlight_wake_seconds_count 1"), "{page}");
    });
}

#[test]
fn an_open_connection_keeps_it_awake() {
    run(async {
        let gateway = sleeper("").start().await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.send(&Request::get("/fixed")).await.assert(200);
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(!is_parked(gateway.pid()));
        client.send(&Request::get("/fixed")).await.assert(200);
        drop(client);
        asleep(&gateway).await;
    });
}

#[test]
fn tasks_of_scripts_keep_it_awake() {
    run(async {
        let script = "gateway.every(3600, function() end)\n".to_owned() + FILTER;
        let gateway = sleeper("").file("f.lua", script).start().await;
        ask(ALL[0], &gateway, &Request::get("/filtered")).await.assert(200);
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(!is_parked(gateway.pid()));
    });
}

#[test]
fn signals_reach_the_parked_form() {
    run(async {
        let mut gateway = sleeper("").start().await;
        for signal in [libc::SIGHUP, libc::SIGUSR2] {
            asleep(&gateway).await;
            let lines = gateway.log().len();
            gateway.signal(signal);
            gateway.logged_after(lines, &["\"awake\"", "\"reason\":\"signal\""]).await.unwrap();
        }
        asleep(&gateway).await;
        gateway.signal(libc::SIGTERM);
        assert!(gateway.left().await.success());
    });
}

/// Where the server may be the first to speak, nobody waits for the client to.
#[test]
fn a_silent_connection_without_http_wakes_it() {
    run(async {
        let upstream = tcp::serve(|mut stream| async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 welcome\r\n").await;
        });
        let (upstream, at) = (upstream.await, free_address());
        let mut setup = tcp::setup(at, "", &[upstream], "");
        setup.gateway = sleeper("").gateway;
        let gateway = setup.start().await;
        for _ in 0..2 {
            asleep(&gateway).await;
            let mut client = tcp::connect(at).await;
            tcp::hear(&mut client, "220 welcome\r\n").await;
        }
        asleep(&gateway).await;
        // A request for what only HTTP's listeners have probes for goes to the upstream.
        let mut client = tcp::connect(at).await;
        tcp::say(&mut client, "GET /healthz HTTP/1.1\r\n\r\n").await;
        tcp::hear(&mut client, "220 welcome\r\n").await;
    });
}

#[test]
fn a_trim_drops_vms_and_leaves_connections_open() {
    run(async {
        let counting = "local n = 0\nreturn { request = function() n = n + 1\n\
            return { body = tostring(n) } end }";
        let mut setup = sleeper("").file("f.lua", counting);
        let admin = free_address();
        setup.gateway = format!("idle = {{ trim = \"200ms\" }}\nadmin = \"{admin}\"");
        let gateway = setup.start().await;
        let mut client = h1::Client::connect(gateway.clear).await;
        for count in ["1", "2"] {
            assert_eq!(client.send(&Request::get("/n")).await.assert(200).text(), count);
        }
        gateway.logged(&["\"trimmed\"", "\"reason\":\"idle\""]).await.unwrap();
        assert!(plain(admin, "/metrics").await.text().contains("pilotlight_trims_total 1"));
        // The same connection, and a new VM.
        assert_eq!(client.send(&Request::get("/n")).await.assert(200).text(), "1");
    });
}
