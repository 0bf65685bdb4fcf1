//! What texts must look like: hosts, methods, fields, paths, templates.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::manifest::{Cidr, PathRegex};
use crate::typed::Refusal;

/// RFC 9110 section 5.6.2: the characters of methods and field names.
pub(super) fn is_token(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(fine)
}

/// A method. They are case-sensitive, and the registered ones are upper case.
pub(super) fn method(text: &str) -> Result<(), Refusal> {
    if !is_token(text) {
        return Err(Refusal::bare(format!("{text:?} is not a method")));
    }
    let upper = text.to_ascii_uppercase();
    if text != upper {
        let hint = format!("methods are case-sensitive; did you mean {upper:?}?");
        return Err(Refusal::new(format!("{text:?} is not a method"), hint));
    }
    Ok(())
}

/// A field's name, in any case.
pub(super) fn field_name(text: &str) -> Result<(), Refusal> {
    match is_token(text) {
        true => Ok(()),
        false => Err(Refusal::bare(format!("{text:?} is not a header name"))),
    }
}

/// Fields of a gateway's own answer: framing is not up to the manifest.
pub(super) fn answer_field(text: &str) -> Result<(), Refusal> {
    const FRAMING: &[&str] = &[
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "trailer",
        "te",
    ];
    field_name(text)?;
    if FRAMING.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(Refusal::bare(format!("{text:?} is set by the gateway itself")));
    }
    Ok(())
}

/// A field's value: no control characters, no blanks around it (RFC 9110 section 5.5).
pub(super) fn field_value(text: &str) -> Result<(), Refusal> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Refusal::bare("a header value cannot hold control characters"));
    }
    if text.trim_matches([' ', '\t']) != text {
        return Err(Refusal::bare("a header value cannot begin or end with a blank"));
    }
    Ok(())
}

/// A host name or address of an endpoint, without brackets.
pub(super) fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_name(text)
}

fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(fine) && !label.starts_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// The host of a match, lower case, an IPv6 address in brackets as in `Host`.
pub(super) fn host(text: &str) -> Result<String, Refusal> {
    let refuse = |hint: &str| Err(Refusal::new(format!("{text:?} is not a host"), hint));
    let lower = text.to_ascii_lowercase();
    if lower.contains("://") || lower.contains('/') {
        return refuse("a host alone, such as \"img.example.com\"");
    }
    if !text.is_ascii() {
        return refuse("names in other scripts are written in their ASCII form (xn--...)");
    }
    if let Ok(IpAddr::V6(address)) = lower.trim_matches(['[', ']']).parse() {
        return Ok(format!("[{address}]"));
    }
    if lower == "*" {
        return refuse("leave `host` out to match any host");
    }
    if lower.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())) {
        return refuse("without the port; `match.listeners` tells ports apart");
    }
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    if !is_name(name.strip_prefix("*.").unwrap_or(name)) {
        return refuse("such as \"img.example.com\" or \"*.example.com\"");
    }
    Ok(name.to_owned())
}

/// More wildcards than that are not captured.
const MOST_CAPTURES: usize = 8;

/// The path pattern of a match, with escapes in the one form in which paths are compared.
pub(super) fn path(text: &str) -> Result<String, Refusal> {
    let refuse = |hint: &str| Err(Refusal::new(format!("{text:?} is not a path pattern"), hint));
    if !text.starts_with('/') {
        return refuse("a path begins with `/`");
    }
    if text.contains('?') {
        return refuse("the query is matched by `match.query`");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['#', '\\', '"', '<', '>']) {
        return refuse("other characters are written percent-encoded, such as %20");
    }
    let before = text.strip_suffix('*').unwrap_or(text);
    if text.contains("**") || before.split('/').any(|part| part != "*" && part.contains('*')) {
        return refuse("a `*` stands for a whole segment; at the end, for all that follows");
    }
    if text.contains("//") || text.split('/').any(|part| part == "." || part == "..") {
        return refuse("paths are compared without empty, `.` and `..` segments");
    }
    if text.matches('*').count() > MOST_CAPTURES {
        return refuse("a pattern has at most 8 wildcards");
    }
    match escapes(text) {
        Some(path) => Ok(path),
        None => refuse("a `%` is followed by two hexadecimal digits, and by no control character"),
    }
}

/// The longest regular expression, in bytes.
const LONGEST_REGEX: usize = 1024;

/// A regular expression over paths.
pub(super) fn regex(text: &str) -> Result<PathRegex, Refusal> {
    let refuse = |message: &str, hint: &str| {
        Err(Refusal::new(format!("{text:?} is not a regular expression: {message}"), hint))
    };
    if text.len() > LONGEST_REGEX {
        return refuse("it is too long", "at most 1024 bytes");
    }
    if !text.is_ascii() {
        return refuse("paths are ASCII", "other characters are percent-encoded, such as %20");
    }
    match PathRegex::new(text) {
        Ok(regex) => Ok(regex),
        Err(why) if why.contains("not supported") => {
            refuse(&why, "several routes with several expressions can often say the same")
        }
        Err(why) => Err(Refusal::bare(format!("{text:?} is not a regular expression: {why}"))),
    }
}

/// RFC 3986 section 6.2.2: escapes in upper case, and none for what needs none.
fn escapes(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let byte =
            u8::from_str_radix(part.get(..2).filter(|hex| !hex.starts_with('+'))?, 16).ok()?;
        match byte {
            _ if byte.is_ascii_control() => return None,
            _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(byte.into()),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out.push_str(&part[2..]);
    }
    Some(out)
}

