//! What the whole process shares: `[gateway]`, `[log]`, `[lua]`, `[shared]`, and the scripts that run
//! where a worker begins and ends.

use super::parse::Directive;
use super::{Import, all, effective, known, script, units};
use crate::doc::{Table, Value};

/// What stands outside of all blocks.
pub(super) fn main(import: &mut Import<'_>, tree: &[Directive]) {
    // nginx tells nobody of its hop but by what the configuration sets.
    let forwarded = Table::new().with("via", false).with("x_forwarded", false);
    if let Some(workers) = effective(&[tree], "worker_processes") {
        match workers.arg(0).parse::<i64>() {
            Ok(number) => import.gateway.put("workers", number.clamp(1, 1024)),
            Err(_) => import.gateway.put("workers", "auto"),
        }
    }
    let mut names: Vec<String> = Vec::new();
    for env in all(&[tree], "env") {
        let (name, value) = env.arg(0).split_once('=').unwrap_or((env.arg(0), ""));
        if !value.is_empty() {
            let todo = format!("start the gateway with {name} in its environment");
            import.note(&env.spot, format!("`env` gives {name} a value"), todo);
        }
        let first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
        let fine = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.bytes().next().is_some_and(first);
        if fine && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    if !names.is_empty() {
        import.gateway.put("env", names);
    }
    import.gateway.put("forwarded", forwarded);
    import.log.put("access", "stdout");
    if let Some(log) = effective(&[tree], "error_log") {
        level(import, log);
    }
}

fn level(import: &mut Import<'_>, log: &Directive) {
    let level = match log.arg(1) {
        "debug" => "debug",
        "info" | "notice" => "info",
        "warn" => "warn",
        _ => "error",
    };
    import.log.put("level", level);
}

/// What stands in the `http` block itself.
pub(super) fn http(import: &mut Import<'_>, block: &[Directive]) {
    for directive in block {
        match directive.name.as_str() {
            "lua_shared_dict" => shared(import, directive),
            "lua_package_path" => path(import, directive),
            "lua_package_cpath" => {
                let todo = "remove it, if only resty's own C libraries are meant: they come along";
                import.note(&directive.spot, "modules in C are not loaded", todo);
            }
            "lua_code_cache" if directive.arg(0) == "off" => {
                let todo = "reload the gateway (SIGHUP) after a change";
                import.note(&directive.spot, "scripts are read once", todo);
            }
            "log_format" => {
                let todo = "the access log is JSON lines: [log] access";
                import.note(&directive.spot, "formats of the access log are left out", todo);
            }
            "access_log" if directive.arg(0) == "off" => import.log.put("access", "off"),
            "access_log" => {
                let what = format!("the access log {} goes to standard output", directive.arg(0));
                import.note(&directive.spot, what, "a file is [log] access = \"FILE\"");
            }
            "error_log" => level(import, directive),
            "real_ip_header" => real_ip(import, directive),
            "thread_pool" => threads(import, directive),
            _ => process_wide(import, directive),
        }
    }
    let trusted = all(&[block], "set_real_ip_from");
    let trusted: Vec<String> =
        trusted.iter().map(|from| from.arg(0).to_owned()).filter(|from| from != "unix:").collect();
    if !trusted.is_empty() {
        import.gateway.put_in("forwarded.trust", trusted);
    }
    resolver(import, block);
    scripts(import, block);
}

fn real_ip(import: &mut Import<'_>, directive: &Directive) {
    let header = directive.arg(0).to_ascii_lowercase();
    if header != "x-forwarded-for" && header != "proxy_protocol" {
        let what = format!("the client's address is not taken from {}", directive.arg(0));
        let todo = "let the proxy in front send X-Forwarded-For or the PROXY protocol";
        import.note(&directive.spot, what, todo);
    }
}

fn threads(import: &mut Import<'_>, directive: &Directive) {
    let count = directive.args.iter().find_map(|arg| arg.strip_prefix("threads="));
    let count = count.and_then(|count| count.parse::<i64>().ok()).unwrap_or(32);
    import.lua.put_in(&format!("threads.{}", crate::doc::name(directive.arg(0), "default")), count);
}

fn process_wide(import: &mut Import<'_>, directive: &Directive) {
    const KEYS: &[(&str, &str)] = &[
        ("lua_max_pending_timers", "timers.pending"),
        ("lua_max_running_timers", "timers.running"),
        ("lua_regex_cache_max_entries", "regex.cache"),
        ("lua_regex_match_limit", "regex.match_limit"),
    ];
    if directive.name == "lua_capture_error_log" {
        if let Some(size) = units::size(directive.arg(0)) {
            import.lua.put("capture_log", units::shown_size(size.clamp(4 << 10, 64 << 20)));
        }
        return;
    }
    let Some((_, key)) = KEYS.iter().find(|(name, _)| *name == directive.name) else { return };
    match directive.arg(0).parse::<i64>() {
        // nginx's "no limit of our own" is the default here.
        Ok(number) if number > 0 => import.lua.put_in(key, number),
        _ => {}
    }
}

fn shared(import: &mut Import<'_>, directive: &Directive) {
    let (name, size) = (directive.arg(0), units::size(directive.arg(1)));
    let Some(size) = size else {
        import.note(&directive.spot, format!("{:?} is no size", directive.arg(1)), "such as 10m");
        return;
    };
    if crate::doc::name(name, "") != name {
        let what = format!("a dictionary cannot be called {name:?}");
        import.note(&directive.spot, what, "letters, digits, `-`, `_` and `.`");
        return;
    }
    let table = Table::new().with("size", units::shown_size(size.max(4 << 10)));
    if !import.shared.iter().any(|(known, _)| known == name) {
        import.shared.push((name.to_owned(), table));
    }
}

/// `$prefix` is nginx's folder, `;;` its default.
fn path(import: &mut Import<'_>, directive: &Directive) {
    let mut paths: Vec<String> = Vec::new();
    let prefix = format!("{}/", import.prefix.display());
    let given = directive.arg(0).replace("${prefix}", &prefix).replace("$prefix", &prefix);
    for pattern in given.split(';').filter(|pattern| pattern.contains('?')) {
        let pattern = import.below_prefix(pattern);
        if !paths.contains(&pattern) {
            paths.push(pattern);
        }
    }
    if given.contains(";;") {
        paths.extend(crate::LIBRARIES.iter().map(|path| (*path).to_owned()));
    }
    import.lua.put("path", paths);
}

/// One for the process: the first that stands anywhere.
fn resolver(import: &mut Import<'_>, block: &[Directive]) {
    let (mut found, mut wait) = (Vec::new(), Vec::new());
    anywhere(block, "resolver", &mut found);
    anywhere(block, "resolver_timeout", &mut wait);
    let Some(first) = found.first() else { return };
    for other in &found[1..] {
        if other.args != first.args {
            let todo = "one resolver serves all scripts: [lua.resolver]";
            import.note(&other.spot, "another resolver is left out", todo);
        }
    }
    let mut servers: Vec<String> = Vec::new();
    let mut table = Table::new();
    for arg in &first.args {
        match arg.split_once('=') {
            Some(("ipv6", on)) => table.put("ipv6", on != "off"),
            Some(_) => {}
            None if arg.parse::<std::net::SocketAddr>().is_ok()
                || arg.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() =>
            {
                servers.push(arg.clone());
            }
            None => {
                let what = format!("the name server {arg:?} is left out: it is a name");
                import.note(&first.spot, what, "write its address: [lua.resolver] servers");
            }
        }
    }
    if servers.is_empty() {
        return;
    }
    if let Some(time) = wait.first().and_then(|wait| units::time(wait.arg(0))) {
        table.put("timeout", units::shown(time));
    }
    let mut resolver = Table::new().with("servers", servers);
    resolver.0.extend(table.0);
    import.lua.put("resolver", Value::Table(resolver));
}

fn anywhere<'c>(block: &'c [Directive], name: &str, found: &mut Vec<&'c Directive>) {
    for directive in block {
        if directive.name == name {
            found.push(directive);
        }
        anywhere(directive.children(), name, found);
    }
}

