//! The variables that nginx has of itself (`ngx.var`), as far as a gateway can know them.

use std::borrow::Cow;
use std::net::IpAddr;
use std::os::raw::c_int;

use pilotlight_filter::exchange::Identity;
use pilotlight_filter::{Exchange, Fields, Scheme};

use super::Fast;
use super::url::percent_decode;
use crate::base64::{self, Reader};
use crate::calendar::{self, Form};
use crate::crypto::pem;
use crate::watchdog::stopping;
use crate::window::{NONE, TEXT, Window, given};

type Found<'a> = Option<Cow<'a, [u8]>>;
type Variable = for<'a> fn(&'a Exchange, Clock<'_>) -> Found<'a>;

/// Seconds since 1970, for the few variables that are times.
type Clock<'a> = &'a dyn Fn() -> f64;

pub(crate) fn fast() -> [Fast; 4] {
    [
        fast!("var", var(window, text, int) -> int),
        fast!("var_at", var_at(window, int) -> int),
        fast!("var_known", known(window, text, int) -> int),
        fast!("capture", capture(window, int) -> int),
    ]
}

/// The names of those that are no family, by number.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().map(|(name, _)| *name)
}

/// The value of a variable of a family: 1 and the text, or 0.
unsafe fn var(window: *mut Window, name: *const u8, len: c_int) -> c_int {
    // SAFETY: the prelude passes its own window and a Lua string.
    let (window, name) = unsafe { (&mut *window, given(name, len)) };
    shown(window, |exchange, _| of_family(exchange, name))
}

/// The same of one that is of none, by its number.
unsafe fn var_at(window: *mut Window, number: c_int) -> c_int {
    // SAFETY: the prelude passes its own window.
    let window = unsafe { &mut *window };
    let Some((_, variable)) = VARIABLES.get(number as usize) else { return NONE };
    shown(window, variable)
}

fn shown(
    window: &mut Window,
    value: impl for<'a> Fn(&'a Exchange, Clock<'_>) -> Found<'a>,
) -> c_int {
    let services = window.host.services.clone();
    let Some(exchange) = window.exchange() else { return NONE };
    match value(exchange, &|| services.now()) {
        None => NONE,
        Some(Cow::Borrowed(text)) => {
            let text = &raw const *text;
            window.show(text);
            TEXT
        }
        Some(Cow::Owned(text)) => {
            window.show_held(text);
            TEXT
        }
    }
}

/// Whether there is such a variable, set or not.
unsafe fn known(_: *mut Window, name: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `var`.
    let name = unsafe { given(name, len) };
    let family = FAMILIES.iter().any(|(prefix, _)| name.starts_with(prefix));
    c_int::from(family || VARIABLES.iter().any(|(known, _)| known.as_bytes() == name))
}

/// What the route's pattern captured: `$1` and so on.
unsafe fn capture(window: *mut Window, number: c_int) -> c_int {
    // SAFETY: as in `var`.
    let window = unsafe { &mut *window };
    let Some(exchange) = window.exchange() else { return NONE };
    let Some(text) = usize::try_from(number).ok().and_then(|n| exchange.captures.get(n)) else {
        return NONE;
    };
    let text = percent_decode(text, false);
    window.show_held(text);
    TEXT
}

/// A variable's value, for who is not a script.
pub(crate) fn text_of(exchange: &Exchange, name: &str) -> Option<Vec<u8>> {
    find(exchange, name.as_bytes(), &|| 0.0).map(Cow::into_owned)
}

fn find<'a>(exchange: &'a Exchange, name: &[u8], clock: Clock<'_>) -> Found<'a> {
    if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| known.as_bytes() == name) {
        return variable(exchange, clock);
    }
    of_family(exchange, name)
}

fn of_family<'a>(exchange: &'a Exchange, name: &[u8]) -> Found<'a> {
    let (prefix, family) = FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix))?;
    family(exchange, &name[prefix.len()..])
}

fn text(text: &str) -> Found<'_> {
    Some(Cow::Borrowed(text.as_bytes()))
}

fn made<'a>(text: impl ToString) -> Found<'a> {
    Some(Cow::Owned(text.to_string().into_bytes()))
}

