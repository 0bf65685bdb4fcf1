//! Who may pass: `allow`, `deny`, `auth_request`, `auth_basic`. What can't be said refuses everyone.

use std::net::IpAddr;

use super::location::Here;
use super::parse::Directive;
use super::{Import, all, effective};
use crate::lua::literal;

/// Directives of other modules that say who may pass.
pub(super) const UNKNOWN: &[&str] = &[
    "auth_jwt",
    "auth_digest",
    "auth_gssapi",
    "auth_ldap",
    "auth_oidc",
    "auth_pam",
    "auth_spnego",
    "auth_token",
];

const NO: &str = "do return ngx.exit(403) end";

/// Whether a location has a guard of its own, or refuses everyone.
pub(super) fn guards(here: &Here<'_>) -> bool {
    here.own().iter().any(|one| match one.name.as_str() {
        "deny" | "internal" | "limit_except" => true,
        "return" => matches!(one.arg(0), "401" | "403" | "404" | "444"),
        name => name.starts_with("auth_") || name.starts_with("access_by_lua"),
    })
}

/// Lines of an access script.
pub(super) fn lines(import: &mut Import<'_>, here: &Here<'_>) -> Vec<String> {
    let satisfy = effective(&here.levels, "satisfy").filter(|one| one.arg(0) == "any");
    let of_addresses = {
        let is_rule = |one: &Directive| one.name == "allow" || one.name == "deny";
        let level = here.levels.iter().find(|level| level.iter().any(is_rule));
        addresses(import, level.copied().unwrap_or_default())
    };
    let others = [
        of_addresses,
        auth_request(import, here),
        methods(import, here),
        auth_basic(import, here),
        unknown(import, here),
    ];
    if let Some(satisfy) =
        satisfy.filter(|_| others.iter().filter(|all| !all.is_empty()).count() > 1)
    {
        let what = "`satisfy any`: all of the conditions must hold here";
        import.note(&satisfy.spot, what, "write one access script that asks them in turn");
    }
    others.concat()
}

/// `limit_except GET { deny all; }`: what holds for all other methods.
fn methods(import: &mut Import<'_>, here: &Here<'_>) -> Vec<String> {
    let Some(found) = here.own().iter().find(|one| one.name == "limit_except") else {
        return Vec::new();
    };
    let mut names: Vec<&str> = found.args.iter().map(String::as_str).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    let rows = names.iter().map(|name| format!("[{}] = 1", literal(name)));
    let rows = rows.collect::<Vec<_>>().join(", ");
    let mut lines = vec![format!("if not ({{ {rows} }})[ngx.req.get_method()] then")];
    let rules = addresses(import, found.children());
    let is_rule = |one: &Directive| matches!(one.name.as_str(), "allow" | "deny");
    if let Some(other) = found.children().iter().find(|one| !is_rule(one)) {
        let what = format!("`{}` within `limit_except`: those methods are refused", other.name);
        import.note(&other.spot, what, "ask in an access script who may use them");
        lines.push(NO.to_owned());
    }
    lines.extend(rules);
    lines.push("end".to_owned());
    lines
}

/// Guards of modules that have no like.
fn unknown(import: &mut Import<'_>, here: &Here<'_>) -> Vec<String> {
    let guards = |one: &&Directive| {
        let name = one.name.as_str();
        UNKNOWN.contains(&name) && one.arg(0) != "off"
    };
    let level = here.levels.iter().find_map(|level| level.iter().find(guards));
    let Some(found) = level else { return Vec::new() };
    let what = format!("`{}` can't be asked here: everyone is refused", found.name);
    import.note(&found.spot, what, "ask in an access script; then remove the 403");
    vec![NO.to_owned()]
}