/// `init_by_lua` and its like, as one filter at the head of chains.
fn scripts(import: &mut Import<'_>, block: &[Directive]) {
    let mut phases = Table::new();
    for directive in block {
        let Some((phase, _)) = known::phase(&directive.name) else { continue };
        if matches!(phase, "init" | "init_worker" | "exit_worker") {
            let path = script::file(import, directive, phase, 0);
            phases.put(phase, path);
        }
    }
    if !phases.is_empty() {
        super::setting::settings(import, &[block], &mut phases);
        let name = script::filter(import, "http", phases);
        import.http = Some(name);
    }
}

impl Import<'_> {
    /// Puts the process's filter where something uses it: into each chain that has filters of its
    /// own, or at least into one.
    pub(super) fn head_chains(&mut self) {
        let Some(http) = self.http.take() else { return };
        let lacks = |table: &Table| table.get("filters").is_none();
        let none = self.routes.iter().all(|(_, table)| lacks(table));
        for (at, (_, table)) in self.routes.iter_mut().enumerate() {
            if lacks(table) && !(none && at == 0) {
                continue;
            }
            let mut chain = vec![Value::from(http.as_str())];
            if let Some(Value::List(rest)) = table.get("filters") {
                chain.extend(rest.iter().cloned());
            }
            table.put("filters", Value::List(chain));
        }
    }
}
