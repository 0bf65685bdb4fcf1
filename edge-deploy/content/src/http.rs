//! The client: ureq on rustls and ring, which needs no event loop.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::Error;

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
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(5)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(silence))
            .timeout_per_write(Some(SILENCE))
            .accept_encoding("identity")
            .user_agent(concat!("edge-deploy/", env!("CARGO_PKG_VERSION")));
        if url.starts_with("https://") {
            let tls = TlsConfig::builder()
                .root_certs(roots(settings)?)
                .client_cert(settings.identity.as_deref().map(identity).transpose()?)
                .unversioned_rustls_crypto_provider(Arc::new(
                    rustls::crypto::ring::default_provider(),
                ))
                .build();
            config = config.tls_config(tls);
        }
        let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next());
        let basic = host.and_then(|host| settings.credentials.get(host)).cloned();
        Ok(Client { agent: config.build().into(), basic })
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

fn roots(settings: &Settings) -> Result<RootCerts, Error> {
    let certificates: Vec<_> = match &settings.ca {
        Some(pem) => parse_pem(pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect(),
        None => rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect(),
    };
    match certificates.is_empty() {
        true => Err(Error::Refused("there are no certificates of authorities".into())),
        false => Ok(RootCerts::new_with_certs(&certificates)),
    }
}

fn identity(pem: &[u8]) -> Result<ClientCert, Error> {
    let (mut certificates, mut key): (Vec<Certificate<'static>>, Option<PrivateKey<'static>>) =
        Default::default();
    for item in parse_pem(pem).flatten() {
        match item {
            PemItem::Certificate(certificate) => certificates.push(certificate),
            PemItem::PrivateKey(private) => key = Some(private),
            _ => {}
        }
    }
    match key {
        Some(key) if !certificates.is_empty() => Ok(ClientCert::new_with_certs(&certificates, key)),
        _ => Err(Error::Refused("the identity is no certificate with its key".into())),
    }
}
