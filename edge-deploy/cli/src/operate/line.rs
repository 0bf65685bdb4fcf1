//! The line to the controller that leads: of several any may be named, one that stands by says who leads.

use std::cell::RefCell;
use std::time::Duration;

use pilotlight_content::Settings;
use pilotlight_content::api::Api;
use serde_json::Value;

use crate::flags::Operate;
use crate::{FAILED, REFUSED, manifests};

const SILENCE: Duration = Duration::from_secs(120);

/// A command that does not come to its end.
#[derive(Debug)]
pub(super) struct Failed {
    /// What is said.
    pub(super) why: String,
    pub(super) code: u8,
    /// It may be another thing in a moment.
    pub(super) passes: bool,
}

impl Failed {
    pub(super) fn new(why: String, code: u8) -> Failed {
        Failed { why, code, passes: false }
    }
}

pub(super) struct Line {
    /// Those that were named; the one that answered last comes first.
    urls: RefCell<Vec<String>>,
    settings: Settings,
    token: String,
}

impl Line {
    pub(super) fn new(flags: &Operate) -> Result<Line, Failed> {
        let refuse = |why: &str| Failed::new(why.to_owned(), REFUSED);
        let or = |flag: &Option<String>, name: &str| flag.clone().or_else(|| manifests::env(name));
        let urls = or(&flags.controller, "EDGE_DEPLOY_CONTROLLER").ok_or_else(|| {
            refuse("which controller?\nhint: --controller URL, or EDGE_DEPLOY_CONTROLLER")
        })?;
        let token = or(&flags.token, "EDGE_DEPLOY_TOKEN")
            .ok_or_else(|| refuse("who are you?\nhint: --token TOKEN, or EDGE_DEPLOY_TOKEN"))?;
        let ca = flags.ca.clone().or_else(|| manifests::env("EDGE_DEPLOY_CA").map(Into::into));
        let read = |file: &std::path::PathBuf| {
            let read = std::fs::read(file);
            read.map_err(|error| refuse(&format!("cannot read {}: {error}", file.display())))
        };
        let settings = Settings { ca: ca.as_ref().map(read).transpose()?, ..Settings::default() };
        let urls = urls.split(',').map(|url| url.trim().to_owned()).collect();
        Ok(Line { urls: RefCell::new(urls), settings, token })
    }

    /// Asks, and takes nothing but a yes.
    pub(super) fn ask(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failed> {
        let body = body.map(|body| body.to_string().into_bytes());
        let bytes = self.call(method, path, body.as_deref())?;
        serde_json::from_slice(&bytes)
            .map_err(|_| Failed::new("this is no controller".into(), FAILED))
    }

    /// Bytes as they are.
    pub(super) fn get(&self, path: &str) -> Result<Vec<u8>, Failed> {
        self.call("GET", path, None)
    }

    fn call(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Vec<u8>, Failed> {
        let mut urls: Vec<String> = self.urls.borrow().clone();
        let mut failed = Failed::new("there is no controller".into(), REFUSED);
        let (mut at, most) = (0, urls.len() + 2);
        while let Some(url) = urls.get(at).cloned().filter(|_| at < most) {
            at += 1;
            let api = Api::new(&url, &self.settings, Some(self.token.clone()), SILENCE)
                .map_err(|error| Failed::new(error.to_string(), REFUSED))?;
            let (status, bytes) = match api.call(method, path, body) {
                Ok(answer) => answer,
                Err(error) => {
                    failed = Failed { why: error.to_string(), code: FAILED, passes: true };
                    continue;
                }
            };
            if status == 200 {
                self.urls.borrow_mut().sort_by_key(|other| *other != url);
                return Ok(bytes);
            }
            let Ok(told) = serde_json::from_slice::<Value>(&bytes) else {
                return Err(Failed::new(format!("{url}: this is no controller"), FAILED));
            };
            let why = told["error"].as_str().unwrap_or("no reason is given").to_owned();
            if status != 503 {
                // What was asked for is wrong in itself.
                let code = if matches!(status, 400 | 422) { REFUSED } else { FAILED };
                return Err(Failed::new(why, code));
            }
            if let Some(leader) = told["leader"].as_str().filter(|leader| may_follow(&url, leader))
            {
                urls.insert(at, leader.to_owned());
            }
            failed = Failed { why, code: FAILED, passes: true };
        }
        Err(failed)
    }
}

/// Whether the token goes from here to there: it is not told to the network because somebody says so.
fn may_follow(url: &str, leader: &str) -> bool {
    let is_https = |url: &str| url.to_ascii_lowercase().starts_with("https://");
    leader != url && (!is_https(url) || is_https(leader))
}

#[cfg(test)]
mod tests {
    use super::may_follow;

    #[test]
    fn a_token_does_not_leave_tls() {
        assert!(may_follow("https://a", "https://b") && may_follow("http://a", "https://b"));
        assert!(may_follow("http://a", "http://b") && !may_follow("http://a", "http://a"));
        assert!(!may_follow("https://a", "http://b") && !may_follow("HTTPS://a", "b"));
    }
}
