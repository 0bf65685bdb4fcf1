#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::*;
use crate::manifest::*;

mod fuzz;
mod golden;
mod includes;

const MINIMAL: &str = include_str!("../../tests-data/minimal.toml");
pub(crate) const MAXIMAL: &str = include_str!("../../tests-data/maximal.toml");

/// Files by their path below `/edge`; a folder is what files are in.
pub(crate) struct Shelf(pub(crate) BTreeMap<String, String>);

impl Shelf {
    pub(crate) fn new(files: &[(&str, &str)]) -> Shelf {
        const COMMON: &[&str] = &[
            "auth.lua",
            "content.lua",
            "app.wasm",
            "filters/auth.lua",
            "filters/thumbnail.wasm",
            "modules/imaging.wasm",
            "edge.pem",
            "edge.key",
            "shop.pem",
            "shop.key",
            "devices-ca.pem",
            "internal-ca.pem",
            "pictures/cat.png",
        ];
        let mut all: BTreeMap<_, _> =
            COMMON.iter().map(|name| (name.to_string(), String::new())).collect();
        all.insert("token".into(), "secret\n".into());
        all.insert("issuer.pem".into(), "-----BEGIN PUBLIC KEY-----\nAA==\n".into());
        all.extend(files.iter().map(|(name, text)| (name.to_string(), text.to_string())));
        Shelf(all)
    }

    fn key<'p>(&self, path: &'p Path) -> &'p str {
        path.strip_prefix("/edge").unwrap_or(path).to_str().unwrap()
    }
}

impl Disk for Shelf {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.file(path)?;
        Ok(self.0[self.key(path)].clone())
    }
    fn file(&self, path: &Path) -> io::Result<()> {
        match self.0.contains_key(self.key(path)) {
            true => Ok(()),
            false if self.folder(path).is_ok() => Err(ErrorKind::IsADirectory.into()),
            false => Err(ErrorKind::NotFound.into()),
        }
    }
    fn folder(&self, path: &Path) -> io::Result<()> {
        match self.list(path)?.is_empty() {
            true if self.0.contains_key(self.key(path)) => Err(ErrorKind::NotADirectory.into()),
            true => Err(ErrorKind::NotFound.into()),
            false => Ok(()),
        }
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let below = match self.key(path) {
            "" => String::new(),
            key => format!("{key}/"),
        };
        let names = self.0.keys().filter_map(|name| name.strip_prefix(&below));
        Ok(names.filter_map(|rest| rest.split('/').next()).map(Into::into).collect())
    }
}

pub(crate) fn environment(name: &str) -> Option<String> {
    (name == "TENANT").then(|| "acme".into())
}

pub(crate) fn parse(text: &str, files: &[(&str, &str)]) -> Result<Loaded, Report> {
    parse_with(text, Path::new("/edge/edge.toml"), &environment, &Shelf::new(files))
}

fn manifest(text: &str) -> Manifest {
    match parse(text, &[]) {
        Ok(loaded) => loaded.manifest,
        Err(report) => panic!("{report}"),
    }
}

