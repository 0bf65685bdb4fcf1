//! `use = "rate-limit"`: so many requests of one client, host, path or whatever in a time.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pilotlight_abi::Phase;
use pilotlight_config::manifest::By;
use pilotlight_core::router::host_name;
use pilotlight_filter::host::{Services, Wait};
use pilotlight_filter::{Call, Exchange, Fault, Fields, Filter, Origin, Verdict};

use super::limiter::{Limiter, Standing};
use crate::answer::{self, Problem};
use crate::ledger::SOON;

/// Keys that are longer are known by their digest.
const KEY: usize = 128;

pub(super) struct RateLimit {
    limiter: Arc<Limiter>,
    /// Whose request it is, while it waits.
    key: Vec<u8>,
    /// For how long it does.
    patience: Option<Wait<()>>,
    services: Rc<dyn Services>,
    /// What the answer is to say.
    told: Option<Standing>,
}

impl RateLimit {
    pub(super) fn new(limiter: Arc<Limiter>, services: Rc<dyn Services>) -> RateLimit {
        RateLimit { limiter, key: Vec::new(), patience: None, services, told: None }
    }
}

impl Filter for RateLimit {
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let meant = &self.limiter.meant;
        if call.phase == Phase::Response {
            if let Some(standing) = self.told.take() {
                let fields = &mut call.exchange.response.head.fields;
                say(&self.limiter, standing, fields);
            }
            return Poll::Ready(Ok(Verdict::Continue));
        }
        if self.key.is_empty() {
            self.key = key(&meant.by, call.exchange);
        }
        let standing = match self.limiter.poll(cx, &self.key) {
            Poll::Ready(standing) => standing,
            Poll::Pending => {
                let patience = self.patience.get_or_insert_with(|| self.services.sleep(SOON));
                ready!(patience.as_mut().poll(cx));
                self.limiter.give_up(&self.key)
            }
        };
        if standing.passes {
            self.told = meant.headers.then_some(standing);
            return Poll::Ready(Ok(Verdict::Continue));
        }
        let problem = Problem {
            retry_after: Some(standing.after.ceil().clamp(1.0, 86_400.0) as u32),
            ..Problem::new(meant.status, "too many requests").proxy("http_request_denied")
        };
        answer::problem(call.exchange, problem);
        say(&self.limiter, standing, &mut call.exchange.response.head.fields);
        call.exchange.response.origin = Some(Origin::Filter);
        Poll::Ready(Ok(Verdict::Reply))
    }
}

/// What clients are told: the fields of draft-ietf-httpapi-ratelimit-headers, as it is and as it was.
fn say(limiter: &Limiter, standing: Standing, to: &mut Fields) {
    let (meant, name) = (&limiter.meant, &limiter.name);
    let (left, after) = (standing.left, standing.after.ceil());
    let (count, window) = (meant.count, meant.per_millis / 1000);
    let fields = [
        ("ratelimit-policy", format!("\"{name}\";q={count};w={window}")),
        ("ratelimit", format!("\"{name}\";r={left};t={after}")),
        ("ratelimit-limit", meant.burst.to_string()),
        ("ratelimit-remaining", left.to_string()),
        ("ratelimit-reset", after.to_string()),
    ];
    for (name, value) in fields {
        let _ = to.set(name.as_bytes(), value.as_bytes());
    }
}

/// Whose request it is: never empty.
fn key(by: &[By], exchange: &Exchange) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    for by in by {
        // What a client can leave out does not set it free.
        let found = match by {
            By::Client => false,
            // As the router takes it.
            By::Host => {
                let host = host_name(exchange.request.head.host());
                put(&mut key, b'h', &host.to_ascii_lowercase())
            }
            By::Path => put(&mut key, b'p', exchange.request.head.path()),
            By::Route => put(&mut key, b'r', exchange.route.as_bytes()),
            By::All => put(&mut key, b'a', b""),
            By::Header(name) => {
                let value = exchange.request.head.fields.get(name.as_bytes());
                value.is_some_and(|value| put(&mut key, b'f', value))
            }
            By::Cookie(name) => {
                let value = exchange.request.head.fields.cookie(name.as_bytes());
                value.is_some_and(|value| put(&mut key, b'c', value))
            }
        };
        if !found {
            client(&mut key, exchange);
        }
    }
    if key.len() > KEY {
        return ring::digest::digest(&ring::digest::SHA256, &key).as_ref().to_vec();
    }
    key
}

/// A part that can't be taken for two others.
fn put(key: &mut Vec<u8>, kind: u8, part: &[u8]) -> bool {
    key.push(kind);
    key.extend_from_slice(part);
    key.push(0);
    true
}

/// By IPv6 a client has a network of addresses, and may use any.
fn client(key: &mut Vec<u8>, exchange: &Exchange) {
    match exchange.peer.address {
        IpAddr::V4(_) => put(key, b'4', exchange.peer.text.as_bytes()),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64;
            put(key, b'6', format!("{network:016x}").as_bytes())
        }
    };
}

#[cfg(test)]
mod tests;
