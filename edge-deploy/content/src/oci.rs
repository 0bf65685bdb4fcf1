//! An OCI registry. A release is a manifest with a tag; its first layer is the signed release, the others are the
//! blobs by their own digests. Nothing else is asked of the registry: no referrers, no attachments.

use std::cell::RefCell;
use std::io::Read;

use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{self, Release, root};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::{self, Ask, Client, Response, Settings};
use crate::{Body, Destination, Error, Source};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const RELEASE: &str = "application/vnd.pilotlight.release.v1";
const ROOT: &str = "application/vnd.pilotlight.root.v1";
const BLOB: &str = "application/vnd.pilotlight.blob.v1";
/// The largest manifest: a line a blob.
const LARGEST: usize = 4 << 20;

/// `HOST[:PORT]/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    host: String,
    path: String,
}

impl Repository {
    pub(crate) fn parse(text: &str) -> Result<Repository, Error> {
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let part = |part: &str| !part.is_empty() && part.chars().all(fine);
        match text.trim_end_matches('/').split_once('/') {
            Some((host, path)) if !host.is_empty() && path.split('/').all(part) => {
                Ok(Repository { host: host.into(), path: path.into() })
            }
            _ => Err(Error::Refused(format!(
                "oci://{text} is no repository: oci://HOST[:PORT]/NAME, the name in lower case"
            ))),
        }
    }

    /// On this machine registries speak HTTP, as Docker has it.
    fn url(&self) -> String {
        let name = self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, _)| name);
        let near = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
        format!("{}://{}", if near { "http" } else { "https" }, self.host)
    }
}

/// A repository of a registry.
#[derive(Debug)]
pub struct Registry {
    repository: Repository,
    url: String,
    client: Client,
    /// What stands behind `authorization`, once the registry has asked for it.
    leave: RefCell<Option<String>>,
}

#[derive(Serialize, Deserialize)]
struct Layer {
    #[serde(rename = "mediaType")]
    kind: String,
    digest: Digest,
    size: u64,
}

#[derive(Deserialize)]
struct Layers {
    #[serde(default)]
    layers: Vec<Layer>,
}

impl Registry {
    /// This repository.
    pub fn new(repository: &Repository, settings: &Settings) -> Result<Registry, Error> {
        let url = repository.url();
        let client = Client::new(&url, settings)?;
        let leave = RefCell::default();
        Ok(Registry { repository: repository.clone(), url, client, leave })
    }

    fn at(&self, rest: &str) -> String {
        format!("{}/v2/{}/{rest}", self.url, self.repository.path)
    }

    /// Asks, and once more with what the registry wants to see.
    fn send(&self, ask: &dyn Fn() -> Result<Response, Error>) -> Result<Response, Error> {
        let response = ask()?;
        if response.status() != 401 {
            return Ok(response);
        }
        let challenge = http::header(&response, "www-authenticate").unwrap_or_default().to_owned();
        self.leave.replace(self.authorize(&challenge)?);
        ask()
    }

    fn get(
        &self,
        method: &'static str,
        url: &str,
        accept: &str,
        from: u64,
    ) -> Result<Response, Error> {
        self.send(&|| {
            let ask = self.with_leave(Ask::new(method, url).field("accept", accept));
            self.client.send(ask.from(from))
        })
    }