#[test]
fn the_least_that_runs_has_every_default() {
    let loaded = parse(MINIMAL, &[]).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let m = loaded.manifest;
    assert_eq!(m.file, Path::new("/edge/edge.toml"));
    assert_eq!((m.gateway.workers, &m.gateway.admin), (None, &None));
    assert_eq!(m.gateway.cache_dir, Path::new("/edge/cache"));
    assert_eq!(m.gateway.drain, Duration::from_secs(10));
    assert_eq!(m.gateway.forwarded.via.as_deref(), Some("pilotlight"));
    assert!(m.gateway.forwarded.x_forwarded && !m.gateway.forwarded.forwarded);
    assert!(m.gateway.forwarded.trust.is_empty());
    assert_eq!(m.gateway.forwarded.request_id, "x-request-id");
    assert_eq!((&m.log.access, m.log.level), (&AccessLog::Stdout, Level::Info));
    assert_eq!(m.lua.path, ["/edge/lua/?.lua", "/edge/lua/?/init.lua"]);
    assert_eq!((m.lua.memory, m.lua.ffi, m.lua.io), (32 << 20, false, false));
    assert_eq!((m.lua.regex_steps, m.lua.regex_cache), (1_000_000, 1024));
    assert_eq!((m.lua.timers_pending, m.lua.timers_running), (1024, 256));
    assert!(m.lua.resolver.is_none() && m.lua.threads.is_empty() && m.lua.capture_log == 0);
    assert!(m.redis.is_empty() && m.consumers.is_empty());

    let web = &m.listeners[0];
    assert_eq!(&*web.name, "127.0.0.1:8080");
    assert_eq!((web.http1, web.http2, web.http3), (true, true, false));
    assert!(web.tls.is_none() && !web.proxy_protocol);
    let ListenerLimits { header_bytes, headers, uri_bytes, body_bytes, streams, connections } =
        web.limits;
    assert_eq!((header_bytes, headers, uri_bytes), (32 << 10, 100, 8 << 10));
    assert_eq!((body_bytes, streams, connections), (64 << 20, 100, 10_000));
    let ListenerTimeouts { header, body_idle, keepalive, handshake, idle } = web.timeouts;
    let seconds = [header, body_idle, keepalive, handshake, idle].map(|time| time.as_secs());
    assert_eq!(seconds, [10, 30, 75, 10, 3600]);

    let route = &m.routes[0];
    assert_eq!((&*route.name, &route.matcher), ("any", &Match::default()));
    assert!(matches!(route.target, Target::Upstream(0)));
    assert!(route.filters.is_empty() && route.retry.is_none() && route.rewrite.is_none());
    assert!(route.total.is_none() && route.upstream_timeout.is_none() && !route.internal);

    let api = &m.upstreams[0];
    let Endpoint { tls, host, port, unix, weight, .. } = &api.endpoints[0];
    assert_eq!((*tls, host.as_str(), *port, unix, *weight), (false, "10.0.0.2", 8080, &None, 1));
    assert_eq!((&api.balance, api.protocol), (&Balance::RoundRobin, UpstreamProtocol::Auto));
    assert!(api.tls.verify && api.tls.ca.is_none());
    assert_eq!((api.pool.idle.as_secs(), api.pool.per_endpoint), (60, 64));
    let Breaker { max_connections, max_requests, max_pending } = api.breaker;
    assert_eq!([max_connections, max_requests, max_pending], [1024; 3]);
    assert!(api.admission.is_none() && route.admission.is_none());
    assert_eq!(route.priority, Priority::Normal);
    let UpstreamTimeouts { connect, first_byte, idle } = api.timeouts;
    assert_eq!([connect, first_byte, idle].map(|time| time.as_secs()), [3, 30, 60]);
    assert!(api.activate.is_none());
}

#[test]
fn admission_is_bounded_by_the_breaker() {
    for (breaker, wanted) in [("", (2, 1024, 20)), ("200", (2, 200, 20)), ("1", (1, 1, 1))] {
        let breaker = match breaker {
            "" => String::new(),
            most => format!("breaker = {{ max_requests = {most} }}"),
        };
        let m = manifest(&format!("{MINIMAL}\n{breaker}\nadmission = {{}}\n"));
        let Admission { min, max, start, queue } = m.upstreams[0].admission.unwrap();
        assert_eq!(((min, max, start), queue), (wanted, 256));
    }
}

#[test]
fn probes_and_ejections_have_defaults_and_are_off_without_a_word() {
    let m = manifest(MINIMAL);
    assert!(m.upstreams[0].health.is_none() && m.upstreams[0].outlier.is_none());
    let m = manifest(&format!("{MINIMAL}\nhealth = {{ path = \"/healthz\" }}\noutlier = {{}}\n"));
    let health = m.upstreams[0].health.clone().unwrap();
    assert_eq!((health.path.as_deref(), &health.host), (Some("/healthz"), &None));
    assert_eq!([health.interval, health.timeout].map(|time| time.as_secs()), [5, 1]);
    assert_eq!((health.healthy, health.unhealthy), (2, 3));
    assert!(health.is_well(200) && health.is_well(302) && !health.is_well(404));
    let outlier = m.upstreams[0].outlier.unwrap();
    assert_eq!((outlier.errors, outlier.max_ejected), (5, 0.5));
    assert_eq!([outlier.window, outlier.eject].map(|time| time.as_secs()), [30, 30]);
    let images = manifest(MAXIMAL).upstreams.into_iter().find(|u| &*u.name == "images").unwrap();
    let health = images.health.unwrap();
    assert!(health.is_well(204) && !health.is_well(302));
    assert_eq!((health.healthy, health.unhealthy), (1, 4));
    assert_eq!(images.outlier.unwrap().max_ejected, 0.25);
    let [.., dns, srv] = &images.endpoints[..] else { panic!() };
    assert_eq!((dns.host.as_str(), dns.port, dns.lookup), ("images.internal", 8080, Lookup::Dns));
    assert_eq!((dns.weight, dns.tls, srv.lookup, srv.tls), (3, false, Lookup::Srv, true));
    let m = manifest(MAXIMAL);
    let either = m.upstreams.iter().find_map(|upstream| upstream.split.as_ref()).unwrap();
    let variants = either.variants.iter().map(|variant| (&*variant.name, variant.weight));
    assert_eq!(variants.collect::<Vec<_>>(), [("images", 95), ("model", 1)]);
    assert_eq!(m.upstreams[either.variants[0].upstream].name, either.variants[0].name);
    assert_eq!(either.cookie.as_deref(), Some("variant"));
}

