//! `gateway.fetch`: a request of a program's own, through an upstream of the manifest or to a URL.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use pilotlight_abi::limit::BODY_COLLECT;
use pilotlight_filter::head::split_port;
use pilotlight_filter::host::{Fetch, FetchError, Fetched};
use pilotlight_filter::{Body, Fields, RequestHead, ResponseHead};

use crate::codec::Length;
use crate::generation::Local;
use crate::upstream::{Incoming, Lease, Outbound, Upstream, UpstreamError};
use crate::worker::Worker;

/// Without a timeout of its own.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn fetch(
    worker: Rc<Worker>,
    local: Rc<Local>,
    request: Fetch,
) -> Result<Fetched, FetchError> {
    let limit = request.timeout.unwrap_or(TIMEOUT);
    let work = exchange(&worker, &local, request);
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(error("timeout")))
}

pub(super) fn error(text: impl Into<String>) -> FetchError {
    FetchError(text.into())
}

/// Where a request goes, and its head.
pub(super) fn prepare(
    worker: &Worker,
    local: &Local,
    request: &Fetch,
) -> Result<(Rc<Upstream>, RequestHead), FetchError> {
    let url = Url::parse(&request.url)?;
    let upstream = match (&request.upstream, url.authority) {
        (Some(name), _) => {
            let mut all = local.upstreams.iter();
            let found = all.position(|u| *u.shared.meant.name == **name);
            let one = |at| local.upstreams[local.variant(at, None, worker.random()).0].clone();
            found.map(one).ok_or_else(|| error(format!("unknown upstream \"{name}\"")))?
        }
        (None, "") => return Err(error("the url must be absolute, or name an upstream")),
        (None, authority) => by_url(worker, local, url.tls, authority)?,
    };
    let head = head(request, &url, &upstream)?;
    Ok((upstream, head))
}

/// A request that is sent, and the head of its response.
pub(super) struct Asked {
    pub(super) out: Outbound,
    pub(super) response: ResponseHead,
    pub(super) body: Body,
    pub(super) lease: Lease,
}

async fn exchange(
    worker: &Rc<Worker>,
    local: &Local,
    request: Fetch,
) -> Result<Fetched, FetchError> {
    let (upstream, head) = prepare(worker, local, &request)?;
    let mut asked = ask(worker, &upstream, &head, &request, None).await?;
    let body = &mut asked.body;
    match poll_fn(|cx| body.poll_collect(cx, BODY_COLLECT as usize)).await {
        Ok(Some(bytes)) => Ok(Fetched {
            status: asked.response.status,
            headers: list(&asked.response.fields),
            body: bytes,
            trailers: body.trailers().map(list).unwrap_or_default(),
        }),
        Ok(None) => Err(error("the response is too large")),
        Err(failed) => Err(error(failed.to_string())),
    }
}

/// Sends a request whose body is here; on a new connection, where one that was kept closes. `limits`:
/// for connecting, and from then on to the response's head.
pub(super) async fn ask(
    worker: &Rc<Worker>,
    upstream: &Rc<Upstream>,
    head: &RequestHead,
    request: &Fetch,
    limits: Option<(Duration, Duration)>,
) -> Result<Asked, FetchError> {
    let (connect, first_byte) = limits.unzip();
    let mut trailers = Fields::default();
    put(&mut trailers, &request.trailers)?;
    let mut stale = false;
    loop {
        let mut lease = upstream.reach(worker, &[]).await.map_err(|e| error(e.to_string()))?;
        let reused = if stale { None } else { lease.reuse() };
        let mut out = match reused {
            Some(out) => out,
            None => within(connect, UpstreamError::ConnectTimeout, lease.connect(stale))
                .await
                .map_err(|e| error(e.to_string()))?,
        };
        let mut response = ResponseHead::default();
        let sent = send(&mut out, head, request, &trailers, &mut response);
        match within(first_byte, UpstreamError::ResponseTimeout, sent).await {
            Ok(body) => return Ok(Asked { out, response, body, lease }),
            Err(UpstreamError::Closed { fresh: false } | UpstreamError::NotTaken) if !stale => {
                stale = true;
            }
            Err(failed) => return Err(error(failed.to_string())),
        }
    }
}

