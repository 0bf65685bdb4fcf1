//! Promises that are numbers. In the dev profile some of them only inform.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::gateway::{Setup, binary};
use crate::support::message::{ALL, ask};
use crate::support::upstream::Step;
use crate::support::{Request, Script, Upstream, full, h1, run, soon};

const MIB: u64 = 1 << 20;

/// A filter in each engine that looks at heads alone, and one of them twice.
fn idle_filters(upstream: &Upstream) -> Setup {
    let rest = format!(
        r#"
[[routes]]
filters = ["a", "b", "c"]
upstream = "app"
[filters.a]
lua = "a.lua"
[filters.b]
wasm = "b.wasm"
[filters.c]
lua = "a.lua"
[upstreams.app]
endpoints = ["http://{}"]
"#,
        upstream.address
    );
    let module = format!(
        "(module {} (func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) (i32.const 0)))",
        include_str!("cases/prelude.wat")
    );
    Setup::new(rest)
        .file("a.lua", "return { request = function(req) req.headers['x-seen'] = '1' end }")
        .file("b.wasm", wat::parse_str(module).unwrap())
        .quiet()
}

/// 10 GiB (1 GiB unless the suite is full) through three filters that do not read it: less than 2 MiB more.
#[test]
fn a_body_that_no_filter_reads_takes_no_memory() {
    run(async {
        let bytes = if full() { 10 << 30 } else { 1u64 << 30 };
        let head = |n: u64| format!("HTTP/1.1 200 OK\r\ncontent-length: {n}\r\n\r\n");
        let upstream = Upstream::start(vec![Script::raw(head(MIB)).then(Step::Fill(MIB))]).await;
        let gateway = idle_filters(&upstream).start().await;
        let mut client = tokio::net::TcpStream::connect(gateway.clear).await.unwrap();
        // Warm: code, pools and buffers are there.
        download(&mut client, MIB, || {}).await;
        let before = gateway.resident();
        upstream.reset(vec![Script::raw(head(bytes)).then(Step::Fill(bytes))]);
        let mut most = before;
        download(&mut client, bytes, || most = most.max(gateway.resident())).await;
        let added = most.saturating_sub(before);
        eprintln!(
            "{} MiB through three filters: {} KiB added to {} KiB",
            bytes / MIB,
            added >> 10,
            before >> 10
        );
        assert!(added < 2 * MIB, "{added} bytes added");
    });
}

async fn download(client: &mut tokio::net::TcpStream, bytes: u64, mut look: impl FnMut()) {
    client.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await.unwrap();
    let mut buffer = vec![0; 256 * 1024];
    let (mut left, mut head) = (bytes, Vec::new());
    let mut reads = 0;
    while left > 0 {
        let read = client.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the download broke off with {left} bytes to come");
        let mut body = read;
        if !head.ends_with(b"\r\n\r\n") {
            let at = head.len();
            head.extend_from_slice(&buffer[..read]);
            match head.windows(4).position(|w| w == b"\r\n\r\n") {
                None => continue,
                Some(end) => {
                    head.truncate(end + 4);
                    body = read - (end + 4 - at);
                }
            }
        }
        left -= body as u64;
        reads += 1;
        if reads % 64 == 0 {
            look();
        }
    }
    look();
}

/// What a route's manifest, its place in the router and its metrics may take, each once.
const ROUTE: u64 = 20 << 10;

/// Scripts are held once a worker, however many routes use them: a thousand routes over twenty scripts
/// are one route with twenty, and what a route itself takes.
#[test]
fn routes_share_their_scripts() {
    run(async {
        let one = with_routes(1).await;
        let many = with_routes(1000).await;
        eprintln!(
            "20 scripts, 2 workers: {} KiB with a route, {} KiB with 1,000",
            one >> 10,
            many >> 10
        );
        let added = many.saturating_sub(one);
        assert!(added < 999 * ROUTE, "{} bytes a route", added / 999);
    });
}

/// Resident after each route was used a few times on each of two workers.
async fn with_routes(count: usize) -> u64 {
    let mut setup = Setup { gateway: "workers = 2".into(), ..Setup::default() }.quiet();
    for script in 0..20 {
        setup.rest.push_str(&format!(
            "[filters.native{script}]\nlua = \"native{script}.lua\"\n\
             [filters.ngx{script}]\nopenresty = {{ access = \"ngx{script}.lua\" }}\n"
        ));
        let table = "local t = {} for n = 1, 500 do t[n] = { n = n, s = 'x' .. n } end\n";
        let native = "return { request = function(req) req.headers['x-a'] = t[1].s end }";
        let ngx = "ngx.req.set_header('x-b', t[2].s) ngx.ctx.t = t";
        setup = setup
            .file(&format!("native{script}.lua"), format!("{table}{native}"))
            .file(&format!("ngx{script}.lua"), format!("{table}{ngx}"));
    }
    for route in 0..count {
        // With one route, all twenty are its own: the same scripts are at work.
        let scripts = if count == 1 { 0..20 } else { route % 20..route % 20 + 1 };
        let filters: Vec<String> = scripts.map(|n| format!("\"native{n}\", \"ngx{n}\"")).collect();
        setup.rest.push_str(&format!(
            "[[routes]]\nmatch = {{ path = \"/{route}\" }}\nfilters = [{}]\nrespond = {{ body = \"ok\" }}\n",
            filters.join(", ")
        ));
    }
    let gateway = setup.start().await;
    // Connections of both workers: the kernel spreads them.
    for _ in 0..16 {
        let mut client = h1::Client::connect(gateway.clear).await;
        for route in (0..1000).step_by(7) {
            client.send(&Request::get(&format!("/{}", route % count))).await.assert(200);
        }
    }
    gateway.resident()
}

/// Connections of the burst.
const BURST: usize = 64;

/// After a burst the worker falls idle and gives back what it took: heap and code. It still serves.
#[test]
fn an_idle_worker_gives_memory_back() {
    run(async {
        let upstream = Upstream::always(Script::ok(&"x".repeat(64 << 10))).await;
        let gateway = idle_filters(&upstream).start().await;
        let mut clients = Vec::new();
        for _ in 0..BURST {
            let mut client = h1::Client::connect(gateway.clear).await;
            client.send(&Request::get("/")).await.assert(200);
            clients.push(client);
        }
        let peak = gateway.resident();
        drop(clients);
        let given_back = async {
            while gateway.resident() > peak / 4 * 3 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon("memory goes back", given_back).await;
        eprintln!("{} KiB at work, {} KiB idle", peak >> 10, gateway.resident() >> 10);
        ask(ALL[0], &gateway, &Request::get("/")).await.assert(200);
    });
}

/// Stripped, with everything: under 16 MiB. A dev build only says its size.
#[test]
fn the_binary_is_small() {
    let size = std::fs::metadata(binary()).unwrap().len();
    eprintln!("the binary is {} KiB", size >> 10);
    if binary().components().any(|c| c.as_os_str() == "release") {
        assert!(size < 16 * MIB, "{size} bytes");
    }
}
