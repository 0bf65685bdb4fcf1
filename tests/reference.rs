//! The reference pages that are made from what the gateway itself knows, so that they cannot drift.
//! `PILOTLIGHT_BLESS=1 tools/test tests` writes them anew.

use std::fmt::Write as _;

use pilotlight_abi::{LIMITS, Phase, Unit};
use serde_json::{Map, Value};

use crate::names::Is;
use crate::tidy::root;

const MADE: &str = "<!-- Made by tests/reference.rs: PILOTLIGHT_BLESS=1 writes it anew. -->\n";

#[test]
fn the_manifest_page_is_what_the_gateway_takes() {
    page("manifest", &manifest());
}

#[test]
fn the_fleet_page_is_what_edge_deploy_takes() {
    page("fleet", &fleet());
}

#[test]
fn the_limits_page_is_the_table() {
    page("limits", &limits());
}

#[test]
fn the_kong_page_is_the_table() {
    let about = "What a plugin finds here, name by name; a test calls each. How plugins run: \
                 [Kong's plugins](../guides/kong.md).";
    page("kong", &names("kong", "Kong", "Kong's plugin development kit", about));
}

#[test]
fn the_openresty_page_is_the_table() {
    let about = "What a script of a filter with `openresty` or `kong` finds here, name by name; a test calls \
                 each. How to move: [From OpenResty](../guides/openresty.md).";
    page("openresty", &names("ngx", "OpenResty", "OpenResty's ngx", about));
}

#[test]
fn the_proxy_wasm_page_is_the_table() {
    page("proxy-wasm", &proxy_wasm());
}

fn proxy_wasm() -> String {
    let groups = crate::conformance::proxy_wasm::names();
    let count = |is: Is| groups.iter().flat_map(|(_, names)| names).filter(|n| n.is == is).count();
    let mut text = format!(
        "# proxy-wasm\n\n{MADE}\nABI 0.1.0, 0.2.0 and 0.2.1, name by name; a case of \
         [the conformance kit](../../tests/conformance/proxy-wasm/README.md) calls each that is not absent. \
         How filters are configured: [Wasm filters](../guides/wasm.md). {} names are as in the specification or \
         in Envoy, {} differ, {} are absent.\n\nA module says which version it is by one of the exports \
         `proxy_abi_version_0_1_0`, `proxy_abi_version_0_2_0`, `proxy_abi_version_0_2_1`, \
         `proxy_abi_version_0_2_100`. One that imports what is not named here is refused when it is loaded.\n",
        count(Is::Same),
        count(Is::Differs),
        count(Is::Absent)
    );
    for (group, names) in &groups {
        let _ = write!(text, "\n## {group}\n\n| name | here | |\n|---|---|---|\n");
        for name in names {
            let is = ["as specified", "differs", "absent"][name.is as usize];
            let _ = writeln!(text, "| `{}` | {is} | {} |", name.name, cell(&name.note));
        }
    }
    text
}