/// What templates know beside captures.
const NAMES: &[&str] = &["host", "path", "query"];

/// A template: `{1}` up to `{captures}`, and the names. There is no escape for a brace: it cannot
/// stand in a path.
pub(super) fn template(text: &str, captures: usize) -> Result<(), Refusal> {
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let inner = rest[at..].strip_prefix('{').and_then(|after| after.split_once('}'));
        let Some((inner, after)) = inner else {
            return Err(Refusal::bare(format!("a brace without its partner in {text:?}")));
        };
        rest = after;
        match inner.parse::<usize>() {
            Ok(number) if number >= 1 && number <= captures => {}
            Ok(_) if captures == 0 => {
                let message = format!("{{{inner}}} stands for nothing: the match captures nothing");
                return Err(Refusal::bare(message));
            }
            Ok(_) => {
                let hint = match captures {
                    1 => "the match captures only {1}".to_owned(),
                    _ => format!("the match captures {{1}} to {{{captures}}}"),
                };
                return Err(Refusal::new(format!("{{{inner}}} stands for nothing"), hint));
            }
            Err(_) if NAMES.contains(&inner) => {}
            Err(_) => {
                let mut known = vec!["{1}".to_owned()];
                known.extend(NAMES.iter().map(|name| format!("{{{name}}}")));
                let hint = format!("templates know {}", known.join(", "));
                return Err(Refusal::new(format!("{{{inner}}} stands for nothing"), hint));
            }
        }
    }
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return Err(Refusal::bare(format!("{text:?} holds a blank or a control character")));
    }
    Ok(())
}

/// An address, or a network such as `10.0.0.0/8`.
pub(super) fn cidr(text: &str) -> Result<Cidr, Refusal> {
    let refuse = || Refusal::new(format!("{text:?} is not a network"), "such as \"10.0.0.0/8\"");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| refuse())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.parse::<u8>().map_err(|_| refuse())?,
        None => longest,
    };
    if prefix > longest {
        let message = format!("{text:?} is not a network: the prefix is at most {longest}");
        return Err(Refusal::bare(message));
    }
    Ok(Cidr { address, prefix })
}

/// The name of a service: of hosts, where `_` may stand, too.
pub(super) fn service(text: &str) -> Result<(), Refusal> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let mut labels = text.trim_end_matches('.').split('.');
    let fine = labels.all(|label| (1..=63).contains(&label.len()) && label.bytes().all(fine));
    match fine && text.len() <= 253 {
        true => Ok(()),
        false => {
            let message = format!("{text:?} is not the name of a service");
            Err(Refusal::new(message, "such as \"_http._tcp.app.internal\""))
        }
    }
}

/// What a probe asks for: a path, perhaps with a query.
pub(super) fn request_path(text: &str) -> Result<(), Refusal> {
    match text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        true => Ok(()),
        false => {
            let message = format!("{text:?} is not the path of a request");
            Err(Refusal::new(message, "such as \"/healthz\""))
        }
    }
}

/// The name of an environment variable.
pub(super) fn variable(text: &str) -> Result<(), Refusal> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match !text.is_empty() && text.bytes().all(fine) && !text.as_bytes()[0].is_ascii_digit() {
        true => Ok(()),
        false => Err(Refusal::bare(format!("{text:?} cannot be an environment variable"))),
    }
}

/// The name of a variable of scripts.
pub(super) fn ngx_variable(text: &str) -> Result<(), Refusal> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match (1..=64).contains(&text.len()) && text.bytes().all(fine) {
        true => Ok(()),
        false => {
            let hint = "variables are letters, digits and `_`, at most 64, without the `$`";
            Err(Refusal::new(format!("{text:?} cannot be a variable"), hint))
        }
    }
}

/// A plugin's name, which is that of a folder.
pub(super) fn plugin(text: &str) -> Result<(), Refusal> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    match (1..=64).contains(&text.len()) && text.bytes().all(fine) {
        true => Ok(()),
        false => {
            let hint = "such as \"key-auth\"; its folder is kong/plugins/key-auth on [lua] path";
            Err(Refusal::new(format!("{text:?} is not the name of a plugin"), hint))
        }
    }
}

/// An argument or an environment variable's value.
pub(super) fn argument(text: &str) -> Result<(), Refusal> {
    match text.contains('\0') {
        true => Err(Refusal::bare("this cannot hold a NUL character")),
        false => Ok(()),
    }
}

/// The name of a unit of systemd, perhaps with the place where an instance listens.
pub(super) fn unit(text: &str) -> Result<(), Refusal> {
    let plain = text.replace("{port}", "").replace("{socket}", "");
    let fine = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    match (1..=255).contains(&text.len()) && plain.bytes().all(fine) && !text.starts_with('-') {
        true => Ok(()),
        false => {
            let hint = "such as \"app.service\" or \"app@{port}.service\"";
            Err(Refusal::new(format!("{text:?} is not the name of a unit"), hint))
        }
    }
}

/// The name of a container.
pub(super) fn container(text: &str) -> Result<(), Refusal> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    match starts && text.len() <= 255 && text.bytes().all(fine) {
        true => Ok(()),
        false => {
            let hint = "the name of a container that is there; an image is `container = { image = \"...\", port = 8080 }`";
            Err(Refusal::new(format!("{text:?} is not the name of a container"), hint))
        }
    }
}