#[test]
fn every_key_means_something() {
    let m = manifest(MAXIMAL);
    assert_eq!(m.gateway.workers, Some(4));
    assert_eq!(m.gateway.admin, Some(Address::Unix("/edge/run/admin.sock".into())));
    assert_eq!(m.gateway.env, ["REGION"]);
    let forwarded = &m.gateway.forwarded;
    assert_eq!(forwarded.request_id, "x-trace");
    assert_eq!(forwarded.trust[0], Cidr { address: [10, 0, 0, 0].into(), prefix: 8 });
    assert_eq!(forwarded.trust[1].prefix, 128);
    assert_eq!(m.log.access, AccessLog::File("/edge/logs/access.json".into()));
    let tls = m.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.certificates.len(), 2);
    assert_eq!(tls.certificates[1].key, Path::new("/edge/shop.key"));
    assert!(tls.early_data && m.listeners[0].http3);
    assert_eq!(m.listeners[0].filters, [1]);
    assert_eq!(tls.client_ca.as_deref(), Some(Path::new("/edge/devices-ca.pem")));
    assert!(!tls.tickets);
    assert!(m.listeners[1].proxy_protocol);

    let route = &m.routes[0];
    assert_eq!(route.matcher.host.as_deref(), Some("img.example.com"));
    assert_eq!(
        route.matcher.headers,
        [("x-any".into(), "*".into()), ("x-beta".into(), "1".into())]
    );
    assert_eq!(route.filters, [0, 4, 5]);
    assert_eq!(
        (route.vars["tenant"].as_str(), route.vars["literal"].as_str()),
        ("acme", "${env:TENANT}")
    );
    let retry = route.retry.as_ref().unwrap();
    assert_eq!((retry.attempts, retry.connect, &retry.statuses[..]), (2, true, &[502, 503][..]));
    assert_eq!(retry.budget, 0.1);
    assert_eq!(route.body_bytes, Some(8192));
    assert_eq!(route.priority, Priority::Background);
    let of_route = Admission { min: 1, max: 10, start: 5, queue: 7 };
    let of_upstream = Admission { min: 4, max: 150, start: 8, queue: 50 };
    assert_eq!((route.admission, m.upstreams[2].admission), (Some(of_route), Some(of_upstream)));

    let Target::Respond(hello) = &m.routes[1].target else { panic!() };
    assert_eq!((hello.status, hello.headers.len(), &hello.body[..]), (201, 3, &b"hello\n"[..]));
    let Target::Respond(health) = &m.routes[2].target else { panic!() };
    assert_eq!(health.headers, [("content-type".into(), "application/json".into())]);
    let body = r#"{"ok":true,"since":"2026-01-01","load":[0.5,1],"name":"secret"}"#;
    assert_eq!(String::from_utf8_lossy(&health.body), body);
    let Target::Redirect(old) = &m.routes[3].target else { panic!() };
    assert_eq!((old.status, old.to.as_str()), (308, "https://{host}/new/{1}?{query}"));
    let Target::Redirect(moved) = &m.routes[4].target else { panic!() };
    assert_eq!((moved.status, moved.to.as_str()), (302, "/new"));
    let Target::Files(pictures) = &m.routes[5].target else { panic!() };
    assert_eq!((pictures.root.to_str(), pictures.index.len()), (Some("/edge/pictures"), 2));
    let Target::Script(script) = m.routes[7].target else { panic!() };
    assert_eq!(&*m.filters[script].name, "route:script");
    assert_eq!(&*m.routes[1].name, "/hello");

    applications(&m);
    dialects(&m);
    assert_eq!(m.filters[0].program, Program::Lua("/edge/filters/auth.lua".into()));
    assert!(
        matches!(&m.filters[0].config, FilterConfig::Json(json) if json["nested"]["list"][1] == 2)
    );
    assert_eq!((m.filters[0].cpu.as_millis(), m.filters[0].memory), (5, Some(8 << 20)));
    assert_eq!((m.filters[0].on_error, m.filters[4].on_error), (OnError::Open, OnError::Close));
    assert!(matches!(&m.filters[4].config, FilterConfig::Text(text) if text == "width=320"));
    assert_eq!((m.filters[4].isolation, m.filters[4].cpu.as_millis()), (Isolation::Stream, 10));
    let proxy = &m.filters[4].proxy;
    assert_eq!((&*proxy.vm_id, &*proxy.root_id), ("images", "thumbnail"));
    assert_eq!(proxy.vm_config, r#"{"cache":16}"#);
    assert!(proxy.hold_headers && proxy.properties == Encoding::Text);
    assert_eq!(m.filters[0].proxy, ProxyWasm::default());

    let [mix, ping, resize] = &m.modules[0].functions[..] else { panic!() };
    assert_eq!(resize.parameters, [ValueType::String, ValueType::I32, ValueType::I32]);
    assert_eq!((resize.result, ping.result), (Some(ValueType::String), None));
    assert_eq!((mix.parameters.len(), ping.parameters.len()), (4, 0));
    let sessions = &m.shared["sessions"];
    assert_eq!((sessions.size, sessions.redis.as_deref()), (4 << 20, Some("main")));
    let Program::Shipped(shipped) = &m.filters[5].program else { panic!() };
    let Shipped::RateLimit(limit) = &**shipped else { panic!() };
    assert_eq!((limit.count, limit.per_millis, limit.burst), (1000, 60_000, 50));
    let by = [By::Client, By::Header("x-user".into()), By::Cookie("sid".into())];
    assert_eq!((&limit.by[..], limit.status, limit.headers), (&by[..], 503, true));
    assert_eq!((&*limit.dictionary, limit.redis.as_deref()), ("sessions", Some("main")));

    let hosts: Vec<_> =
        m.upstreams[2].endpoints.iter().map(|e| (e.tls, e.host.as_str(), e.port)).collect();
    let expected =
        [(false, "10.0.0.2", 8080), (true, "images.local", 443), (true, "fd00::1", 8443)];
    assert_eq!(hosts[..3], expected);
    let socket = &m.upstreams[2].endpoints[3];
    assert_eq!(socket.unix.as_deref(), Some(Path::new("/edge/run/app.sock")));
    assert!(socket.tls);
    assert_eq!(m.upstreams[2].endpoints[1].weight, 2);
}