fn page(name: &str, wanted: &str) {
    let path = root().join(format!("docs/reference/{name}.md"));
    if std::env::var_os("PILOTLIGHT_BLESS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == wanted, "{} is not what the code says; PILOTLIGHT_BLESS=1", path.display());
}

fn limits() -> String {
    let mut text = format!("# Limits\n\n{MADE}\n## Of filters and modules\n\n");
    text.push_str("| limit | default | what happens |\n|---|---|---|\n");
    for limit in LIMITS {
        let value = match limit.unit {
            Unit::Bytes => bytes(limit.default),
            Unit::CpuMicros => format!("{} ms of CPU time", limit.default / 1000),
            Unit::Count => limit.default.to_string(),
        };
        let _ = writeln!(text, "| `{}` | {value} | {} |", limit.name, cell(limit.doc));
    }
    text.push_str(
        "\n`[filters.NAME] limits` and `[modules.NAME] limits` set `cpu` and `memory` of one program, \
         `[lua] memory` that of a worker's VM: see [the manifest](manifest.md). A script past its `cpu` is stopped by a \
         signal to its thread; on x86-64 compiled code ends there by a trap (SIGTRAP): under a debugger that keeps traps \
         for itself it goes on.\n\n## Of listeners and upstreams\n\n\
         On without configuration. The keys stand in [the manifest](manifest.md) under \
         `[[listeners]]`, `limits` and `timeouts`, and under `[upstreams.NAME]`.\n\n\
         | key | meaning |\n|---|---|\n",
    );
    let schema = pilotlight_config::schema();
    for (section, path) in [
        ("listeners.limits", "/properties/listeners/items/properties/limits"),
        ("listeners.timeouts", "/properties/listeners/items/properties/timeouts"),
        ("upstreams.NAME.pool", "/properties/upstreams/additionalProperties/properties/pool"),
        ("upstreams.NAME.breaker", "/properties/upstreams/additionalProperties/properties/breaker"),
        (
            "upstreams.NAME.admission",
            "/properties/upstreams/additionalProperties/properties/admission",
        ),
        ("upstreams.NAME.health", "/properties/upstreams/additionalProperties/properties/health"),
        ("upstreams.NAME.outlier", "/properties/upstreams/additionalProperties/properties/outlier"),
        (
            "upstreams.NAME.timeouts",
            "/properties/upstreams/additionalProperties/properties/timeouts",
        ),
    ] {
        for (key, value) in schema.pointer(path).unwrap()["properties"].as_object().unwrap() {
            let _ = writeln!(text, "| `{section}.{key}` | {} |", cell(doc(value)));
        }
    }
    text.push_str("\n## Phases\n\nThe limits on CPU time count one call of one phase: ");
    let names: Vec<String> = Phase::ALL.iter().map(|p| format!("`{}`", p.name())).collect();
    let _ = writeln!(text, "{}.", names.join(", "));
    text
}

fn bytes(count: u64) -> String {
    match count {
        n if n % (1 << 20) == 0 => format!("{} MiB", n >> 20),
        n if n % 1024 == 0 => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}

/// The page of a dialect's table of names; they are from `origin`.
fn names(dialect: &str, origin: &str, title: &str, about: &str) -> String {
    let names = crate::names::all(dialect);
    let count = |is: Is| names.iter().filter(|name| name.is == is).count();
    let mut text = format!(
        "# {title}\n\n{MADE}\n{about} {} names are as in {origin}, {} differ, {} are absent.\n",
        count(Is::Same),
        count(Is::Differs),
        count(Is::Absent)
    );
    let mut group = "";
    for name in &names {
        if name.group() != group {
            group = name.group();
            let _ = write!(text, "\n## {group}\n\n| name | here | |\n|---|---|---|\n");
        }
        let is = match name.is {
            Is::Same => format!("as in {origin}"),
            Is::Differs => "differs".into(),
            Is::Absent => "absent".into(),
        };
        let _ = writeln!(text, "| `{}` | {is} | {} |", name.name, cell(&name.note));
    }
    text
}

fn manifest() -> String {
    let mut text = format!(
        "# The manifest\n\n{MADE}\nEvery key of `pilotlight.toml`. `pilotlight schema` prints the same as a JSON Schema for \
         editors; an unknown key is an error. Durations are written `\"250ms\"`, `\"5s\"`, `\"2m\"`, `\"1h\"`; sizes \
         `\"64KiB\"`, `\"8MiB\"`; shares `\"20%\"`. Paths are relative to the manifest. `${{env:NAME}}` and \
         `${{file:PATH}}` may stand in any string; `$${{` is a plain `${{`.\n"
    );
    let schema = pilotlight_config::schema();
    let root = schema["properties"].as_object().unwrap();
    text.push_str("\n## Top level\n\n");
    table(&mut text, &schema, root);
    for (key, value) in root {
        section(&mut text, key, key, value);
    }
    text
}

fn fleet() -> String {
    let mut text = format!(
        "# Manifests of a fleet\n\n{MADE}\nWhat `edge-deploy` reads; an unknown key is an error. Durations, sizes and \
         shares are written as in [the gateway's manifest](manifest.md), and days as `\"30d\"`. How they are used: \
         [A fleet](../guides/fleet.md).\n"
    );
    for (file, schema) in pilotlight_fleet::manifest::schemas() {
        let root = schema["properties"].as_object().unwrap();
        let _ = write!(text, "\n## {file}\n\n{}\n\n", doc(&schema));
        table(&mut text, &schema, root);
        for (key, value) in root {
            section(&mut text, key, key, value);
        }
    }
    text.replace("\n## `", "\n### `")
}

/// The tables of `schema`, the outer before the inner. `path` is how it is reached.
fn section(text: &mut String, path: &str, shown: &str, schema: &Value) {
    if let Some(items) = schema.get("items") {
        let list = table_of(items).is_some() && !path.contains('.');
        let shown = if list { format!("[[{shown}]]") } else { shown.to_owned() };
        return section(text, path, &shown, items);
    }
    if let Some(named) = schema.get("additionalProperties").filter(|n| n.is_object()) {
        let path = format!("{path}.NAME");
        return section(text, &path, &path, named);
    }
    let Some(inner) = table_of(schema) else { return };
    let properties = inner["properties"].as_object().unwrap();
    let title = if shown.starts_with('[') { shown.to_owned() } else { format!("[{path}]") };
    let _ = writeln!(text, "\n## `{title}`\n\n{}\n", doc(inner));
    table(text, inner, properties);
    for (key, value) in properties {
        let path = format!("{path}.{key}");
        section(text, &path, &path, value);
    }
}

/// The table that `schema` is, or is one form of.
fn table_of(schema: &Value) -> Option<&Value> {
    if schema.get("properties").is_some() {
        return Some(schema);
    }
    schema.get("anyOf")?.as_array()?.iter().find(|form| form.get("properties").is_some())
}

fn table(text: &mut String, schema: &Value, properties: &Map<String, Value>) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    text.push_str("| key | type | meaning |\n|---|---|---|\n");
    for (key, value) in properties {
        let must = if required.contains(&Value::from(key.as_str())) { " Required." } else { "" };
        let _ = writeln!(text, "| `{key}` | {} | {}{must} |", cell(&kind(value)), cell(doc(value)));
    }
}

fn doc(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// What one writes for it.
fn kind(schema: &Value) -> String {
    if let Some(forms) = schema["anyOf"].as_array() {
        return one_of(forms.iter().map(kind));
    }
    if let Some(words) = schema["enum"].as_array() {
        return one_of(words.iter().map(|word| format!("`{word}`")));
    }
    if let Some(only) = schema.get("const") {
        return format!("`{only}`");
    }
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    match schema["type"].as_str() {
        Some("string") if pattern.contains("(ms|s|m|h|d)") => "duration".into(),
        Some("string") if pattern.contains("KiB") => "size".into(),
        Some("string") if pattern.contains('%') => "share".into(),
        Some("string") if pattern.contains("auto") => "`\"auto\"`".into(),
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") => match schema.get("additionalProperties").filter(|n| n.is_object()) {
            Some(named) => format!("table of {}", kind(named)),
            None => "table".into(),
        },
        Some(plain) => plain.to_owned(),
        None => match schema["type"].as_array() {
            Some(forms) => one_of(forms.iter().map(|f| f.as_str().unwrap_or_default().into())),
            None => "any".into(),
        },
    }
}

fn one_of(forms: impl Iterator<Item = String>) -> String {
    forms.collect::<Vec<_>>().join(" or ")
}

/// Text within a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A page names all that the code has: `(page, file, what of the file must stand in the page)`.
#[test]
fn pages_written_by_hand_are_complete() {
    let mut missing = Vec::new();
    let mut check = |page: &str, names: Vec<String>| {
        let text = read(&format!("docs/reference/{page}.md"));
        assert!(!names.is_empty(), "{page}: nothing found in the code");
        for name in names.into_iter().filter(|name| !text.contains(name)) {
            missing.push(format!("docs/reference/{page}.md lacks {name}"));
        }
    };
    let names = |file: &str, begins: &str| quoted(&read(file), begins);
    check("metrics", names("runtime/server/src/metrics/text.rs", "pilotlight_"));
    let paths = names("runtime/server/src/admin.rs", "/");
    check("admin", paths.into_iter().filter(|path| path.matches('/').count() == 1).collect());
    let flags = read("runtime/pilotlight/src/flags.rs");
    let words =
        quoted(&flags, "").into_iter().filter(|word| flags.contains(&format!("{word:?} =>")));
    check("commands", words.collect());
    let gateway = read("runtime/lua/src/prelude/gateway.lua");
    let table = gateway.rsplit("return (setmetatable({").next().unwrap().split('}').next().unwrap();
    let fields = table.split(',').filter_map(|pair| pair.split('=').next());
    let fields = fields.map(str::trim).filter(|name| !name.is_empty());
    check("lua", fields.map(|name| format!("gateway.{name}")).collect());
    crate::tidy::none(&missing);
}

/// Every TOML block is a manifest that loads, as far as no file is looked at: the gateway's, or of the fleet when it
/// says its kind.
#[test]
fn manifests_in_documents_are_right() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in crate::tidy::files(&[""], &[".md"]) {
        for block in file.text.split("```toml\n").skip(1) {
            let text = block.split("```").next().unwrap();
            seen += 1;
            if let Err(report) = read_manifest(text) {
                wrong.push(format!("{}:\n{}", file.path, report.render(false)));
            }
        }
    }
    assert!(seen > 5);
    crate::tidy::none(&wrong);
}

