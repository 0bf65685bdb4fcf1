//! A new connection to an endpoint.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use pilotlight_config::manifest::{Endpoint, Lookup, UpstreamProtocol};
use tokio::net::{TcpStream, UnixStream};

use super::pool::Shared;
use super::{UpstreamError, h2};
use crate::stream::{Plain, Stream};
use crate::tls::{Apart, ClientTls, Met};
use crate::worker::Worker;

/// A connection, by what is spoken on it.
pub(crate) enum Connected {
    H1(Stream),
    H2(h2::Connection),
}

/// Connects within the upstream's time for it, TLS and preface included.
pub(crate) async fn connect(
    worker: &Rc<Worker>,
    shared: &Shared,
    endpoint: &Endpoint,
) -> Result<Connected, UpstreamError> {
    let limit = shared.meant.timeouts.connect;
    timeout(limit, establish(worker, shared, endpoint)).await
}

/// The same, with a handshake that filters take part in.
pub(crate) async fn meet(
    shared: &Shared,
    endpoint: &Endpoint,
    apart: &Apart,
) -> Result<Met, UpstreamError> {
    let work = async {
        let plain = plain(endpoint).await?;
        apart.connect(server_name(shared, endpoint), plain).await
    };
    timeout(shared.meant.timeouts.connect, work).await
}

/// The name that an endpoint's certificate must hold.
fn server_name<'a>(shared: &'a Shared, endpoint: &'a Endpoint) -> &'a str {
    // A socket's path is no name; nginx takes this one, too.
    let host = if endpoint.unix.is_some() { "localhost" } else { &endpoint.host };
    shared.meant.tls.server_name.as_deref().unwrap_or(host)
}

async fn timeout<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(UpstreamError::ConnectTimeout))
}

async fn establish(
    worker: &Rc<Worker>,
    shared: &Shared,
    endpoint: &Endpoint,
) -> Result<Connected, UpstreamError> {
    let (stream, alpn) = stream(shared, endpoint).await?;
    let h2 = alpn.as_deref() == Some(b"h2") || shared.meant.protocol == UpstreamProtocol::Http2;
    Ok(match h2 {
        true => Connected::H2(h2::Connection::new(worker, stream)),
        false => Connected::H1(stream),
    })
}

/// The same without HTTP.
pub(crate) async fn bare(shared: &Shared, endpoint: &Endpoint) -> Result<Stream, UpstreamError> {
    let (stream, _) = timeout(shared.meant.timeouts.connect, stream(shared, endpoint)).await?;
    Ok(stream)
}

/// A connection, and the protocol that TLS has agreed on.
async fn stream(
    shared: &Shared,
    endpoint: &Endpoint,
) -> Result<(Stream, Option<Vec<u8>>), UpstreamError> {
    let plain = plain(endpoint).await?;
    match &shared.tls {
        Some(config) if endpoint.tls => {
            ClientTls::connect(config.clone(), server_name(shared, endpoint), plain).await
        }
        _ => Ok((Stream::from(plain), None)),
    }
}

/// A connection without TLS.
pub(crate) async fn plain(endpoint: &Endpoint) -> Result<Plain, UpstreamError> {
    if let Some(path) = &endpoint.unix {
        let stream = UnixStream::connect(path).await.map_err(refused)?;
        return Ok(Plain::Unix(stream));
    }
    let address = match endpoint.lookup {
        Lookup::Found(address) => Ok(address),
        _ => endpoint.host.parse::<IpAddr>(),
    };
    let stream = match address {
        Ok(address) => TcpStream::connect((address, endpoint.port)).await.map_err(refused)?,
        Err(_) => by_name(&endpoint.host, endpoint.port).await?,
    };
    stream.set_nodelay(true).map_err(refused)?;
    Ok(Plain::Tcp(stream))
}

async fn by_name(host: &str, port: u16) -> Result<TcpStream, UpstreamError> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|_| UpstreamError::Dns)?;
    let mut last = UpstreamError::Dns;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = refused(error),
        }
    }
    Err(last)
}

fn refused(error: std::io::Error) -> UpstreamError {
    match error.kind() {
        ErrorKind::TimedOut => UpstreamError::ConnectTimeout,
        _ => UpstreamError::Refused,
    }
}
