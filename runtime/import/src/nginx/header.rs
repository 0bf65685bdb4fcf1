//! Directives that write fields, as lines of scripts.

use super::location::Here;
use super::parse::Directive;
use super::var::is_constant;
use super::{Import, all, effective, script, units};
use crate::lua::literal;

/// Statuses whose answers `add_header` changes without `always`.
const FINE: &str = "({ [200] = 1, [201] = 1, [204] = 1, [206] = 1, [301] = 1, [302] = 1, [303] = 1, \
                    [304] = 1, [307] = 1, [308] = 1 })[ngx.status]";

/// Fields that an upstream's answer may have more than one of.
const SEVERAL: &[&str] =
    &["set-cookie", "link", "vary", "via", "www-authenticate", "cache-control"];

/// What the response's head gets and loses on its way to the client.
pub(super) fn response(import: &mut Import<'_>, here: &Here<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for hidden in all(&here.levels, "proxy_hide_header") {
        lines.push(script::set_field(hidden.arg(0), "nil"));
    }
    for cleared in all(&here.levels, "more_clear_headers") {
        for name in plain(import, cleared) {
            match name.contains('*') {
                false => lines.push(script::set_field(&name, "nil")),
                true => {
                    let what = format!("fields like {name} are not removed");
                    import.note(&cleared.spot, what, "name each, or remove them in a script");
                }
            }
        }
    }
    for set in all(&here.levels, "more_set_headers") {
        for field in plain(import, set) {
            let (name, value) = field.split_once(':').unwrap_or((&field, ""));
            let value = match value.trim() {
                "" => "nil".to_owned(),
                value => import.expression(value, &here.names, &set.spot),
            };
            lines.push(script::set_field(name.trim(), &value));
        }
    }
    let mut guarded = Vec::new();
    for added in all(&here.levels, "add_header") {
        let constant = is_constant(added.arg(1));
        let made = import.expression(added.arg(1), &here.names, &added.spot);
        let value = if constant { made.as_str() } else { "value" };
        let name = added.arg(0);
        let several = SEVERAL.contains(&name.to_ascii_lowercase().as_str());
        let line = match several {
            true => format!("require(\"ngx.resp\").add_header({}, {value})", literal(name)),
            false => script::set_field(name, value),
        };
        // A field without a value is none.
        let line = match constant {
            true => line,
            false => format!("do local value = {made} if value ~= \"\" then {line} end end"),
        };
        match added.arg(2) {
            "always" => lines.push(line),
            _ => guarded.push(line),
        }
    }
    guarded.extend(expires(import, here));
    if !guarded.is_empty() {
        lines.push(format!("if {FINE} then"));
        lines.extend(guarded);
        lines.push("end".to_owned());
    }
    lines
}

/// `expires 30d`, `-1`, `epoch`, `max`.
fn expires(import: &mut Import<'_>, here: &Here<'_>) -> Vec<String> {
    let Some(found) = effective(&here.levels, "expires") else { return Vec::new() };
    let text = found.arg(0);
    let (control, at) = match text {
        "off" => return Vec::new(),
        "epoch" => ("no-cache".to_owned(), "1".to_owned()),
        "max" => ("max-age=315360000".to_owned(), "2145916555".to_owned()),
        text if text.starts_with('-') => ("no-cache".to_owned(), "ngx.time() - 1".to_owned()),
        text => match units::time(text) {
            Some(time) => {
                let seconds = time.as_secs();
                (format!("max-age={seconds}"), format!("ngx.time() + {seconds}"))
            }
            None => {
                let what = format!("`expires {}` is left out", found.args.join(" "));
                import.note(&found.spot, what, "set Expires in a header_filter script");
                return Vec::new();
            }
        },
    };
    vec![
        script::set_field("Expires", &format!("ngx.http_time({at})")),
        script::set_field("Cache-Control", &literal(&control)),
    ]
}

/// The fields of a directive of headers-more; conditions are no part of it.
fn plain(import: &mut Import<'_>, directive: &Directive) -> Vec<String> {
    if directive.args.iter().any(|arg| matches!(arg.as_str(), "-s" | "-t" | "-r" | "-a")) {
        let what = format!("`{}` with conditions is left out", directive.name);
        import.note(&directive.spot, what, "set the field in a header_filter script");
        return Vec::new();
    }
    directive.args.clone()
}

/// What a request's head gets before anything else.
pub(super) fn input(import: &mut Import<'_>, here: &Here<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for set in all(&here.levels, "more_set_input_headers") {
        for field in plain(import, set) {
            let (name, value) = field.split_once(':').unwrap_or((&field, ""));
            let value = import.expression(value.trim(), &here.names, &set.spot);
            lines.push(format!("ngx.req.set_header({}, {value})", literal(name.trim())));
        }
    }
    for cleared in all(&here.levels, "more_clear_input_headers") {
        for name in plain(import, cleared) {
            lines.push(format!("ngx.req.clear_header({})", literal(&name)));
        }
    }
    lines
}

/// Fields of a connection, which the gateway writes itself.
const CONNECTION: &[&str] = &["connection", "upgrade", "keep-alive", "te", "transfer-encoding"];

/// Values of `Host` that are what the client sent.
const SAME_HOST: &[&str] =
    &["$http_host", "$host", "$host:$server_port", "$http_host:$server_port"];

/// What an upstream gets in a request's head: nginx sends it the name in `proxy_pass` as `Host`,
/// unless it says another.
pub(super) fn upstream(
    import: &mut Import<'_>,
    here: &Here<'_>,
    directive: &str,
    host: &str,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut names_host = false;
    for set in all(&here.levels, directive) {
        let (name, value) = (set.arg(0), set.arg(1));
        let lower = name.to_ascii_lowercase();
        if CONNECTION.contains(&lower.as_str()) {
            continue;
        }
        names_host |= lower == "host";
        if lower == "host" && SAME_HOST.contains(&value) {
            continue;
        }
        if value.is_empty() {
            lines.push(format!("ngx.req.clear_header({})", literal(name)));
            continue;
        }
        let value = import.expression(value, &here.names, &set.spot);
        lines.push(format!("ngx.req.set_header({}, {value})", literal(name)));
    }
    if !names_host {
        lines.push(format!("ngx.req.set_header(\"Host\", {})", literal(host)));
    }
    lines
}
