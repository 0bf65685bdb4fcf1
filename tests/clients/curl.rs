//! curl over HTTP/1.1 and HTTP/2, in clear text and over TLS.

use tokio::process::Command;

use crate::support::gateway::Setup;
use crate::support::{Gateway, Script, Upstream, certificate, run, soon};

/// Each way to reach the gateway: flags, and the version that curl must have spoken.
const WAYS: &[(&str, &[&str], &str)] = &[
    ("http", &["--http1.0"], "1"),
    ("http", &["--http1.1"], "1.1"),
    ("http", &["--http2-prior-knowledge"], "2"),
    ("https", &["--http1.1"], "1.1"),
    ("https", &["--http2"], "2"),
    ("https", &["--http2", "--tlsv1.2", "--tls-max", "1.2"], "2"),
];

async fn gateway(upstream: &Upstream) -> Gateway {
    let rest = format!(
        r#"
[[routes]]
match = {{ path = "/files/*" }}
files = "www"
[[routes]]
match = {{ path = "/*" }}
upstream = "app"
[upstreams.app]
endpoints = ["http://{}"]
"#,
        upstream.address
    );
    let setup = Setup::new(rest).file("www/large.bin", vec![b'x'; 3 << 20]);
    let gateway = setup.start().await;
    gateway.folder.write("ca.pem", certificate::authority_pem());
    gateway
}

/// What curl wrote to its standard output.
async fn curl(gateway: &Gateway, way: (&str, &[&str], &str), path: &str, more: &[&str]) -> String {
    let (scheme, flags, version) = way;
    let address = if scheme == "http" { gateway.clear } else { gateway.tls };
    let port = address.port();
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
        .arg(gateway.folder.path().join("ca.pem"));
    command.arg("--connect-to").arg(format!("a.test:{port}:{}:{port}", address.ip()));
    command
        .args(["--write-out", "\n%{http_version} %{http_code} %{size_download}"])
        .args(flags)
        .args(more);
    command.arg(format!("{scheme}://a.test:{port}{path}"));
    let output = soon("curl", command.output()).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scheme} {flags:?} {path}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (text, spoken) = text.rsplit_once('\n').unwrap();
    let (spoken, rest) = spoken.split_once(' ').unwrap();
    // A client of 1.0 may be answered in 1.1.
    assert!(spoken.starts_with(version), "{scheme} {flags:?}: spoke {spoken}");
    format!("{rest}\n{text}")
}

#[test]
fn gets() {
    run(async {
        let upstream = Upstream::always(Script::ok("hello")).await;
        let gateway = gateway(&upstream).await;
        for way in WAYS {
            assert_eq!(curl(&gateway, *way, "/x?y=1", &[]).await, "200 5\nhello", "{way:?}");
        }
        assert_eq!(upstream.count(), WAYS.len());
    });
}

#[test]
fn posts_and_uploads() {
    run(async {
        let upstream = Upstream::always(Script::ok("taken")).await;
        let gateway = gateway(&upstream).await;
        let file = gateway.folder.write("up.bin", vec![b'u'; 2 << 20]);
        for way in WAYS {
            assert_eq!(curl(&gateway, *way, "/form", &["--data", "a=1&b=2"]).await, "200 5\ntaken");
            let upload = ["--upload-file", file.to_str().unwrap()];
            assert_eq!(curl(&gateway, *way, "/put", &upload).await, "200 5\ntaken");
        }
        for pair in upstream.requests().chunks(2) {
            assert_eq!(pair[0].body, b"a=1&b=2");
            assert_eq!(pair[0].field("content-type"), Some("application/x-www-form-urlencoded"));
            assert_eq!(pair[1].length, 2 << 20);
            assert!(pair[1].whole);
        }
    });
}

#[test]
fn heads_ranges_and_resumes() {
    run(async {
        let upstream = Upstream::always(Script::ok("hello")).await;
        let gateway = gateway(&upstream).await;
        for way in WAYS {
            let head = curl(&gateway, *way, "/files/large.bin", &["--head"]).await;
            assert!(head.to_ascii_lowercase().contains("content-length: 3145728"), "{head}");
            let part = curl(&gateway, *way, "/files/large.bin", &["--range", "10-14"]).await;
            assert_eq!(part, "206 5\nxxxxx");
            let whole = curl(&gateway, *way, "/files/large.bin", &[]).await;
            assert!(whole.starts_with("200 3145728\n"), "{}", &whole[..20]);
        }
    });
}

#[test]
fn several_on_one_connection() {
    run(async {
        let upstream = Upstream::always(Script::ok("hello")).await;
        let gateway = gateway(&upstream).await;
        // Before 8.0 curl sends the preface again on a connection that it reuses by prior knowledge.
        for way in WAYS.iter().filter(|way| way.1 != ["--http2-prior-knowledge"]) {
            let url = format!(
                "{}://a.test:{}/second",
                way.0,
                if way.0 == "http" { gateway.clear } else { gateway.tls }.port()
            );
            let both = curl(&gateway, *way, "/first", &["--url", &url]).await;
            assert!(both.matches("hello").count() == 2, "{both}");
        }
    });
}
