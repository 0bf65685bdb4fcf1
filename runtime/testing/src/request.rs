//! From a test's tables to messages.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_abi::Value;
use pilotlight_core::path;
use pilotlight_filter::exchange::{Identity, Request, TlsInfo};
use pilotlight_filter::{
    Body, BodyError, Exchange, Fields, Frame, Name, Peer, RequestHead, Scheme, Source, Version,
};

use crate::values::{Said, Table};

/// The route and the upstream of every exchange.
pub(crate) const ROUTE: &str = "test";
pub(crate) const UPSTREAM: &str = "upstream";
/// The client and the host asked for, where a test says nothing.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const HOST: &[u8] = b"example.test";

/// The exchange that a test's request begins.
pub(crate) fn exchange(table: Table<'_>, serial: u64) -> Said<Exchange> {
    let bad = |what: &str| format!("{what} would split the message");
    let mut fields = table.fields("headers")?;
    let named = fields.known(Name::Host).map(<[u8]>::to_vec);
    let host = table.text("host")?.map(|host| host.as_bytes().to_vec()).or(named);
    fields.remove_known(Name::Host);
    let mut head = RequestHead::default();
    head.fields = fields;
    head.set_method(table.text("method")?.unwrap_or("GET").as_bytes())
        .map_err(|_| bad("method"))?;
    target(&mut head, table)?;
    head.set_authority(host.as_deref().unwrap_or(HOST)).map_err(|_| bad("host"))?;
    head.version = version(table.text("version")?)?;
    let tls = tls(table)?;
    head.scheme = match table.text("scheme")? {
        None if tls.is_some() => Scheme::Https,
        None | Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(other) => return Err(format!("scheme is http or https, not {other}")),
    };
    let declared = !head.method().is_safe();
    let body = body(table, &mut head.fields, declared)?;
    let (address, port) = client(table)?;
    let peer = Peer {
        tls: tls.map(Box::new),
        number: 1,
        requests: 1.into(),
        ..Peer::new(address, port, ROUTE)
    };
    let request = Request { head, body, upgrade: None };
    let mut exchange = Exchange::new(serial, Rc::new(peer), request);
    exchange.id = table.text("id")?.map_or_else(|| format!("test-{serial}").into(), Box::from);
    exchange.route = Arc::from(ROUTE);
    exchange.upstream = Some(Arc::from(UPSTREAM));
    Ok(exchange)
}

/// Path and query; a query may stand in the path.
fn target(head: &mut RequestHead, table: Table<'_>) -> Said<()> {
    let typed = table.text("path")?.unwrap_or("/");
    let (path, query) = match typed.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (typed, None),
    };
    let clean = match path {
        "*" => b"*".to_vec(),
        path => path::canonicalise(path.as_bytes())
            .map_err(|error| format!("path \"{path}\": {error}"))?,
    };
    head.set_path(&clean).map_err(|error| format!("path \"{path}\": {error}"))?;
    let query = table.text("query")?.or(query);
    head.set_query(query.map(str::as_bytes)).map_err(|_| "query: not as a URL has it".to_owned())
}

fn version(text: Option<&str>) -> Said<Version> {
    let known = [Version::Http10, Version::Http11, Version::Http2, Version::Http3];
    match text {
        None => Ok(Version::Http11),
        Some(text) => known
            .into_iter()
            .find(|version| version.text() == text)
            .ok_or_else(|| format!("version is 1.0, 1.1, 2 or 3, not {text}")),
    }
}

/// `"192.0.2.7"`, or `{ address, port }`.
fn client(table: Table<'_>) -> Said<(IpAddr, u16)> {
    let (text, port) = match table.text("client") {
        Ok(text) => (text, None),
        Err(_) => {
            let client = table.table("client")?;
            (client.text("address")?, client.number("port")?)
        }
    };
    let address = text.map_or(Ok(CLIENT), |text| {
        text.parse().map_err(|_| format!("client: {text} is not an address"))
    })?;
    Ok((address, port.map_or(50_000, |port| port as u16)))
}

fn tls(table: Table<'_>) -> Said<Option<TlsInfo>> {
    if table.get("tls").is_none() {
        return Ok(None);
    }
    let tls = table.table("tls")?;
    let client = tls.table("client")?;
    let boxed = |text: Option<&str>| text.map(Box::<str>::from);
    let certificate = || -> Said<Identity> {
        Ok(Identity {
            subject: boxed(client.text("subject")?).unwrap_or_default(),
            san: client.texts("san")?.into_iter().map(Box::from).collect(),
            fingerprint: boxed(client.text("fingerprint")?).unwrap_or_default(),
            ..Identity::default()
        })
    };
    Ok(Some(TlsInfo {
        version: if tls.text("version")? == Some("1.2") { "1.2" } else { "1.3" },
        server_name: boxed(tls.text("server_name")?),
        alpn: boxed(tls.text("alpn")?),
        client: tls.get("client").map(|_| certificate()).transpose()?,
        ..TlsInfo::default()
    }))
}

/// The upstream's answer.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Body,
}

/// What a test says of it; `None` when it says that there is none.
pub(crate) fn response(table: Table<'_>) -> Said<Response> {
    let status = status(table)?;
    let mut fields = table.fields("headers")?;
    let body = body(table, &mut fields, true)?;
    Ok(Response { status, fields, body })
}

/// A response's status; 200 when it says nothing.
pub(crate) fn status(table: Table<'_>) -> Said<u16> {
    let status = table.number("status")?.unwrap_or(200.0);
    match (200.0..600.0).contains(&status) && status.fract() == 0.0 {
        true => Ok(status as u16),
        false => Err(format!("status is a number from 200 to 599, not {status}")),
    }
}

/// A message's body and trailers. A string has its length declared, a list of chunks has not.
fn body(table: Table<'_>, fields: &mut Fields, declared: bool) -> Said<Body> {
    let chunks = table.chunks("body")?;
    let trailers = table.get("trailers").map(|_| table.fields("trailers")).transpose()?;
    let is_list = matches!(table.get("body"), Some(Value::List(_)));
    if is_list || trailers.is_some() {
        let chunks = Chunks { left: chunks.into(), trailers };
        return Ok(Body::stream(Box::new(chunks), None));
    }
    let whole = chunks.into_iter().next().unwrap_or_else(Bytes::new);
    let tells = declared || !whole.is_empty();
    if tells && fields.known(Name::ContentLength).is_none() {
        fields.push(Name::ContentLength, whole.len().to_string().as_bytes());
    }
    Ok(if whole.is_empty() { Body::empty() } else { Body::full(whole) })
}

/// A body in chunks.
struct Chunks {
    left: VecDeque<Bytes>,
    trailers: Option<Fields>,
}

impl Source for Chunks {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let data = self.left.pop_front().map(Frame::Data);
        Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::Trailers)).map(Ok))
    }
}
