//! What answers a location's requests.

use super::location::{Here, Kind};
use super::parse::Directive;
use super::var::is_constant;
use super::{Import, Levels, effective, known, rewrite, script, units};
use crate::doc::{Table, Value};
use crate::matching;

/// The handler that a location names last.
pub(super) enum Handler<'c> {
    /// `return`, which comes before all scripts but those of the rewrite module.
    Return(&'c Directive),
    /// `content_by_lua`.
    Content(&'c Directive),
    /// `proxy_pass`, `grpc_pass`.
    Proxy(&'c Directive),
    /// `echo`.
    Echo(Vec<&'c Directive>),
    /// Another module's.
    Other(&'c Directive),
    /// A folder.
    Files,
}

pub(super) const OTHERS: &[&str] = &[
    "fastcgi_pass",
    "uwsgi_pass",
    "scgi_pass",
    "memcached_pass",
    "stub_status",
    "empty_gif",
    "redis_pass",
    "redis2_pass",
    "postgres_pass",
    "drizzle_pass",
    "autoindex",
    "mp4",
    "flv",
];

pub(super) fn handler<'c>(here: &Here<'c>) -> Handler<'c> {
    let own = here.own();
    if let Some(found) = own.iter().find(|one| one.name == "return") {
        return Handler::Return(found);
    }
    let mut handler = Handler::Files;
    for one in own {
        let is_content = known::phase(&one.name).is_some_and(|(phase, _)| phase == "content");
        handler = match one.name.as_str() {
            _ if is_content => Handler::Content(one),
            "proxy_pass" | "grpc_pass" => Handler::Proxy(one),
            "echo" => match handler {
                Handler::Echo(mut lines) => {
                    lines.push(one);
                    Handler::Echo(lines)
                }
                _ => Handler::Echo(vec![one]),
            },
            name if OTHERS.contains(&name) && one.arg(0) != "off" => Handler::Other(one),
            _ => continue,
        };
    }
    handler
}

/// A fixed answer as a target, if a key can say it.
pub(super) fn fixed(here: &Here<'_>, one: &Directive) -> Option<Table> {
    let (status, text) = rewrite::code(one);
    if rewrite::REDIRECTS.contains(&status) {
        let to = template(text?)?;
        let redirect = Table::new().with("to", to).with("status", i64::from(status));
        return Some(Table::new().with("redirect", redirect));
    }
    // 444 closes the connection.
    if !(200..=599).contains(&status) || status == 444 {
        return None;
    }
    let mut respond = Table::new().with("status", i64::from(status));
    if let Some(text) = text {
        if !is_constant(text) || matches!(status, 204 | 205 | 304) {
            return None;
        }
        let kind = effective(&here.levels, "default_type").map_or("text/plain", |kind| kind.arg(0));
        respond.put("headers", Table::new().with("content-type", kind));
        respond.put("body", text);
    }
    Some(Table::new().with("respond", respond))
}

/// The URL of a redirect as a template: constants, and the path.
fn template(text: &str) -> Option<String> {
    use super::var::{Part, parts};
    let mut out = String::new();
    for part in parts(text) {
        match part {
            Part::Text(text) if text.contains(['{', '}', ' ']) => return None,
            Part::Text(text) => out.push_str(text),
            Part::Variable("uri") => out.push_str("{path}"),
            Part::Variable(_) => return None,
        }
    }
    let url = ["/", "http://", "https://"].iter().any(|start| out.starts_with(start));
    (url && !out.chars().any(char::is_control)).then_some(out)
}

/// `echo` prints its arguments, and ends the line.
pub(super) fn echo(import: &mut Import<'_>, here: &Here<'_>, all: &[&Directive]) -> String {
    let mut lines = String::new();
    for one in all {
        let (no_break, args) = match one.args.split_first() {
            Some((flag, rest)) if flag == "-n" => (true, rest),
            _ => (false, &one.args[..]),
        };
        let text = import.expression(&args.join(" "), &here.names, &one.spot);
        let end = if no_break { "" } else { " .. \"\\n\"" };
        lines.push_str(&format!("ngx.print({text}{end})\n"));
    }
    lines
}

/// What a folder's target comes to.
pub(super) struct Files {
    pub(super) table: Table,
    /// Pages for what is not there, after those of the location.
    pub(super) errors: Vec<Value>,
    /// The expression, without its groups: the last capture would be the file's name.
    pub(super) regex: Option<String>,
    /// The location is a file's: nothing is below it.
    pub(super) exact: bool,
}

/// nginx serves files where no handler is named.
pub(super) fn files(import: &mut Import<'_>, here: &Here<'_>) -> Files {
    let alias = effective(&here.levels[..1], "alias");
    let root = effective(&here.levels, "root");
    let given = alias.or(root);
    if let Some(given) = given.filter(|given| !is_constant(given.arg(0))) {
        let what = format!("`{} {}` names a variable", given.name, given.arg(0));
        import.note(&given.spot, what, "write the folder; the route answers 404 until then");
        return not_found();
    }
    if given.is_none() && here.is_server() {
        return not_found();
    }
    let folder = import.below_prefix(given.map_or("html", |given| given.arg(0)));
    let (mut regex, mut exact) = (None, false);
    let folder = match (here.kind, alias) {
        (Kind::Expression, Some(alias)) => {
            let todo = "write the folder that the expression leads to; the route answers 404";
            import.note(&alias.spot, "`alias` in an expression's location is left out", todo);
            return not_found();
        }
        (Kind::Expression, None) => {
            regex = here.match_regex.as_deref().map(matching::without_groups);
            folder
        }
        (Kind::Exact, Some(alias)) => {
            let todo = "a route's files are a folder: name it, and a path with the same file";
            import.note(&alias.spot, "`alias` of an exact location is left out", todo);
            return not_found();
        }
        (_, Some(_)) | (Kind::Exact | Kind::Named, None) => folder,
        // What the match captures is below the location.
        (Kind::Prefix | Kind::Strong, None) => {
            let below = here.value.trim_matches('/');
            let last = below.rsplit('/').next().unwrap_or(below);
            exact = last.contains('.') && !here.value.ends_with('/');
            match below {
                "" => folder,
                _ if exact => folder,
                below => format!("{}/{below}", folder.trim_end_matches('/')),
            }
        }
    };
    let folder = if folder.len() > 1 { folder.trim_end_matches('/').to_owned() } else { folder };
    let mut files = Table::new().with("root", folder);
    if let Some(index) = effective(&here.levels, "index") {
        let names: Vec<String> =
            index.args.iter().filter(|name| !name.contains(['/', '$'])).cloned().collect();
        if !names.is_empty() {
            files.put("index", names);
        }
    }
    let errors = tries(import, here);
    Files { table: Table::new().with("files", files), errors, regex, exact }
}

fn not_found() -> Files {
    let respond = Table::new().with("status", 404i64);
    Files {
        table: Table::new().with("respond", respond),
        errors: Vec::new(),
        regex: None,
        exact: false,
    }
}

/// `try_files`: where to go on when no file is there.
fn tries(import: &mut Import<'_>, here: &Here<'_>) -> Vec<Value> {
    let Some(found) = effective(&here.levels, "try_files") else { return Vec::new() };
    let Some((last, names)) = found.args.split_last() else { return Vec::new() };
    let plain = |name: &String| matches!(name.as_str(), "$uri" | "$uri/" | "${uri}" | "${uri}/");
    if let Some(other) = names.iter().find(|name| !plain(name)) {
        let what = format!("`try_files` looks for {other}, too");
        import.note(&found.spot, what, "only the request's own file is looked for: see the route");
    }
    if let Some(code) = last.strip_prefix('=') {
        let status = code.parse::<u16>().unwrap_or(404);
        if status != 404 {
            let what = format!("`try_files` ends with {last}: the answer is 404");
            import.note(
                &found.spot,
                what,
                "answer from another route: errors = [{ on, to, status }]",
            );
        }
        return Vec::new();
    }
    let to = match last.strip_prefix('@') {
        Some(_) => here.named.iter().find(|(own, _)| own == last).map(|(_, name)| name.clone()),
        None => {
            let bare = last.replace("$is_args$args", "").replace("?$args", "");
            let bare = bare.split_once("?q=$uri").map_or(bare.clone(), |(path, _)| path.to_owned());
            (is_constant(&bare) && bare.starts_with('/')).then_some(bare)
        }
    };
    let Some(to) = to else {
        let what = format!("`try_files` ends with {last}, which is left out");
        import.note(&found.spot, what, "write errors = [{ on = [404], to = ... }] in the route");
        return Vec::new();
    };
    // Files are read by GET and HEAD; what takes their place may take more.
    let on: Vec<i64> = if to.starts_with('@') { vec![404, 405] } else { vec![404] };
    vec![Table::new().with("on", on).with("to", to).with("status", "own").into()]
}

/// `error_page` as `errors`; `asked`: the answer may be an upstream's, `scripts`: or a script's.
pub(super) fn error_pages(
    import: &mut Import<'_>,
    here: &Here<'_>,
    asked: bool,
    scripts: bool,
) -> Vec<Value> {
    let intercepts = super::switch(&here.levels, "proxy_intercept_errors", false);
    let mut pages = Vec::new();
    for page in super::all(&here.levels, "error_page") {
        let Some((to, rest)) = page.args.split_last() else { continue };
        let mut on: Vec<i64> = rest.iter().filter_map(|code| code.parse().ok()).collect();
        if asked && !intercepts {
            // What an upstream says is passed on by nginx; these are its own of such a route.
            let all = on.len();
            on.retain(|status| matches!(status, 413 | 500..=599));
            if scripts && on.len() < all {
                let what =
                    "where scripts stand before an upstream, pages are for 413 and 5xx alone";
                let todo = "answer in the script, or add `errors` if the upstream's may go, too";
                import.note(&page.spot, what, todo);
            }
        }
        on.retain(|status| (300..=599).contains(status));
        if asked && !intercepts && on.iter().any(|status| *status >= 500) {
            let what = "error pages stand in for errors of the upstream's own, too";
            let todo = "nothing, if that is wanted; else take `errors` from the route";
            import.note(&page.spot, what, todo);
        }
        if on.is_empty() {
            continue;
        }
        let mut table = Table::new().with("on", on);
        let to = match to.strip_prefix('@') {
            Some(_) => here.named.iter().find(|(own, _)| own == to).map(|(_, name)| name.clone()),
            None => Some(to.clone()),
        };
        let place = to.filter(|to| {
            let start = ["/", "@", "http://", "https://"];
            is_constant(to) && start.iter().any(|start| to.starts_with(start))
        });
        let Some(to) = place else {
            let what = format!("`error_page ... {}` is left out", page.arg(page.args.len() - 1));
            import.note(&page.spot, what, "write errors = [{ on, to }] in the route");
            continue;
        };
        let url = to.starts_with("http");
        table.put("to", to);
        let answer = rest.iter().find_map(|arg| arg.strip_prefix('='));
        match answer.map(str::parse::<i64>) {
            Some(Ok(status)) if url && !(301..=308).contains(&status) => {}
            Some(Ok(status)) if (200..=599).contains(&status) => table.put("status", status),
            Some(_) if !url => table.put("status", "own"),
            _ => {}
        }
        pages.push(Value::Table(table));
    }
    pages
}

/// What answers where a handler is none of the gateway's.
pub(super) fn missing(import: &mut Import<'_>, one: &Directive) -> Table {
    if one.name != "proxy_pass" && one.name != "grpc_pass" {
        let what = format!("`{}` is left out: the route answers 501", one.name);
        import.note(&one.spot, what, known::advice(&one.name));
    }
    Table::new().with("respond", Table::new().with("status", 501i64))
}

/// The body limit of a route, where it is not the listener's.
pub(super) fn body_limit(levels: &Levels<'_>) -> Option<String> {
    let inner = &levels[..levels.len().saturating_sub(1)];
    let found = effective(inner, "client_max_body_size")?;
    Some(super::listener::shown_body(units::size(found.arg(0))?))
}

/// A script for `return`.
pub(super) fn returned(import: &mut Import<'_>, here: &Here<'_>, one: &Directive) -> String {
    let names = here.names.clone();
    let lines = rewrite::answer(import, here, one, &names);
    script::write(import, &one.spot, "return", format!("{}\n", lines.join("\n")))
}

/// Lines that read the request's body first.
pub(super) fn need_body(levels: &Levels<'_>) -> Option<String> {
    super::switch(levels, "lua_need_request_body", false).then(|| "ngx.req.read_body()".to_owned())
}