fn read_manifest(text: &str) -> Result<(), pilotlight_config::Report> {
    use pilotlight_fleet::manifest::{Controller, Faults, Fleet, From, Node, Release, Rollout};
    let from = From { env: &|_| None, disk: &pilotlight_config::Pretend };
    let file = root().join("manifest.toml");
    let kind = text.lines().find_map(|line| line.strip_prefix("kind = \"")?.strip_suffix('"'));
    match kind {
        Some("release") => Release::parse(text, &file, from).map(drop),
        Some("rollout") => Rollout::parse(text, &file, from).map(drop),
        Some("fleet") => Fleet::parse(text, &file, from).map(drop),
        Some("node") => Node::parse(text, &file, from).map(drop),
        Some("controller") => Controller::parse(text, &file, from).map(drop),
        Some("faults") => Faults::parse(text, &file, from).map(drop),
        _ => pilotlight_config::parse_str(text, &root()).map(drop),
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The plain words in double quotes that begin so.
fn quoted(text: &str, begins: &str) -> Vec<String> {
    let plain = |word: &&str| {
        let fits =
            |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '/' | '-') || c.is_ascii_digit();
        word.len() > 1 && word.starts_with(begins) && word.chars().all(fits)
    };
    let mut words: Vec<String> =
        text.split('"').skip(1).step_by(2).filter(plain).map(str::to_owned).collect();
    words.sort();
    words.dedup();
    words
}
