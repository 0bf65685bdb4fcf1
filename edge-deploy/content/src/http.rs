//! The client: ureq on rustls and ring, which needs no event loop.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, TcpConnector};

use crate::Error;

mod tls;

pub use tls::Floor;

/// A server that says nothing for so long is not there.
const SILENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// Whom to trust, and who we are.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Authorities in PEM, in place of the system's.
    pub ca: Option<Vec<u8>>,
    /// For hosts (with their ports): what stands behind `Basic`.
    pub credentials: BTreeMap<String, String>,
    /// A certificate with its chain, and its key, in PEM: for servers that ask who we are.
    pub identity: Option<Vec<u8>>,
    /// For object stores.
    pub account: Option<crate::Account>,
    /// A time that is past, by which certificates are judged.
    pub floor: Floor,
}

impl Settings {
    /// Takes over the credentials of a file as Docker, Podman and Skopeo write it. It may name helpers, which are
    /// not asked.
    pub fn with_docker_config(mut self, text: &str) -> Result<Settings, Error> {
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            auths: BTreeMap<String, Auth>,
        }
        #[derive(Deserialize)]
        struct Auth {
            auth: Option<String>,
        }
        let config: Config = serde_json::from_str(text)
            .map_err(|error| Error::Refused(format!("credentials: {error}")))?;
        for (host, auth) in config.auths {
            let host = host.trim_start_matches("https://").split('/').next().unwrap_or_default();
            if let Some(auth) = auth.auth.filter(|auth| !auth.is_empty()) {
                self.credentials.insert(host.to_owned(), auth);
            }
        }
        Ok(self)
    }
}

pub(crate) type Response = ureq::http::Response<ureq::Body>;

/// A client for one server.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    /// What the server takes as `Basic`.
    pub(crate) basic: Option<String>,
}

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'static str,
    pub(crate) url: &'a str,
    pub(crate) fields: Vec<(&'static str, String)>,
    /// A body with its length.
    pub(crate) body: Option<(&'a mut dyn Read, u64)>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: &'static str, url: &'a str) -> Ask<'a> {
        Ask { method, url, fields: Vec::new(), body: None }
    }

    pub(crate) fn field(mut self, name: &'static str, value: impl Into<String>) -> Ask<'a> {
        self.fields.push((name, value.into()));
        self
    }

    /// Bytes from here on.
    pub(crate) fn from(self, at: u64) -> Ask<'a> {
        match at {
            0 => self,
            at => self.field("range", format!("bytes={at}-")),
        }
    }
}

impl Client {
    pub(crate) fn new(url: &str, settings: &Settings) -> Result<Client, Error> {
        Client::patient(url, settings, SILENCE)
    }

    /// One whose server may be silent for so long.
    pub(crate) fn patient(
        url: &str,
        settings: &Settings,
        silence: Duration,
    ) -> Result<Client, Error> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(5)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(silence))
            .timeout_per_write(Some(SILENCE))
            .accept_encoding("identity")
            .user_agent(concat!("edge-deploy/", env!("CARGO_PKG_VERSION")));
        let secure = url.starts_with("https://").then(|| tls::config(settings)).transpose()?;
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(tls::Secure(secure));
        let agent = ureq::Agent::with_parts(config.build(), connector, DefaultResolver::default());
        let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next());
        let basic = host.and_then(|host| settings.credentials.get(host)).cloned();
        Ok(Client { agent, basic })
    }

    /// Sends it; any status is an answer.
    pub(crate) fn send(&self, ask: Ask<'_>) -> Result<Response, Error> {
        let url = ask.url;
        let mut request = ureq::http::Request::builder().method(ask.method).uri(url);
        for (name, value) in ask.fields {
            request = request.header(name, value);
        }
        let bad = |error: ureq::http::Error| Error::Refused(format!("{url}: {error}"));
        let sent = match ask.body {
            None => self.agent.run(request.body(()).map_err(bad)?),
            Some((body, length)) => {
                let request = request.header("content-length", length);
                let body = ureq::SendBody::from_reader(body);
                self.agent.run(request.body(body).map_err(bad)?)
            }
        };
        sent.map_err(|error| Error::Unreachable(format!("{url}: {error}")))
    }

    /// What the server takes as credentials, where it asks for none in particular.
    pub(crate) fn authorize<'a>(&self, ask: Ask<'a>) -> Ask<'a> {
        match &self.basic {
            Some(basic) => ask.field("authorization", format!("Basic {basic}")),
            None => ask,
        }
    }
}

/// Sorts answers: `what` was asked for.
pub(crate) fn fine(response: Response, what: &str) -> Result<Response, Error> {
    match response.status().as_u16() {
        200..300 => Ok(response),
        404 | 410 => Err(Error::Absent(what.into())),
        status @ (408 | 425 | 429 | 500..600) => {
            Err(Error::Unreachable(format!("{what}: the server answered {status}")))
        }
        status => Err(Error::Refused(format!("{what}: the server answered {status}"))),
    }
}

/// Where the body of an answer to a range begins.
pub(crate) fn begins(response: &Response, asked: u64) -> Result<u64, Error> {
    if response.status() != 206 {
        return Ok(0);
    }
    let range = header(response, "content-range").and_then(|range| range.strip_prefix("bytes "));
    let from = range.and_then(|range| range.split('-').next()?.parse().ok());
    match from {
        Some(from) if from == asked => Ok(from),
        _ => Err(Error::Unreachable("the server answered with another range".into())),
    }
}

pub(crate) fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// A body, of which no more is read than so many bytes and one, by which a longer one shows.
pub(crate) fn short(response: Response, most: usize, what: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut body = response.into_body().into_reader().take(most as u64 + 1);
    let read = body.read_to_end(&mut bytes);
    read.map_err(|error| Error::Unreachable(format!("{what}: {error}")))?;
    Ok(bytes)
}