fn bytes(bytes: &[u8]) -> Found<'_> {
    Some(Cow::Borrowed(bytes))
}

/// Seconds with milliseconds, as nginx writes times.
fn seconds<'a>(seconds: f64) -> Found<'a> {
    made(format!("{seconds:.3}"))
}

fn address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_canonical(),
        v4 => v4,
    }
}

fn is_unix(e: &Exchange) -> bool {
    e.peer.port == 0 && e.peer.address.is_unspecified()
}

/// The request's target as it was sent.
fn target(e: &Exchange) -> Vec<u8> {
    e.original.as_ref().map_or_else(|| target_now(e), |original| original.to_vec())
}

/// The request's target as it is by now.
fn target_now(e: &Exchange) -> Vec<u8> {
    let mut target = e.request.head.path().to_vec();
    if let Some(query) = e.request.head.query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    target
}

fn tls(e: &Exchange) -> Option<&pilotlight_filter::TlsInfo> {
    e.peer.tls.as_deref()
}

/// A variable by name; `None` where it has no value now.
const VARIABLES: &[(&str, Variable)] = &[
    ("args", |e, _| bytes(e.request.head.query().unwrap_or_default())),
    ("binary_remote_addr", |e, _| match address(e.peer.address) {
        IpAddr::V4(v4) => Some(Cow::Owned(v4.octets().to_vec())),
        IpAddr::V6(v6) => Some(Cow::Owned(v6.octets().to_vec())),
    }),
    ("body_bytes_sent", |e, _| made(e.stats.sent)),
    ("bytes_sent", |e, _| made(e.stats.head + e.stats.sent)),
    ("connection", |e, _| made(e.peer.number)),
    ("connection_requests", |e, _| made(e.peer.requests.get())),
    ("content_length", |e, _| {
        let length = e.request.body.length().filter(|length| *length > 0);
        length.map(|length| Cow::Owned(length.to_string().into_bytes()))
    }),
    ("content_type", |e, _| e.request.head.fields.get(b"content-type").map(Cow::Borrowed)),
    ("document_uri", |e, _| uri(e)),
    ("host", |e, _| match e.request.head.host() {
        [] => text(&e.peer.listener),
        host => Some(Cow::Owned(host.to_ascii_lowercase())),
    }),
    ("hostname", |_, _| hostname()),
    ("http2", |e, _| match (e.request.head.version.text(), e.request.head.scheme) {
        ("2", Scheme::Https) => text("h2"),
        ("2", Scheme::Http) => text("h2c"),
        _ => text(""),
    }),
    ("http3", |e, _| text(if e.request.head.version.text() == "3" { "h3" } else { "" })),
    ("https", |e, _| text(if e.request.head.scheme == Scheme::Https { "on" } else { "" })),
    ("is_args", |e, _| {
        text(if e.request.head.query().is_some_and(|q| !q.is_empty()) { "?" } else { "" })
    }),
    ("msec", |_, clock| seconds(clock())),
    ("nginx_version", |_, _| text(NGINX_VERSION)),
    ("pid", |_, _| made(std::process::id())),
    ("proxy_protocol_addr", |_, _| None),
    ("query_string", |e, _| bytes(e.request.head.query().unwrap_or_default())),
    ("realip_remote_addr", |e, _| text(&e.peer.text)),
    ("realip_remote_port", |e, _| made(e.peer.port)),
    ("remote_addr", |e, _| match is_unix(e) {
        true => text("unix:"),
        false => text(&e.peer.text),
    }),
    ("remote_port", |e, _| if is_unix(e) { text("") } else { made(e.peer.port) }),
    ("remote_user", |e, _| {
        let given = e.request.head.fields.get(b"authorization")?;
        let basic = given.get(..6).filter(|scheme| scheme.eq_ignore_ascii_case(b"basic "))?;
        let pair = base64::decode(given[basic.len()..].trim_ascii(), Reader::Nginx, &stopping)?;
        let colon = memchr::memchr(b':', &pair)?;
        Some(Cow::Owned(pair[..colon].to_vec()))
    }),
    ("request", |e, _| {
        let head = &e.request.head;
        let mut line = head.method_text().to_vec();
        line.push(b' ');
        line.extend_from_slice(&target(e));
        line.push(b' ');
        line.extend_from_slice(head.version.protocol().as_bytes());
        Some(Cow::Owned(line))
    }),
    ("request_body", |e, _| e.request.body.whole().filter(|b| !b.is_empty()).map(Cow::Borrowed)),
    ("request_completion", |e, _| text(if e.stats.duration > 0.0 { "OK" } else { "" })),
    ("request_filename", |e, _| bytes(e.request.head.path())),
    ("request_id", |e, _| text(&e.id)),
    ("request_length", |e, _| {
        let head: usize = e.request.head.fields.iter().map(|(_, n, v)| n.len() + v.len() + 4).sum();
        made((head + target(e).len() + 32) as u64 + e.request.body.received())
    }),
    ("request_method", |e, _| bytes(e.request.head.method_text())),
    ("request_time", |e, clock| seconds((clock() - e.stats.started).max(0.0))),
    ("request_uri", |e, _| Some(Cow::Owned(target(e)))),
    ("scheme", |e, _| text(e.request.head.scheme.text())),
    ("server_addr", |e, _| {
        e.peer.local.map(|local| Cow::Owned(address(local.ip()).to_string().into()))
    }),
    ("server_name", |e, _| text(&e.peer.listener)),
    ("server_port", |e, _| e.peer.local.map(|local| Cow::Owned(local.port().to_string().into()))),
    ("server_protocol", |e, _| text(e.request.head.version.protocol())),
    ("ssl_cipher", |e, _| tls(e).map(|_| Cow::Borrowed(&b""[..]))),
    ("ssl_client_cert", |e, _| {
        // As nginx has it: a tab begins each line but the first.
        Some(Cow::Owned(raw(e)?.replace('\n', "\n\t").into_bytes()))
    }),
    ("ssl_client_escaped_cert", |e, _| {
        Some(Cow::Owned(super::url::percent_encode((raw(e)? + "\n").as_bytes())))
    }),
    ("ssl_client_fingerprint", |e, _| client(e).map(|c| Cow::Borrowed(c.fingerprint.as_bytes()))),
    ("ssl_client_raw_cert", |e, _| Some(Cow::Owned((raw(e)? + "\n").into_bytes()))),
    ("ssl_client_s_dn", |e, _| client(e).map(|c| Cow::Borrowed(c.subject.as_bytes()))),
    ("ssl_client_verify", |e, _| {
        let tls = tls(e)?;
        match (&tls.client, &tls.distrusted) {
            (Some(_), _) => text("SUCCESS"),
            (None, Some(distrusted)) => made(format!("FAILED:{}", distrusted.1)),
            (None, None) => text("NONE"),
        }
    }),
    ("ssl_protocol", |e, _| tls(e).map(|tls| Cow::Owned(format!("TLSv{}", tls.version).into()))),
    ("ssl_server_name", |e, _| {
        tls(e).and_then(|tls| Some(Cow::Borrowed(tls.server_name.as_ref()?.as_bytes())))
    }),
    ("status", |e, _| made(format!("{:03}", e.response.head.status))),
    ("time_iso8601", |_, clock| made(calendar::format(clock(), Form::Iso8601))),
    ("time_local", |_, clock| made(calendar::format(clock(), Form::Log))),
    ("upstream_addr", |e, _| e.server.as_ref().map(|s| Cow::Borrowed(s.address.as_bytes()))),
    ("upstream_connect_time", |e, _| asked(e).and_then(|_| seconds(e.stats.connect))),
    ("upstream_header_time", |e, _| asked(e).and_then(|_| seconds(e.stats.upstream))),
    ("upstream_response_time", |e, clock| {
        asked(e).and_then(|_| seconds((clock() - e.stats.started).max(e.stats.upstream)))
    }),
    ("upstream_status", |e, _| asked(e).and_then(|_| made(e.stats.upstream_status))),
    ("uri", |e, _| uri(e)),
];