/// Of the upstreams `box`, `model` and `unit`.
fn applications(m: &Manifest) {
    let of = |name: &str| {
        let upstream = m.upstreams.iter().find(|upstream| &*upstream.name == name).unwrap();
        (upstream.activate.as_ref().unwrap(), upstream.endpoints.len())
    };
    let (model, 0) = of("model") else { panic!() };
    let Launch::Command { argv, env, dir } = &model.launch else { panic!() };
    assert_eq!(argv[..], ["/edge/server", "--port", "{port}"]);
    assert_eq!((&env[0].1[..], dir.to_str()), ("edge", Some("/edge/pictures")));
    assert_eq!((model.listens, &model.ready), (Listens::Port, &Ready::Path("/health".into())));
    assert_eq!([model.start_timeout, model.stop_timeout].map(|time| time.as_secs()), [20, 5]);
    assert_eq!(model.queue, 100);
    let limits = InstanceLimits { memory: Some(512 << 20), cpu: Some(0.5), processes: Some(64) };
    assert_eq!(model.limits, limits);
    let scale = &model.scale;
    assert_eq!((scale.min, scale.max, scale.concurrency, scale.surge), (1, 8, 4, Some(2)));
    assert_eq!([scale.target, scale.tolerance, scale.shrink], [0.8, 0.05, 0.25]);
    let times = [scale.window, scale.panic_window, scale.cooldown, scale.idle];
    assert_eq!(times.map(|time| time.as_secs()), [30, 3, 60, 600]);
    assert!(scale.predict);
    let [morning, hourly] = &scale.schedule[..] else { panic!() };
    assert_eq!((morning.min, morning.zone), (2, Zone::Fixed(3600)));
    assert_eq!((hourly.hold.as_secs(), hourly.zone), (3600, Zone::Local));
    assert_eq!((morning.cron.text(), morning.hold.as_secs()), ("0 8 * * mon-fri", 36_000));

    let (unit, 1) = of("unit") else { panic!() };
    assert_eq!(
        (&unit.launch, unit.listens),
        (&Launch::Unit("app.service".into()), Listens::Endpoint)
    );
    assert_eq!(
        (&unit.ready, unit.queue, unit.limits),
        (&Ready::Notify, 1000, InstanceLimits::default())
    );
    let scale = &unit.scale;
    assert_eq!((scale.min, scale.max, scale.concurrency, scale.surge), (0, 1, 10, None));
    assert_eq!([scale.target, scale.tolerance, scale.shrink], [0.7, 0.1, 0.5]);
    let times = [scale.window, scale.panic_window, scale.cooldown, scale.idle];
    assert_eq!(times.map(|time| time.as_secs()), [60, 6, 120, 300]);

    let (image, 0) = of("box") else { panic!() };
    let Launch::Image { image: name, port: 8080, args, runtime } = &image.launch else { panic!() };
    assert_eq!((&name[..], args.len(), runtime.len()), ("example/app:1", 2, 3));
    assert_eq!((image.listens, &image.ready), (Listens::Port, &Ready::Connect));
}