/// nginx's rules: the first that fits counts.
fn addresses(import: &mut Import<'_>, block: &[Directive]) -> Vec<String> {
    let is_rule = |one: &&Directive| one.name == "allow" || one.name == "deny";
    let rules: Vec<&Directive> = block.iter().filter(is_rule).collect();
    if !rules.iter().any(|rule| rule.name == "deny") {
        return Vec::new();
    }
    let mut lines = Vec::new();
    let mut networks = false;
    let mut inner = Vec::new();
    for rule in rules {
        let verdict = if rule.name == "deny" { NO } else { "do break end" };
        match test(rule.arg(0)) {
            Test::All => {
                inner.push(verdict.to_owned());
                break;
            }
            Test::If(test, network) => {
                networks |= network;
                inner.push(format!("if {test} then {verdict} end"));
            }
            Test::None => {
                let what = format!("`{} {}` can't be asked here", rule.name, rule.arg(0));
                if rule.name == "deny" {
                    inner.push(NO.to_owned());
                    let todo = "everyone is refused until an access script asks for it";
                    import.note(&rule.spot, what, todo);
                    break;
                }
                import.note(&rule.spot, what, "nobody is let in by it: ask in an access script");
            }
        }
    }
    if networks {
        lines.extend(WITHIN.iter().map(|line| (*line).to_owned()));
    }
    lines.push("local address = ngx.var.remote_addr".to_owned());
    lines.push("repeat".to_owned());
    lines.extend(inner);
    lines.push("until true".to_owned());
    lines
}

/// Whether an IPv4 address is in a network.
const WITHIN: &[&str] = &[
    "local function number(text)",
    "local a, b, c, d = (text or \"\"):match(\"^(%d+)%.(%d+)%.(%d+)%.(%d+)$\")",
    "return a and ((a * 256 + b) * 256 + c) * 256 + d",
    "end",
    "local function within(text, network, size)",
    "local n = number(text)",
    "return n ~= nil and math.floor(n / size) == network",
    "end",
];

enum Test {
    All,
    /// A condition, and whether it compares networks.
    If(String, bool),
    None,
}

fn test(whom: &str) -> Test {
    if whom == "all" {
        return Test::All;
    }
    // As the gateway writes addresses, whatever the form here.
    let alone = whom.parse::<IpAddr>().map(|address| address.to_canonical().to_string());
    if let Some(alone) = alone.ok().or((whom == "unix:").then(|| whom.to_owned())) {
        return Test::If(format!("address == {}", literal(&alone)), false);
    }
    let Some((address, bits)) = whom.split_once('/') else { return Test::None };
    match (address.parse::<std::net::Ipv4Addr>(), bits.parse::<u32>()) {
        (Ok(address), Ok(bits @ 0..=32)) => {
            let size = 1u64 << (32 - bits);
            let network = u64::from(u32::from(address)) / size;
            Test::If(format!("within(address, {network}, {size})"), true)
        }
        _ => Test::None,
    }
}

/// The answer to a subrequest says who may pass: 2xx lets in, 401 and 403 are passed on.
fn auth_request(import: &mut Import<'_>, here: &Here<'_>) -> Vec<String> {
    let Some(found) = effective(&here.levels, "auth_request") else { return Vec::new() };
    if found.arg(0) == "off" {
        return Vec::new();
    }
    let uri = import.expression(found.arg(0), &here.names, &found.spot);
    let mut lines = vec![
        format!("local asked = ngx.location.capture({uri}, {{ method = ngx.HTTP_GET }})"),
        "if asked.status == 401 then ngx.header[\"WWW-Authenticate\"] = \
         asked.header[\"WWW-Authenticate\"] end"
            .to_owned(),
        "if asked.status == 401 or asked.status == 403 then return ngx.exit(asked.status) end"
            .to_owned(),
        "if asked.status < 200 or asked.status > 299 then return ngx.exit(500) end".to_owned(),
    ];
    for set in all(&here.levels, "auth_request_set") {
        let value = set.arg(1).trim_start_matches('$');
        let name = literal(super::var::bare(set.arg(0)));
        match value.strip_prefix("upstream_http_").or(value.strip_prefix("sent_http_")) {
            Some(field) => {
                let field = literal(&field.replace('_', "-"));
                lines.push(format!("ngx.var[{name}] = asked.header[{field}] or \"\""));
            }
            None if value == "upstream_status" || value == "status" => {
                lines.push(format!("ngx.var[{name}] = asked.status"));
            }
            None => {
                let what = format!("`auth_request_set` of ${value} is left out");
                import.note(&set.spot, what, "set it in an access script, from a field");
            }
        }
    }
    lines
}

fn auth_basic(import: &mut Import<'_>, here: &Here<'_>) -> Vec<String> {
    let Some(found) = effective(&here.levels, "auth_basic") else { return Vec::new() };
    if found.arg(0) == "off" {
        return Vec::new();
    }
    let what = "`auth_basic`: the hashes of its file can't be checked, so everyone is refused";
    let todo = "kong = \"basic-auth\" with [[consumers]], or an access script; then remove the 403";
    import.note(&found.spot, what, todo);
    vec![NO.to_owned()]
}