/// The nginx whose dialect this is.
const NGINX_VERSION: &str = "1.29.2";

fn hostname<'a>() -> Found<'a> {
    let mut name = [0_u8; 256];
    // SAFETY: writes a name of at most that many bytes, which ends with a zero where there is room.
    let status = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
    let len = name.iter().position(|byte| *byte == 0).filter(|_| status == 0)?;
    Some(Cow::Owned(name[..len].to_ascii_lowercase()))
}

/// What the client has shown, trusted or not.
pub(crate) fn client(e: &Exchange) -> Option<&Identity> {
    let tls = tls(e)?;
    tls.client.as_ref().or(tls.distrusted.as_deref().map(|(client, _)| client))
}

/// Its certificate as PEM, without the last end of line.
fn raw(e: &Exchange) -> Option<String> {
    let pem = pem::write("CERTIFICATE", client(e)?.chain.first()?);
    Some(String::from_utf8(pem).ok()?.trim_end().to_owned())
}

/// An upstream was asked.
fn asked(e: &Exchange) -> Option<()> {
    e.server.as_ref().map(|_| ())
}

/// The path, decoded.
fn uri(e: &Exchange) -> Found<'_> {
    let path = e.request.head.path();
    match memchr::memchr(b'%', path) {
        None => bytes(path),
        Some(_) => Some(Cow::Owned(percent_decode(path, false))),
    }
}

