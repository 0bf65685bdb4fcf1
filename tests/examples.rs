//! The examples with a README do what it says: their manifests serve, their tests pass.

use std::path::Path;
use std::process::Command;

use crate::support::gateway::{Setup, binary, cache};
use crate::support::message::{Answer, Protocol, ask};
use crate::support::{Folder, Gateway, Request, free_address, run};
use crate::tcp;
use crate::tidy::root;

/// What only builds need.
const SOURCES: [&str; 6] = ["src", "assembly", "node_modules", "target", "var", ".cargo"];

/// Addresses in the examples' manifests: of all, and of an upstream.
const ADDRESS: &str = "127.0.0.1:8080";
const UPSTREAM: &str = "127.0.0.1:9000";

/// An example in a folder of its own, on another port; its tests have passed.
async fn serve(name: &str) -> Gateway {
    serve_before(name, UPSTREAM).await
}

/// The same before an upstream.
async fn serve_before(name: &str, upstream: &str) -> Gateway {
    let (folder, address) = (Folder::new(), free_address());
    copy(&root().join("examples").join(name), folder.path());
    let manifest = std::fs::read_to_string(folder.path().join("pilotlight.toml")).unwrap();
    let manifest = manifest.replace(ADDRESS, &address.to_string()).replace(UPSTREAM, upstream);
    let cache = format!("cache_dir = {:?}", cache().to_str().unwrap());
    folder.write("pilotlight.toml", manifest.replace("cache_dir = \"var/cache\"", &cache));
    // Filters of connections have none: `pilotlight test` knows requests.
    let mut files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
    let is_tested = files.any(|file| file.file_name().to_string_lossy().ends_with("_test.lua"));
    let commands: &[&str] = if is_tested { &["check", "test"] } else { &["check"] };
    // `check` compiles what `run` then finds, in however long this build's compiler takes.
    for command in commands {
        let done = Command::new(binary()).arg(command).current_dir(folder.path()).output().unwrap();
        let said = [done.stdout, done.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
        assert_eq!(done.status.code(), Some(0), "{name}: pilotlight {command}\n{}", said.concat());
    }
    Gateway::serve(folder, address, address).await
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if SOURCES.iter().any(|folder| name == **folder) {
            continue;
        }
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => drop(std::fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

async fn get(gateway: &Gateway, target: &str) -> Answer {
    ask(Protocol::H1, gateway, &Request::get(target)).await
}

#[test]
fn personal_data_stays_inside() {
    run(async {
        let gateway = serve("redact-json").await;
        let answer = get(&gateway, "/people.json").await;
        let text = answer.assert(200).text();
        for secret in ["ann.lee", "bob@", "+41", "Hill"] {
            assert!(!text.contains(secret), "{text}");
        }
        let people: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&people[1]["address"], &people[0]["name"]), (&"***".into(), &"Ann Lee".into()));
    });
}

#[test]
fn pictures_fit_into_what_is_asked_for() {
    run(async {
        let gateway = serve("resize-image").await;
        let whole = get(&gateway, "/lamp.jpg").await;
        assert_eq!(whole.assert(200).field("x-picture"), None);
        let small = get(&gateway, "/lamp.jpg?w=160").await;
        let told = small.assert(200).field("x-picture").unwrap();
        assert!(told.starts_with("jpg 160x"), "{told}");
        assert!(small.body.starts_with(b"\xff\xd8") && small.body.len() < whole.body.len() / 4);
    });
}

#[test]
fn documents_fit_their_schema() {
    run(async {
        let orders = root().join("examples/validate-json/orders.lua");
        let routes = "[[routes]]\nmatch = { path = \"/*\" }\nlua = \"orders.lua\"\n";
        let setup = Setup::new(routes).file("orders.lua", std::fs::read(orders).unwrap());
        let upstream = setup.start().await;
        let gateway = serve_before("validate-json", &upstream.clear.to_string()).await;
        let send = async |body: &'static str| {
            let request = Request::new("POST", "/").field("content-type", "application/json");
            ask(Protocol::H1, &gateway, &request.body(body)).await
        };
        let ordered = send(r#"{"name": "Ann", "seats": [3, 4]}"#).await;
        assert_eq!(ordered.assert(201).text(), "2 seats for Ann\n");
        let refused = send(r#"{"name": "Ann", "seats": [0]}"#).await;
        assert!(refused.assert(422).text().contains(r#""at":"/seats/0""#), "{}", refused.text());
    });
}

#[test]
fn pages_are_rewritten() {
    run(async {
        let gateway = serve("rewrite-html").await;
        let text = get(&gateway, "/index.html").await.assert(200).text();
        assert!(text.contains("https://lamps.example/new"), "{text}");
        assert!(text.contains("loading=\"lazy\"") && !text.contains("tracker"), "{text}");
        assert!(text.contains("<footer>served at the edge</footer></body>"), "{text}");
    });
}

#[test]
fn a_filter_in_assemblyscript_sets_headers() {
    run(async {
        let gateway = serve("security-headers").await;
        let answer = get(&gateway, "/").await;
        assert_eq!(answer.assert(200).field("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.field("x-powered-by"), None);
        assert_eq!(answer.field("strict-transport-security"), None);
    });
}

#[test]
fn a_filter_in_c_guards_paths() {
    run(async {
        let gateway = serve("path-guard").await;
        get(&gateway, "/shop").await.assert(200);
        get(&gateway, "/%61dmin/users").await.assert(403);
        get(&gateway, "/shop/.git/config").await.assert(403);
    });
}

#[test]
fn an_application_runs_only_while_somebody_uses_it() {
    run(async {
        let gateway = serve("sleeping-app").await;
        let first = get(&gateway, "/").await.assert(200).text();
        assert!(first.starts_with("hello from process "), "{first}");
        assert_eq!(get(&gateway, "/").await.assert(200).text(), first);
        // On a working day one stays.
        let stopped = gateway.logged(&["\"instance stopped\"", "\"reason\":\"idle\""]).await;
        assert!(stopped.is_ok() || gateway.log().iter().any(|l| l.contains("\"schedule\"")));
    });
}

#[test]
fn a_node_that_sleeps_counts_on() {
    run(async {
        let gateway = serve("sleep").await;
        assert_eq!(get(&gateway, "/").await.assert(200).field("x-visits"), Some("1"));
        gateway.logged(&["\"trimmed\""]).await.unwrap();
        crate::sleep::asleep(&gateway).await;
        assert_eq!(get(&gateway, "/healthz").await.assert(200).text(), "ok\n");
        assert_eq!(get(&gateway, "/").await.assert(200).field("x-visits"), Some("2"));
    });
}

#[test]
fn a_filter_in_c_looks_at_first_bytes() {
    run(async {
        let upstream = tcp::echo().await;
        let gateway = serve_before("first-bytes", &upstream.to_string()).await;
        let mut client = tcp::connect(gateway.clear).await;
        for piece in ["SSH-", "2.0-", "OpenSSH_9.2\r\n"] {
            tcp::say(&mut client, piece).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        tcp::hear(&mut client, "SSH-2.0-OpenSSH_9.2\r\n").await;
        let mut other = tcp::connect(gateway.clear).await;
        tcp::say(&mut other, "GET / HTTP/1.1\r\n").await;
        assert_eq!(tcp::rest(&mut other).await.unwrap(), "");
        let told = ["\"refused\":\"first bytes\"", "\"error\":\"closed_by_filter\""];
        gateway.logged(&told).await.unwrap();
    });
}

/// Each has its page, and each page is in the list of them.
#[test]
fn all_examples_are_described() {
    let list = std::fs::read_to_string(root().join("examples/README.md")).unwrap();
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            assert!(
                list.contains(&format!("]({name}/")),
                "examples/README.md does not name {name}"
            );
        }
    }
}