/// Bounds the time of some work, if it has a bound.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    late: UpstreamError,
    work: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or(Err(late)),
        None => work.await,
    }
}

async fn send(
    out: &mut Outbound,
    head: &RequestHead,
    request: &Fetch,
    trailers: &Fields,
    response: &mut ResponseHead,
) -> Result<Body, UpstreamError> {
    let length = match request.body.len() {
        _ if !trailers.is_empty() => Length::Unknown,
        0 if head.method().is_safe() => Length::None,
        length => Length::Exact(length as u64),
    };
    out.head(head, length, None)?;
    out.data(request.body.clone());
    out.finish((!trailers.is_empty()).then_some(trailers));
    poll_fn(|cx| {
        ready!(out.poll_flush(cx))?;
        loop {
            match ready!(out.poll_response(cx, response))? {
                Incoming::Interim => {}
                Incoming::Final(body) => return Poll::Ready(Ok(body)),
                Incoming::Switched(..) => return Poll::Ready(Err(UpstreamError::Protocol)),
            }
        }
    })
    .await
}

fn head(request: &Fetch, url: &Url<'_>, upstream: &Upstream) -> Result<RequestHead, FetchError> {
    let mut head = RequestHead::default();
    let method = if request.method.is_empty() { "GET" } else { &request.method };
    head.set_method(method.as_bytes()).map_err(|_| error("malformed method"))?;
    let meant = &upstream.shared.meant;
    let authority = match (url.authority, meant.endpoints.first()) {
        ("", Some(endpoint)) => format!("{}:{}", endpoint.host, endpoint.port),
        // Instances come and go: the application is known by its name.
        ("", None) => meant.name.to_string(),
        (authority, _) => authority.to_owned(),
    };
    head.set_authority(authority.as_bytes()).map_err(|_| error("malformed host"))?;
    head.set_path(url.path.as_bytes()).map_err(|_| error("malformed path"))?;
    head.set_query(url.query.map(str::as_bytes)).map_err(|_| error("malformed query"))?;
    put(&mut head.fields, &request.headers)?;
    Ok(head)
}

pub(super) fn put(fields: &mut Fields, pairs: &[(String, Vec<u8>)]) -> Result<(), FetchError> {
    for (name, value) in pairs {
        let added = fields.add(name.as_bytes(), value);
        added.map_err(|bad| error(format!("header \"{name}\": {bad}")))?;
    }
    Ok(())
}

pub(super) fn list(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let owned = |(_, name, value): (_, &[u8], &[u8])| {
        (String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec())
    };
    fields.iter().map(owned).collect()
}

/// The parts of a URL that a request needs.
struct Url<'a> {
    tls: bool,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Result<Url<'a>, FetchError> {
        let text = text.split('#').next().unwrap_or_default();
        let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else if text.starts_with('/') {
            return Ok(Url::split(false, "", text));
        } else {
            return Err(error(format!("malformed url \"{text}\": expected http:// or https://")));
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        Ok(Url::split(tls, &rest[..end], &rest[end..]))
    }

    fn split(tls: bool, authority: &'a str, target: &'a str) -> Url<'a> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Url { tls, authority, path: if path.is_empty() { "/" } else { path }, query }
    }
}

/// The upstream of one endpoint for a plain URL.
fn by_url(
    worker: &Worker,
    local: &Local,
    tls: bool,
    authority: &str,
) -> Result<Rc<Upstream>, FetchError> {
    let (host, port) = split_port(authority.as_bytes());
    let host = String::from_utf8_lossy(host);
    let host = host.trim_matches(['[', ']']);
    let port = port.unwrap_or(if tls { 443 } else { 80 });
    let found = local.hosts.of_url(worker, &local.generation.client_tls, tls, host, port);
    found.map_err(|problem| error(problem.message))
}