type Family = for<'a> fn(&'a Exchange, &[u8]) -> Found<'a>;

/// Variables by what their names begin with.
const FAMILIES: &[(&[u8], Family)] = &[
    (b"http_", |e, name| match name {
        b"host" => Some(e.request.head.authority()).filter(|a| !a.is_empty()).map(Cow::Borrowed),
        b"content_length" => {
            let length = e.request.body.length().filter(|length| *length > 0)?;
            Some(Cow::Owned(length.to_string().into_bytes()))
        }
        _ => joined(&e.request.head.fields, name).or_else(|| {
            let mut hidden = e.request.head.fields.hidden();
            hidden.find(|(field, _)| stands_for(name, field)).map(|(_, value)| Cow::Borrowed(value))
        }),
    }),
    (b"arg_", |e, name| {
        let query = e.request.head.query()?;
        let mut all = query.split(|b| *b == b'&').filter_map(|pair| {
            let at = memchr::memchr(b'=', pair)?;
            pair[..at].eq_ignore_ascii_case(name).then_some(&pair[at + 1..])
        });
        all.next().map(Cow::Borrowed)
    }),
    (b"cookie_", |e, name| {
        let mut all = e.request.head.fields.cookies();
        let found = all.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| Cow::Borrowed(value))
    }),
    (b"sent_http_", |e, name| joined(e.response_fields()?, name)),
    (b"upstream_cookie_", |e, name| {
        asked(e)?;
        let mut cookies = e.response.head.fields.all(b"set-cookie");
        cookies.find_map(|cookie| {
            let pair = cookie.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
            let at = memchr::memchr(b'=', pair)?;
            (pair[..at].eq_ignore_ascii_case(name)).then(|| Cow::Borrowed(&pair[at + 1..]))
        })
    }),
    (b"upstream_http_", |e, name| {
        asked(e)?;
        joined(&e.response.head.fields, name)
    }),
];

/// Whether a variable's name is that of a field; `_` stands for `-`.
fn stands_for(name: &[u8], field: &[u8]) -> bool {
    let same =
        |f: &u8, n: &u8| f.eq_ignore_ascii_case(n) || *n == b'_' && !f.is_ascii_alphanumeric();
    field.len() == name.len() && field.iter().zip(name).all(|(f, n)| same(f, n))
}

/// All values of a field.
fn joined<'a>(fields: &'a Fields, name: &[u8]) -> Found<'a> {
    let mut found =
        fields.iter().filter(|(_, field, _)| stands_for(name, field)).map(|(_, _, v)| v);
    let first = found.next()?;
    let Some(second) = found.next() else { return Some(Cow::Borrowed(first)) };
    let mut all = first.to_vec();
    for more in std::iter::once(second).chain(found) {
        all.extend_from_slice(if name == b"cookie" { b"; " } else { b", " });
        all.extend_from_slice(more);
    }
    Some(Cow::Owned(all))
}
