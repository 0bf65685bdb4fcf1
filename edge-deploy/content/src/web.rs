//! A web server, or an object store: a folder by another way, read by plain `GET` and written by `PUT`.

use std::io::Read;

use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{self, Release, root};

use crate::http::{self, Ask, Client, Response, Settings};
use crate::s3::{self, Signer};
use crate::{Body, Destination, Error, Source};

/// A web server with releases.
#[derive(Debug)]
pub struct Web {
    url: String,
    client: Client,
    /// Of an object store.
    signer: Option<Signer>,
}

impl Web {
    /// Releases below this URL.
    pub fn new(url: &str, settings: &Settings) -> Result<Web, Error> {
        let client = Client::new(url, settings)?;
        Ok(Web { url: url.trim_end_matches('/').to_owned(), client, signer: None })
    }

    /// Releases in this bucket.
    pub fn bucket(bucket: &s3::Bucket, settings: &Settings) -> Result<Web, Error> {
        let (signer, url) = Signer::new(bucket, settings.account.as_ref())?;
        Ok(Web { signer: Some(signer), ..Web::new(&url, settings)? })
    }

    fn blob_url(&self, digest: &Digest) -> String {
        format!("{}/blobs/{}", self.url, digest.hex())
    }

    fn release_url(&self, name: &str, version: &str) -> Result<String, Error> {
        crate::fit(name, version)
            .map(|(name, version)| format!("{}/releases/{name}/{version}", self.url))
    }

    /// Asks as who we are; any status is an answer.
    fn send(&self, ask: Ask<'_>, body: Option<&Digest>) -> Result<Response, Error> {
        self.client.send(match &self.signer {
            Some(signer) => signer.sign(ask, body),
            None => self.client.authorize(ask),
        })
    }

    fn fine(&self, response: Response, what: &str, reads: bool) -> Result<Response, Error> {
        match response.status().as_u16() {
            300..=403 if self.signer.is_some() => Err(s3::explained(response, what, reads)),
            _ => http::fine(response, what),
        }
    }

    fn put(&self, url: &str, digest: &Digest, size: u64, body: &mut dyn Read) -> Result<(), Error> {
        let ask = Ask { body: Some((body, size)), ..Ask::new("PUT", url) };
        let ask = ask.field("content-type", "application/octet-stream");
        self.fine(self.send(ask, Some(digest))?, url, false).map(drop)
    }
}

impl Source for Web {
    fn name(&self) -> String {
        self.url.clone()
    }

    fn release(&self, name: &str, version: &str) -> Result<Vec<u8>, Error> {
        let url = self.release_url(name, version)?;
        let response = self.send(Ask::new("GET", &url), None)?;
        http::short(self.fine(response, &url, true)?, release::LARGEST, &url)
    }

    fn root(&self, version: u64) -> Result<Vec<u8>, Error> {
        let url = format!("{}/roots/{version}", self.url);
        let response = self.send(Ask::new("GET", &url), None)?;
        http::short(self.fine(response, &url, true)?, root::LARGEST, &url)
    }

    fn blob(&self, digest: &Digest, from: u64) -> Result<Body, Error> {
        let url = self.blob_url(digest);
        let response = self.send(Ask::new("GET", &url).from(from), None)?;
        let response = self.fine(response, &url, true)?;
        let from = http::begins(&response, from)?;
        Ok(Body { from, content: Box::new(response.into_body().into_reader()) })
    }
}

impl Destination for Web {
    fn has(&self, digest: &Digest) -> Result<bool, Error> {
        let url = self.blob_url(digest);
        let response = self.send(Ask::new("HEAD", &url), None)?;
        match self.fine(response, &url, true) {
            Ok(_) => Ok(true),
            Err(Error::Absent(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put_blob(&self, digest: &Digest, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        self.put(&self.blob_url(digest), digest, size, content)
    }

    fn put_release(&self, release: &Release, digest: &Digest, signed: &[u8]) -> Result<(), Error> {
        let url = self.release_url(&release.name, &release.version)?;
        crate::given_once(self, release, digest)?;
        self.put(&url, &Digest::of_bytes(signed), signed.len() as u64, &mut &*signed)
    }

    fn put_root(&self, version: u64, signed: &[u8]) -> Result<(), Error> {
        if crate::root_given_once(self, version, signed)? {
            return Ok(());
        }
        let url = format!("{}/roots/{version}", self.url);
        self.put(&url, &Digest::of_bytes(signed), signed.len() as u64, &mut &*signed)
    }
}