    fn with_leave<'a>(&self, ask: Ask<'a>) -> Ask<'a> {
        match &*self.leave.borrow() {
            Some(leave) => ask.field("authorization", leave.clone()),
            None => ask,
        }
    }

    /// What answers a challenge: credentials, or a token that they give.
    fn authorize(&self, challenge: &str) -> Result<Option<String>, Error> {
        let basic = self.client.basic.as_ref().map(|basic| format!("Basic {basic}"));
        let Some(asked) = challenge.strip_prefix("Bearer ") else { return Ok(basic) };
        let value = |name: &str| {
            let (_, rest) = asked.split_once(&format!("{name}=\""))?;
            rest.split('"').next()
        };
        let Some(realm) = value("realm")
            .filter(|realm| realm.starts_with("https://") || self.url.starts_with("http://"))
        else {
            return Err(Error::Refused(format!("{}: cannot answer {challenge:?}", self.name())));
        };
        let mut url = format!("{realm}?service={}", value("service").unwrap_or_default());
        if let Some(scope) = value("scope") {
            url.push_str(&format!("&scope={scope}"));
        }
        let url = url.replace(' ', "%20");
        #[derive(Deserialize)]
        struct Token {
            #[serde(alias = "access_token")]
            token: String,
        }
        let response = self.client.send(self.client.authorize(Ask::new("GET", &url)))?;
        let bytes = http::short(http::fine(response, &url)?, 64 << 10, &url)?;
        let token: Token = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Refused(format!("{url}: {error}")))?;
        Ok(Some(format!("Bearer {}", token.token)))
    }

    fn upload(&self, digest: &Digest, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        let url = self.at("blobs/uploads/");
        let begin = || {
            self.client.send(
                self.with_leave(Ask { body: Some((&mut &[][..], 0)), ..Ask::new("POST", &url) }),
            )
        };
        let begun = http::fine(self.send(&begin)?, &url)?;
        let place = http::header(&begun, "location").unwrap_or_default();
        let place =
            if place.starts_with('/') { format!("{}{place}", self.url) } else { place.into() };
        let join = if place.contains('?') { '&' } else { '?' };
        let place = format!("{place}{join}digest={digest}");
        let ask = Ask { body: Some((content, size)), ..Ask::new("PUT", &place) };
        let ask = self.with_leave(ask.field("content-type", "application/octet-stream"));
        http::fine(self.client.send(ask)?, digest.as_str()).map(drop)
    }

    /// What lies under a tag: its layer of this kind.
    fn first(&self, tag: &str, (kind, most): (&str, usize), what: &str) -> Result<Vec<u8>, Error> {
        let url = self.at(&format!("manifests/{tag}"));
        let manifest = http::fine(self.get("GET", &url, MANIFEST, 0)?, what)?;
        let manifest: Layers = serde_json::from_slice(&http::short(manifest, LARGEST, what)?)
            .map_err(|error| Error::Refused(format!("{what}: {error}")))?;
        let layer = manifest.layers.iter().find(|layer| layer.kind == kind);
        let layer = layer.ok_or_else(|| Error::Refused(format!("{what} is something else")))?;
        let url = self.at(&format!("blobs/{}", layer.digest));
        http::short(http::fine(self.get("GET", &url, "*/*", 0)?, what)?, most, what)
    }

    fn put_manifest(&self, tag: &str, kind: &str, layers: Vec<Layer>) -> Result<(), Error> {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": layer(EMPTY, &self.put_small(b"{}")?, 2),
            "layers": layers,
        });
        let bytes = manifest.to_string();
        let url = self.at(&format!("manifests/{tag}"));
        let put = || {
            let mut body = bytes.as_bytes();
            let ask = Ask { body: Some((&mut body, bytes.len() as u64)), ..Ask::new("PUT", &url) };
            self.client.send(self.with_leave(ask.field("content-type", MANIFEST)))
        };
        http::fine(self.send(&put)?, &url).map(drop)
    }

    fn put_small(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of_bytes(bytes);
        if !self.has(&digest)? {
            self.upload(&digest, bytes.len() as u64, &mut &*bytes)?;
        }
        Ok(digest)
    }
}

fn layer(kind: &str, digest: &Digest, size: u64) -> Layer {
    Layer { kind: kind.into(), digest: digest.clone(), size }
}

/// No release has a tag without a hyphen.
fn root_tag(version: u64) -> String {
    format!("_root.{version}")
}

fn tag(name: &str, version: &str) -> Result<String, Error> {
    let (name, version) = crate::fit(name, version)?;
    let tag = format!("{name}-{version}");
    match tag.len() <= 128 && !tag.starts_with('-') {
        true => Ok(tag),
        false => Err(Error::Refused(format!("{tag:?} cannot be a tag"))),
    }
}

impl Source for Registry {
    fn name(&self) -> String {
        format!("oci://{}/{}", self.repository.host, self.repository.path)
    }

    fn release(&self, name: &str, version: &str) -> Result<Vec<u8>, Error> {
        let what = format!("{name}@{version} in {}", self.name());
        self.first(&tag(name, version)?, (RELEASE, release::LARGEST), &what)
    }

    fn root(&self, version: u64) -> Result<Vec<u8>, Error> {
        let what = format!("root {version} in {}", self.name());
        self.first(&root_tag(version), (ROOT, root::LARGEST), &what)
    }

    fn blob(&self, digest: &Digest, from: u64) -> Result<Body, Error> {
        let url = self.at(&format!("blobs/{digest}"));
        let response = http::fine(self.get("GET", &url, "*/*", from)?, &url)?;
        let from = http::begins(&response, from)?;
        Ok(Body { from, content: Box::new(response.into_body().into_reader()) })
    }
}

impl Destination for Registry {
    fn has(&self, digest: &Digest) -> Result<bool, Error> {
        let url = self.at(&format!("blobs/{digest}"));
        match http::fine(self.get("HEAD", &url, "*/*", 0)?, &url) {
            Ok(_) => Ok(true),
            Err(Error::Absent(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put_blob(&self, digest: &Digest, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        self.upload(digest, size, content)
    }

    fn put_release(&self, release: &Release, digest: &Digest, signed: &[u8]) -> Result<(), Error> {
        crate::given_once(self, release, digest)?;
        let signed = layer(RELEASE, &self.put_small(signed)?, signed.len() as u64);
        let blobs = release.blobs().into_iter().map(|(digest, size)| layer(BLOB, digest, size));
        let layers = std::iter::once(signed).chain(blobs).collect();
        self.put_manifest(&tag(&release.name, &release.version)?, RELEASE, layers)
    }

    fn put_root(&self, version: u64, signed: &[u8]) -> Result<(), Error> {
        if crate::root_given_once(self, version, signed)? {
            return Ok(());
        }
        let signed = layer(ROOT, &self.put_small(signed)?, signed.len() as u64);
        self.put_manifest(&root_tag(version), ROOT, vec![signed])
    }
}
