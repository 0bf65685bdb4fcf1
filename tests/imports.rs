//! `pilotlight import`: what it writes is checked, runs, and does what the source says.

use std::net::SocketAddr;
use std::process::{Command, Output};

use crate::support::gateway::{Gateway, binary};
use crate::support::message::{Protocol, ask};
use crate::support::{Answer, Certificate, Folder, Request, Script, Upstream, free_address, run};

fn pilotlight(folder: &Folder, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).current_dir(folder.path()).output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Imports a file and checks what comes of it; what is left to do.
fn imported(folder: &Folder, file: &str, more: &[&str]) -> Vec<String> {
    let arguments = [&["import", file, "-o", "edge", "--format", "json"], more].concat();
    let import = pilotlight(folder, &arguments);
    assert_eq!(import.status.code(), Some(0), "{import:?}");
    let told: serde_json::Value = serde_json::from_slice(&import.stdout).unwrap();
    let notes = told["notes"].as_array().unwrap().iter();
    notes.map(|note| format!("{}: {}", note["line"], note["message"].as_str().unwrap())).collect()
}

fn checked(folder: &Folder) {
    let check = pilotlight(folder, &["check", "edge/pilotlight.toml"]);
    let manifest = folder.path().join("edge/pilotlight.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    assert_eq!(check.status.code(), Some(0), "{}\n{manifest}", said(&check.stderr));
}

/// The gateway of the manifest in `edge`, moved to the folder's top.
async fn serve(folder: Folder, clear: SocketAddr, tls: SocketAddr) -> Gateway {
    let manifest = std::fs::read_to_string(folder.path().join("edge/pilotlight.toml")).unwrap();
    folder.write("pilotlight.toml", manifest.replace("\"lua/", "\"edge/lua/"));
    Gateway::serve(folder, clear, tls).await
}

async fn get(gateway: &Gateway, target: &str) -> Answer {
    ask(Protocol::H1, gateway, &Request::get(target)).await
}

const NGINX: &str = r#"
worker_processes 1;
events { worker_connections 1024; }
http {
  include mime.types;
  lua_package_path "$prefix/lualib/?.lua;;";
  lua_shared_dict counts 1m;
  init_by_lua_block { require("words").started = true }
  map $arg_color $shade { default dark; ~^(red|blue)$ "a $1"; white light; }
  upstream app { server UPSTREAM weight=2; server UPSTREAM; keepalive 8; }
  upstream picked {
    server 0.0.0.1;
    balancer_by_lua_block {
      local host, port = ("UPSTREAM"):match("^(.*):(.*)$")
      assert(require("ngx.balancer").set_current_peer(host, tonumber(port)))
    }
  }
  server {
    listen CLEAR default_server;
    server_name _;
    root html;
    add_header X-Edge yes always;
    rewrite ^/moved/(.*)$ /api/$1 permanent;
    if ($arg_stop) { return 403 "stopped\n"; }
    include locations/*.conf;
    location = /hello { content_by_lua_block { ngx.say(require("words").hello, " ", (ngx.shared.counts:incr("n", 1, 0))) } }
    location /api/ {
      set $who "";
      access_by_lua_block {
        if not ngx.var.http_x_key then return ngx.exit(401) end
        ngx.var.who = "key " .. ngx.var.http_x_key
      }
      proxy_set_header X-Who $who;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Cookie "";
      proxy_pass http://app/v2/;
    }
    location /picked { proxy_pass http://picked; proxy_set_header Host $host; }
    location ~ ^/items/(\d+)/(?<part>\w+)$ { proxy_pass http://app/i?id=$1&part=$part; }
    location ^~ /items/7/ { return 200 "strong\n"; }
    location /a/ { rewrite ^/a/(\w+)$ /b/?q=$1 last; return 404; }
    location /b/ { return 200 "b $args\n"; }
    location /shade { return 200 "$shade\n"; }
    location /admin { deny 127.0.0.0/8; allow all; return 200; proxy_pass http://app; }
    location /closed { deny 127.0.0.0/8; allow all; proxy_pass http://app; }
    location /asked { auth_request /auth; auth_request_set $user $upstream_http_x_user; proxy_set_header X-User $user; proxy_pass http://app; }
    location = /auth { internal; content_by_lua_block { ngx.header["X-User"] = "u1" ngx.exit(ngx.var.http_x_in and 200 or 403) } }
    location /files/ { alias www/; try_files $uri @gone; }
    location @gone { return 404 "gone\n"; }
    location = /missing { error_page 404 = /b/; return 404; }
    location / { try_files $uri $uri/ /index.html; }
  }
  server {
    listen CLEAR;
    server_name other.test;
    location = / { return 200 "other\n"; }
  }
}
"#;

#[test]
fn nginx_becomes_a_gateway() {
    run(async {
        let upstream = Upstream::always(Script::ok("up")).await;
        let (clear, tls) = (free_address(), free_address());
        let folder = Folder::new();
        let text = NGINX
            .replace("UPSTREAM", &upstream.address.to_string())
            .replace("CLEAR", &clear.to_string());
        folder.write("conf/nginx.conf", text);
        folder.write("conf/locations/a.conf", "location = /included { return 200 included; }\n");
        folder.write("lualib/words.lua", "return { hello = 'hello' }\n");
        folder.write("html/index.html", "index\n");
        folder.write("html/page.html", "page\n");
        folder.write("www/file.txt", "file\n");
        let notes = imported(&folder, "conf/nginx.conf", &[]);
        assert!(notes.is_empty(), "{notes:?}");
        checked(&folder);
        let gateway = serve(folder, clear, tls).await;

        for (target, status, body) in [
            ("/hello", 200, "hello 1\n"),
            ("/included", 200, "included"),
            ("/api/x", 401, ""),
            ("/hello?stop=1", 403, "stopped\n"),
            ("/items/7/x", 200, "strong\n"),
            ("/a/word?z=1", 200, "b q=word&z=1\n"),
            ("/shade?color=red", 200, "a red\n"),
            ("/shade?color=WHITE", 200, "light\n"),
            ("/shade", 200, "dark\n"),
            ("/admin", 200, ""),
            ("/closed", 403, ""),
            ("/asked", 403, ""),
            ("/files/file.txt", 200, "file\n"),
            ("/files/none.txt", 404, "gone\n"),
            ("/missing", 200, "b \n"),
            ("/page.html", 200, "page\n"),
            ("/deep/link", 200, "index\n"),
            ("/", 200, "index\n"),
        ] {
            let answer = get(&gateway, target).await;
            assert_eq!(answer.status, status, "{target}: {answer}");
            if !body.is_empty() {
                assert_eq!(answer.text(), body, "{target}: {answer}");
            }
            assert_eq!(answer.field("x-edge"), Some("yes"), "{target}: {answer}");
        }
        get(&gateway, "/auth").await.assert(404);
        let moved = get(&gateway, "/moved/x?y=1").await;
        assert_eq!(moved.status, 301, "{moved}");
        assert!(moved.field("location").unwrap().ends_with("/api/x?y=1"), "{moved}");
        assert_eq!(upstream.count(), 0);

        let ask_with = |target: &str, name: &str, value: &str| {
            Request::get(target).field(name, value).host("a.test")
        };
        let request = ask_with("/api/x?y=1", "x-key", "k1").field("cookie", "a=b");
        ask(Protocol::H1, &gateway, &request).await.assert(200);
        ask(Protocol::H1, &gateway, &ask_with("/picked/x", "x-a", "b")).await.assert(200);
        ask(Protocol::H1, &gateway, &ask_with("/items/12/tail", "x-a", "b")).await.assert(200);
        ask(Protocol::H1, &gateway, &ask_with("/asked", "x-in", "b")).await.assert(200);
        let seen = upstream.requests();
        assert_eq!(seen[0].line, "GET /v2/x?y=1 HTTP/1.1");
        assert_eq!(seen[0].field("x-who"), Some("key k1"));
        assert_eq!(seen[0].field("host"), Some("app"));
        assert_eq!(seen[0].field("x-real-ip"), seen[0].field("x-forwarded-for"));
        assert_eq!(seen[0].field("cookie"), None);
        assert_eq!(seen[0].field("via"), None);
        assert_eq!(seen[1].line, "GET /picked/x HTTP/1.1");
        assert_eq!(seen[1].field("host"), Some("a.test"));
        assert_eq!(seen[2].line, "GET /i?id=12&part=tail HTTP/1.1");
        assert_eq!(seen[3].field("x-user"), Some("u1"));

        let other = |target: &str| Request::get(target).host("other.test");
        let answer = ask(Protocol::H1, &gateway, &other("/")).await;
        assert_eq!(answer.text(), "other\n", "{answer}");
        // The default server does not answer for it.
        ask(Protocol::H1, &gateway, &other("/page.html")).await.assert(404);
    });
}

#[test]
fn a_server_with_tls_is_one() {
    run(async {
        let (clear, tls) = (free_address(), free_address());
        let folder = Folder::new();
        let certificate = Certificate::common();
        folder.write("edge.pem", &certificate.pem);
        folder.write("edge.key", &certificate.key);
        let text = format!(
            "http {{ server {{ listen {clear}; return 301 https://$host$request_uri; }}\n\
             server {{ listen {tls} ssl http2; server_name a.test; ssl_certificate edge.pem;\n\
             ssl_certificate_key edge.key; location / {{ return 200 \"$scheme\"; }} }} }}\n"
        );
        folder.write("nginx.conf", text);
        assert!(imported(&folder, "nginx.conf", &[]).is_empty());
        checked(&folder);
        let gateway = serve(folder, clear, tls).await;
        let request = Request::get("/x?y=1").host("a.test");
        let moved = ask(Protocol::H1, &gateway, &request).await;
        assert_eq!(moved.field("location"), Some("https://a.test/x?y=1"), "{moved}");
        let answer = ask(Protocol::H2, &gateway, &request).await;
        assert_eq!(answer.text(), "https", "{answer}");
    });
}

const KONG: &str = r#"
_format_version: "3.0"
services:
- name: app
  url: http://UPSTREAM/base
  routes:
  - name: api
    paths: [/api]
  - name: kept
    paths: [/kept]
    strip_path: false
    preserve_host: true
    plugins: [{ name: mark, config: { word: route } }]
  - name: item
    paths: ["~/item/\\d+"]
    methods: [GET]
  plugins: [{ name: mark, config: { word: service } }]
- name: pool
  host: pool
  routes: [{ name: pool, hosts: [pool.test] }]
upstreams:
- name: pool
  targets: [{ target: "UPSTREAM", weight: 10 }]
routes:
- name: alone
  paths: [/alone]
plugins: [{ name: mark, config: { word: global } }]
consumers:
- username: alice
  keyauth_credentials: [{ key: "${{ env \"HOME\" }}" }]
"#;

const MARK: &str = r#"
local Mark = { PRIORITY = 5, VERSION = "0.1.0" }
function Mark:access(conf)
  if kong.request.get_header("x-stop") then return kong.response.exit(403, conf.word) end
  kong.service.request.set_header("x-word", conf.word)
end
return Mark
"#;

const SCHEMA: &str = r#"
return {
  name = "mark",
  fields = { { config = { type = "record", fields = { { word = { type = "string" } } } } } },
}
"#;

#[test]
fn kong_becomes_a_gateway() {
    run(async {
        let upstream = Upstream::always(Script::ok("up")).await;
        let (clear, tls) = (free_address(), free_address());
        let folder = Folder::new();
        folder.write("kong.yaml", KONG.replace("UPSTREAM", &upstream.address.to_string()));
        folder.write("share/kong/plugins/mark/handler.lua", MARK);
        folder.write("share/kong/plugins/mark/schema.lua", SCHEMA);
        let notes = imported(&folder, "kong.yaml", &["--prefix", "share"]);
        assert!(notes.iter().all(|note| note.contains("mark is none of Kong's own")), "{notes:?}");
        checked(&folder);
        let path = folder.path().join("edge/pilotlight.toml");
        let manifest = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, manifest.replace("[::]:8000", &clear.to_string())).unwrap();
        let gateway = serve(folder, clear, tls).await;

        let own = upstream.address.to_string();
        for (target, host, line, word, seen_host) in [
            ("/api", "a.test", "/base", "service", own.as_str()),
            ("/api/x?y=1", "a.test", "/base/x?y=1", "service", &own),
            ("/kept/x", "a.test", "/base/kept/x", "route", "a.test"),
            ("/item/17/x", "a.test", "/base/x", "service", &own),
            ("/any", "pool.test", "/any", "global", &own),
        ] {
            upstream.reset(vec![Script::ok("up")]);
            ask(Protocol::H1, &gateway, &Request::get(target).host(host)).await.assert(200);
            let seen = upstream.requests().pop().unwrap();
            assert_eq!(seen.line, format!("GET {line} HTTP/1.1"), "{target}");
            assert_eq!(seen.field("x-word"), Some(word), "{target}");
            assert_eq!(seen.field("host"), Some(seen_host), "{target}");
        }
        let stopped = Request::get("/alone").field("x-stop", "1");
        let answer = ask(Protocol::H1, &gateway, &stopped).await;
        assert_eq!((answer.status, answer.text()), (403, "global".into()), "{answer}");
        get(&gateway, "/alone").await.assert(503);
        get(&gateway, "/none").await.assert(404);
    });
}

/// Each variable that scripts find is known to the import; it tells of those that nobody sets.
#[test]
fn the_gateways_variables_are_known() {
    let table: toml::Table = include_str!("ngx/names.toml").parse().unwrap();
    let rows = table["name"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap());
    let names =
        rows.flat_map(|row| row.split(", ")).filter_map(|name| name.strip_prefix("ngx.var."));
    // Those of PROXY are always empty, and a rate limits nothing.
    let is_one = |name: &&str| {
        !name.contains(|c: char| c.is_ascii_uppercase())
            && !["proxy_protocol_addr", "proxy_protocol_port", "limit_rate"].contains(name)
    };
    let mut texts: Vec<String> = names.filter(is_one).map(|name| format!("${name}")).collect();
    assert!(texts.len() > 40, "{texts:?}");
    let families =
        ["http_a", "arg_a", "cookie_a", "sent_http_a", "upstream_http_a", "upstream_cookie_a"];
    texts.extend(families.map(|name| format!("${name}")));
    texts.push("$nobodys".to_owned());
    let folder = Folder::new();
    let text = texts.join(" ");
    folder.write(
        "nginx.conf",
        format!("http {{ server {{ listen 80; return 200 \"{text}\"; }} }}\n"),
    );
    let notes = imported(&folder, "nginx.conf", &[]);
    assert_eq!(notes, ["1: the variable $nobodys is always empty"]);
}

/// What is there stays, what is no configuration is said, and what is written is its owner's.
#[test]
fn an_import_writes_all_or_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let conf = "http { server { listen 80; location / { content_by_lua_block { ngx.say(1) } } gzip on; } }\n";
    folder.write("nginx.conf", conf);
    let out = pilotlight(&folder, &["import", "nginx.conf", "-o", "out/edge.toml"]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let text = said(&out.stderr);
    assert!(text.contains("nginx.conf:1:79: `gzip` is left out\n  -> "), "{text}");
    assert!(text.contains("out/edge.toml and 1 file: 1 thing is left to look at"), "{text}");
    assert!(folder.path().join("out/lua/nginx.conf-1.content.lua").is_file());
    let mode = std::fs::metadata(folder.path().join("out/edge.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let again = pilotlight(&folder, &["import", "nginx.conf", "-o", "out/edge.toml"]);
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    assert!(said(&again.stderr).contains("is there already"), "{again:?}");
    let forced = pilotlight(&folder, &["import", "nginx.conf", "-o", "out/edge.toml", "--force"]);
    assert_eq!(forced.status.code(), Some(0), "{forced:?}");

    let printed = pilotlight(&folder, &["import", "nginx.conf"]);
    assert!(said(&printed.stdout).contains("[[routes]]"), "{printed:?}");
    folder.write("broken.conf", "http {\n  server {");
    let broken = pilotlight(&folder, &["import", "broken.conf"]);
    assert_eq!(broken.status.code(), Some(2), "{broken:?}");
    assert!(
        said(&broken.stderr).contains("broken.conf:2:11: a block without its `}`"),
        "{broken:?}"
    );
    for (arguments, what) in [
        (&["import"][..], "import needs a file"),
        (&["import", "none.conf"], "cannot read none.conf"),
        (&["import", "nginx.conf", "--from", "apache"], "unknown kind"),
    ] {
        let out = pilotlight(&folder, arguments);
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        assert!(said(&out.stderr).contains(what), "{out:?}");
    }
}
