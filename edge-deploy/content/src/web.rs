//! A web server, or an object store behind plain `GET` and `PUT`: a folder by another way.

use std::io::Read;

use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{self, Release, root};

use crate::http::{self, Ask, Client, Settings};
use crate::{Body, Destination, Error, Source};

/// A web server with releases.
#[derive(Debug)]
pub struct Web {
    url: String,
    client: Client,
}

impl Web {
    /// Releases below this URL.
    pub fn new(url: &str, settings: &Settings) -> Result<Web, Error> {
        let client = Client::new(url, settings)?;
        Ok(Web { url: url.trim_end_matches('/').to_owned(), client })
    }

    fn blob_url(&self, digest: &Digest) -> String {
        format!("{}/blobs/{}", self.url, digest.hex())
    }

    fn release_url(&self, name: &str, version: &str) -> Result<String, Error> {
        crate::fit(name, version)
            .map(|(name, version)| format!("{}/releases/{name}/{version}", self.url))
    }

    fn put(&self, url: &str, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        let ask = Ask { body: Some((content, size)), ..Ask::new("PUT", url) };
        let ask = ask.field("content-type", "application/octet-stream");
        http::fine(self.client.send(self.client.authorize(ask))?, url).map(drop)
    }
}

impl Source for Web {
    fn name(&self) -> String {
        self.url.clone()
    }

    fn release(&self, name: &str, version: &str) -> Result<Vec<u8>, Error> {
        let url = self.release_url(name, version)?;
        let response = self.client.send(self.client.authorize(Ask::new("GET", &url)))?;
        http::short(http::fine(response, &url)?, release::LARGEST, &url)
    }

    fn root(&self, version: u64) -> Result<Vec<u8>, Error> {
        let url = format!("{}/roots/{version}", self.url);
        let response = self.client.send(self.client.authorize(Ask::new("GET", &url)))?;
        http::short(http::fine(response, &url)?, root::LARGEST, &url)
    }

    fn blob(&self, digest: &Digest, from: u64) -> Result<Body, Error> {
        let url = self.blob_url(digest);
        let ask = self.client.authorize(Ask::new("GET", &url)).from(from);
        let response = http::fine(self.client.send(ask)?, &url)?;
        let from = http::begins(&response, from)?;
        Ok(Body { from, content: Box::new(response.into_body().into_reader()) })
    }
}

impl Destination for Web {
    fn has(&self, digest: &Digest) -> Result<bool, Error> {
        let url = self.blob_url(digest);
        let response = self.client.send(self.client.authorize(Ask::new("HEAD", &url)))?;
        match http::fine(response, &url) {
            Ok(_) => Ok(true),
            Err(Error::Absent(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put_blob(&self, digest: &Digest, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        self.put(&self.blob_url(digest), size, content)
    }

    fn put_release(&self, release: &Release, digest: &Digest, signed: &[u8]) -> Result<(), Error> {
        let url = self.release_url(&release.name, &release.version)?;
        crate::given_once(self, release, digest)?;
        self.put(&url, signed.len() as u64, &mut &*signed)
    }

    fn put_root(&self, version: u64, signed: &[u8]) -> Result<(), Error> {
        if crate::root_given_once(self, version, signed)? {
            return Ok(());
        }
        let url = format!("{}/roots/{version}", self.url);
        self.put(&url, signed.len() as u64, &mut &*signed)
    }
}