/// The filters are `auth`, `handshake`, `keys`, `legacy` and `thumbnail`, in this order.
fn dialects(m: &Manifest) {
    let Program::OpenResty(hello) = &m.filters[1].program else { panic!() };
    let phases: Vec<_> = hello.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases[..4], ["init", "init_worker", "exit_worker", "ssl_client_hello"]);
    assert_eq!(m.filters[2].program, Program::Kong("key-auth".into()));
    // Dictionaries that plugins expect are there without being named.
    assert_eq!(m.shared["kong_db_cache"].size, 8 << 20);
    let Program::OpenResty(legacy) = &m.filters[3].program else { panic!() };
    let content = legacy.phase("content").unwrap();
    assert_eq!((content.path.to_str(), &*content.name), (Some("/edge/content.lua"), "content.lua"));
    assert_eq!(legacy.set[0].args, ["$uri", "${tenant}s"]);
    assert_eq!((legacy.ssl.tls12, legacy.ssl.tls13), (false, true));
    assert_eq!((legacy.socket.pool_size, legacy.socket.keepalive_timeout.as_millis()), (5, 0));
    let named = |name: &str| m.routes.iter().find(|route| &*route.name == name).unwrap();
    let expression = named("~^/users/(\\d+)/(\\w+)$").matcher.regex.as_ref().unwrap();
    assert_eq!(expression.groups(), 2);
    let route = named("/legacy*");
    assert_eq!(route.target, Target::Script(3));
    let [fallback, page, away, own] = &route.errors[..] else { panic!() };
    assert_eq!(fallback.on, [403, 404]);
    assert_eq!(fallback.to, ErrorTarget::Route("@fallback".into()));
    assert_eq!((fallback.status, page.status), (ErrorStatus::Same, ErrorStatus::Fixed(200)));
    assert_eq!((away.status, own.status), (ErrorStatus::Fixed(307), ErrorStatus::Own));
    assert!(named("@fallback").internal);
    let resolver = m.lua.resolver.as_ref().unwrap();
    assert_eq!((resolver.servers[0].port(), resolver.servers[1].port()), (53, 5353));
    let redis = &m.redis[0];
    assert_eq!((redis.port, redis.database, redis.password.as_deref()), (6380, 2, Some("secret")));
    let ann = &m.consumers[0];
    assert_eq!((&ann.keys[..], ann.jwt[1].algorithm), (&["secret".to_owned()][..], "ES256"));
}

#[test]
fn text_alone_looks_at_no_file() {
    let loaded = parse_str(MAXIMAL, Path::new("/nowhere")).err().unwrap().render(false);
    assert!(loaded.contains("TENANT"), "{loaded}");
    let text = MAXIMAL.replace("${env:TENANT}", "x");
    let loaded = parse_str(&text, Path::new("/nowhere")).unwrap();
    assert_eq!(loaded.manifest.file, Path::new("/nowhere/pilotlight.toml"));
}

#[test]
fn real_files() {
    let folder = std::env::temp_dir().join(format!("pilotlight-load-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("routes")).unwrap();
    let file = folder.join("edge.toml");
    std::fs::write(&file, format!("include = [\"routes/*.toml\"]\n{MINIMAL}")).unwrap();
    let route = "[[routes]]\nmatch = { path = \"/f\" }\nfilters = [\"a\"]\nlua = \"a.lua\"\n[filters.a]\nlua = \"a.lua\"\n";
    std::fs::write(folder.join("routes/b.toml"), route).unwrap();
    let report = load(&file, &|_| None).unwrap_err();
    assert!(
        report
            .render(false)
            .contains("routes/b.toml:4:7: cannot read the script \"a.lua\": it does not exist"),
        "{report}"
    );
    std::fs::write(folder.join("a.lua"), "return {}").unwrap();
    let loaded = load(&file, &|_| None).unwrap();
    assert_eq!(loaded.manifest.routes.len(), 2);
    let report = load(&folder.join("none.toml"), &|_| None).unwrap_err().render(false);
    assert!(
        report.ends_with("none.toml: cannot read the manifest: it does not exist\n"),
        "{report}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
