//! A controller's interface: JSON by the same client.

use std::io::Read;
use std::time::Duration;

use crate::Error;
use crate::http::{self, Ask, Client, Settings};

/// The largest answer.
const LARGEST: usize = 64 << 20;

/// A controller.
#[derive(Debug)]
pub struct Api {
    client: Client,
    url: String,
    token: Option<String>,
}

impl Api {
    /// The controller at this URL. It may be silent for so long: that is how it waits for news.
    ///
    /// Errors: the authorities or the certificate cannot be read.
    pub fn new(
        url: &str,
        settings: &Settings,
        token: Option<String>,
        silence: Duration,
    ) -> Result<Api, Error> {
        let url = url.trim_end_matches('/').to_owned();
        Ok(Api { client: Client::patient(&url, settings, silence)?, url, token })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks; any status is an answer.
    pub fn call(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<(u16, Vec<u8>), Error> {
        let url = format!("{}{path}", self.url);
        let mut ask = Ask::new(method, &url).field("content-type", "application/json");
        if let Some(token) = &self.token {
            ask = ask.field("authorization", format!("Bearer {token}"));
        }
        let mut content = body.unwrap_or_default();
        let length = content.len() as u64;
        if body.is_some() {
            ask.body = Some((&mut content as &mut dyn Read, length));
        }
        let response = self.client.send(ask)?;
        let status = response.status().as_u16();
        let bytes = http::short(response, LARGEST, &url)?;
        match bytes.len() > LARGEST {
            true => Err(Error::Refused(format!("{url}: the answer is too long"))),
            false => Ok((status, bytes)),
        }
    }
}
