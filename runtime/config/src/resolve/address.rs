//! Addresses of listeners, and URLs of endpoints.

use std::net::SocketAddr;

use super::check;
use crate::manifest::Address;
use crate::raw::At;
use crate::typed::{Refusal, Scene};

/// The longest path that fits into `sockaddr_un`, in bytes.
const LONGEST_SOCKET: usize = 107;

/// Where to listen: `HOST:PORT`, `unix:PATH`, `systemd:NAME`.
pub(super) fn listen(text: &At<String>, scene: &mut Scene<'_>) -> Option<Address> {
    let address = parse_listen(text, scene);
    scene.accept(&text.place, address)
}

fn parse_listen(text: &str, scene: &Scene<'_>) -> Result<Address, Refusal> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Address::Unix(socket_path(path, scene)?));
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        let named = !name.is_empty() && !name.contains(|c: char| c.is_control() || c == ':');
        return match named {
            true => Ok(Address::Inherited(name.into())),
            false => Err(Refusal::new("the socket's name is missing", "such as \"systemd:web\"")),
        };
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Address::Tcp(address));
    }
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
    match local {
        Some(port) => Ok(Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))),
        None => Err(Refusal::new(format!("{text:?} is not an address"), listen_hint(text))),
    }
}

fn listen_hint(text: &str) -> String {
    let port = text.rsplit(':').next().unwrap_or("");
    let host = text.strip_suffix(port).unwrap_or("").trim_end_matches(':');
    let is_port = port.parse::<u16>().is_ok();
    let known = match host {
        _ if text.parse::<std::net::Ipv6Addr>().is_ok() => {
            return format!("with brackets and a port: \"[{text}]:8080\"");
        }
        "" | "*" if is_port => return format!("for all addresses: \"[::]:{port}\""),
        _ if text.contains("://") => "an address, not a URL",
        _ if text.parse::<std::net::IpAddr>().is_ok() || text == "localhost" => {
            return format!("with a port: \"{text}:8080\"");
        }
        _ if check::is_host(host) && is_port => "listeners need an IP address, not a name",
        _ => "\"[::]:8080\", \"127.0.0.1:8080\", \"unix:PATH\" or \"systemd:NAME\"",
    };
    known.into()
}

fn socket_path(path: &str, scene: &Scene<'_>) -> Result<std::path::PathBuf, Refusal> {
    if path.is_empty() || path.contains('\0') {
        return Err(Refusal::new("the socket's path is missing", "such as \"unix:run/web.sock\""));
    }
    let path = scene.path(path);
    match path.as_os_str().len() > LONGEST_SOCKET {
        true => Err(Refusal::bare(format!(
            "a Unix socket's path is at most {LONGEST_SOCKET} bytes; this one has {}",
            path.as_os_str().len()
        ))),
        false => Ok(path),
    }
}

/// A parsed endpoint: TLS, host, port, socket.
pub(super) struct Url {
    /// Whether HTTP is spoken there; `None`: its address does not say.
    pub(super) http: Option<bool>,
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) unix: Option<std::path::PathBuf>,
}

impl Url {
    /// A Unix socket, in clear text.
    pub(super) fn unix(path: &str, scene: &Scene<'_>) -> Result<Url, Refusal> {
        let path = socket_path(path, scene)?;
        let host = path.display().to_string();
        Ok(Url { http: None, tls: false, host, port: 0, unix: Some(path) })
    }
}

/// Where to connect: `http://HOST:PORT`, `https://HOST:PORT`, `tcp://HOST:PORT`, `tls://HOST:PORT`,
/// `unix:PATH`.
pub(super) fn endpoint(text: &At<String>, scene: &mut Scene<'_>) -> Option<Url> {
    let url = parse_endpoint(text, scene);
    scene.accept(&text.place, url)
}

fn parse_endpoint(text: &str, scene: &Scene<'_>) -> Result<Url, Refusal> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Url::unix(path, scene);
    }
    let refuse = |hint: String| Err(Refusal::new(format!("{text:?} is not an endpoint"), hint));
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse(format!("with a scheme: \"http://{text}\""));
    };
    let (http, tls, default) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (true, false, Some(80)),
        "https" => (true, true, Some(443)),
        "tcp" => (false, false, None),
        "tls" => (false, true, None),
        _ => return refuse("schemes are http, https, tcp, tls and unix:PATH".into()),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return refuse("scheme, host and port only; a route's `rewrite` changes paths".into());
    }
    if authority.contains('@') {
        return refuse("credentials cannot stand here".into());
    }
    match self::authority(authority, default) {
        Ok((host, port)) => Ok(Url { http: Some(http), tls, host, port, unix: None }),
        Err(hint) => refuse(hint.unwrap_or("such as \"http://10.0.0.2:8080\"").into()),
    }
}

/// Host and port, or what may help.
pub(super) fn authority(
    text: &str,
    default: Option<u16>,
) -> Result<(String, u16), Option<&'static str>> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) if host.contains(':') => (host, port),
        Some(_) => return Err(Some("only IPv6 addresses stand in brackets")),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let number = match port.strip_prefix(':') {
        None if port.is_empty() => default,
        digits => digits.and_then(|digits| digits.parse().ok()).filter(|port| *port > 0),
    };
    match number {
        _ if !check::is_host(host) => Err(None),
        None if port.is_empty() => Err(Some("with a port")),
        None => Err(Some("ports are 1 to 65535")),
        Some(port) => Ok((host.to_ascii_lowercase(), port)),
    }
}
