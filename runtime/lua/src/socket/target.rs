//! Where a script wants to go: an address, a name, or a Unix socket.

use std::net::IpAddr;
use std::path::PathBuf;

/// The longest name (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 253;
/// The longest path of a Unix socket.
const PATH_MAX: usize = 107;

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Address(IpAddr, u16),
    Name(String, u16),
    Unix(PathBuf),
}

impl Target {
    /// Reads a host as a script gives it; a port in it goes before the other.
    ///
    /// # Errors
    /// A sentence as nginx says it.
    pub(crate) fn read(host: &str, port: u16) -> Result<Target, String> {
        parse(host, port).map_err(|why| format!("failed to parse host name \"{host}\": {why}"))
    }

    /// Its host as the log shows it.
    pub(crate) fn host(&self) -> String {
        match self {
            Target::Address(address, _) => address.to_string(),
            Target::Name(name, _) => name.clone(),
            Target::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// 0 for a Unix socket.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Target::Address(_, port) | Target::Name(_, port) => *port,
            Target::Unix(_) => 0,
        }
    }
}

fn parse(host: &str, port: u16) -> Result<Target, &'static str> {
    if host.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("unix:")) {
        return match host.len() - 5 {
            0 => Err("no path in the unix domain socket"),
            1..=PATH_MAX => Ok(Target::Unix(PathBuf::from(&host[5..]))),
            _ => Err("too long path in the unix domain socket"),
        };
    }
    if let Some(rest) = host.strip_prefix('[') {
        let (address, port_text) = rest.split_once(']').ok_or("invalid host")?;
        let address = address.parse().map(IpAddr::V6).map_err(|_| "invalid IPv6 address")?;
        return match port_text.strip_prefix(':') {
            Some(text) => Ok(Target::Address(address, number(text)?)),
            None if port_text.is_empty() => Ok(Target::Address(address, port)),
            None => Err("invalid host"),
        };
    }
    if let Ok(address) = host.parse() {
        return Ok(Target::Address(address, port));
    }
    let (name, port) = match host.split_once(':') {
        Some((name, text)) => (name, number(text)?),
        None => (host, port),
    };
    if name.is_empty() {
        return Err("no host");
    }
    if name.len() > NAME_MAX
        || name.bytes().any(|b| b.is_ascii_control() || b" /?#@[]".contains(&b))
    {
        return Err("invalid host");
    }
    Ok(match name.parse() {
        Ok(address) => Target::Address(address, port),
        Err(_) => Target::Name(name.to_owned(), port),
    })
}

fn number(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|port| *port > 0).ok_or("invalid port")
}

#[cfg(test)]
mod tests;
