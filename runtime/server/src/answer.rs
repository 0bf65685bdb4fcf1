//! The only author of responses that are the gateway's own: problem details (RFC 9457) with the
//! request id, and `Proxy-Status` (RFC 9209).

use bytes::Bytes;
use pilotlight_filter::{Body, Exchange, Name, Origin, RequestHead, ResponseHead};

use crate::codec::h1::write::reason;
use crate::worker::Inlet;

/// What went wrong, as a client may know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    /// A sentence without names of files, scripts or addresses.
    pub(crate) detail: &'static str,
    /// The error type of `Proxy-Status`; empty when the request itself was at fault.
    pub(crate) proxy_error: &'static str,
    /// Seconds for `Retry-After`.
    pub(crate) retry_after: Option<u32>,
}

impl Problem {
    pub(crate) const fn new(status: u16, detail: &'static str) -> Problem {
        Problem { status, detail, proxy_error: "", retry_after: None }
    }

    pub(crate) const fn proxy(self, error: &'static str) -> Problem {
        Problem { proxy_error: error, ..self }
    }
}

/// Answers an exchange with a problem; whatever response was there is dropped.
pub(crate) fn problem(exchange: &mut Exchange, problem: Problem) {
    let id = std::mem::take(&mut exchange.id);
    let head = &mut exchange.response.head;
    head.version = exchange.request.head.version;
    let body = fill(head, &problem, &id);
    exchange.id = id;
    exchange.response.body = Body::full(body);
    exchange.response.origin = Some(Origin::Gateway);
    if let Some(page) = exchange.page.take() {
        exchange.response.head.fields.replace(Name::ContentType, b"text/html");
        exchange.response.body = Body::full(Bytes::from(page.into_boxed_bytes()));
    }
}

/// A fixed answer of a route: its fields were checked when the manifest was loaded.
pub(crate) fn fixed<'a>(
    exchange: &mut Exchange,
    status: u16,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    body: Bytes,
) {
    let head = &mut exchange.response.head;
    head.fields.clear();
    (head.status, head.version) = (status, exchange.request.head.version);
    for (name, value) in fields {
        let _ = head.fields.add(name.as_bytes(), value.as_bytes());
    }
    exchange.response.body = Body::full(body);
    exchange.response.origin = Some(Origin::Gateway);
}

/// The answer to what never became an exchange: a head that could not be read.
pub(crate) fn refusal(
    inlet: &Inlet,
    head: &mut ResponseHead,
    request: &RequestHead,
    status: u16,
    detail: &'static str,
) -> Bytes {
    let worker = &inlet.worker;
    let id = format!("{:016x}{:016x}", worker.random(), worker.random());
    let error = if status == 408 { "http_request_timeout" } else { "http_request_error" };
    let body = fill(head, &Problem::new(status, detail).proxy(error), &id);
    head.fields.push(Name::Date, worker.date().as_ref());
    let series = worker.control.generation().series.clone();
    worker.metrics.refused(&series, inlet.listener.index, status);
    worker.log.refused(inlet, &id, request, status, detail);
    body
}

fn fill(head: &mut ResponseHead, problem: &Problem, id: &str) -> Bytes {
    let Problem { status, detail, proxy_error, retry_after } = *problem;
    head.fields.clear();
    head.status = status;
    head.fields.push(Name::ContentType, b"application/problem+json");
    head.fields.push(Name::CacheControl, b"no-store");
    if !proxy_error.is_empty() {
        head.fields.push(Name::ProxyStatus, format!("pilotlight; error={proxy_error}").as_bytes());
    }
    if let Some(seconds) = retry_after {
        head.fields.push(Name::RetryAfter, seconds.to_string().as_bytes());
    }
    let title = reason(status);
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\
         \"detail\":\"{detail}\",\"instance\":\"urn:request:{id}\",\"request_id\":\"{id}\"}}\n"
    );
    Bytes::from(body)
}
