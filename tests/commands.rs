//! The commands that ask a running gateway, and the admin interface that answers them.

use std::process::{Command, Output};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::gateway::{Gateway, Setup, binary};
use crate::support::run;

const BROKEN: &str = "\n[surprise]\nx = 1\n";

async fn start() -> Gateway {
    let mut setup = Setup::new("[[routes]]\nrespond = { body = \"x\" }\n");
    setup.gateway = "admin = \"unix:admin.sock\"".into();
    setup.start().await
}

async fn pilotlight(gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(gateway.folder.path());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The gateway is found and answers, whatever became of the file since.
#[test]
fn a_broken_manifest_does_not_hide_the_gateway() {
    run(async {
        let mut gateway = start().await;
        let whole = std::fs::read_to_string(gateway.folder.path().join("pilotlight.toml")).unwrap();
        for broken in [format!("{whole}{BROKEN}"), format!("{whole}\n[[")] {
            gateway.folder.write("pilotlight.toml", broken);
            let reload = pilotlight(&gateway, &["reload"]).await;
            assert_eq!(reload.status.code(), Some(2), "{reload:?}");
            assert!(said(&reload.stderr).contains("pilotlight.toml:"), "{reload:?}");
            let status = pilotlight(&gateway, &["status"]).await;
            assert_eq!(status.status.code(), Some(0), "{status:?}");
            let text = said(&status.stdout);
            assert!(
                text.contains("serving") && text.contains("failed: pilotlight.toml:"),
                "{text}"
            );
            let json = pilotlight(&gateway, &["status", "--json"]).await;
            let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
            assert_eq!(
                (&json["generation"], &json["last_reload"]["result"]),
                (&1.into(), &"failed".into())
            );
        }
        let drain = pilotlight(&gateway, &["drain"]).await;
        assert_eq!(drain.status.code(), Some(0), "{drain:?}");
        assert_eq!(gateway.left().await.code(), Some(0));
    });
}

const COMMANDS: [&str; 11] = [
    "run", "check", "reload", "drain", "status", "compile", "import", "schema", "version", "test",
    "new",
];

#[test]
fn each_command_has_help() {
    for command in COMMANDS {
        let help = Command::new(binary()).args([command, "--help"]).output().unwrap();
        assert_eq!(help.status.code(), Some(0), "{help:?}");
        assert!(said(&help.stdout).contains("usage: pilotlight"), "{help:?}");
    }
}

/// Probes ask by HEAD, and what a page takes is said.
#[test]
fn the_admin_interface_knows_its_methods() {
    run(async {
        let gateway = start().await;
        for (request, answer) in [
            ("HEAD /livez", "HTTP/1.1 200"),
            ("HEAD /metrics", "HTTP/1.1 200"),
            ("PUT /status", "allow: GET, HEAD"),
            ("GET /reload", "allow: POST"),
        ] {
            let socket = gateway.folder.path().join("admin.sock");
            let mut client = tokio::net::UnixStream::connect(socket).await.unwrap();
            let head = format!("{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).await.unwrap();
            assert!(text.contains(answer), "{request}: {text}");
            assert!(!request.starts_with("HEAD") || text.ends_with("\r\n\r\n"), "{text}");
        }
    });
}
