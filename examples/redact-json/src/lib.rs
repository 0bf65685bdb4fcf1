//! A filter that takes personal data out of JSON answers as they stream by: values of named fields,
//! and e-mail addresses wherever they stand.

mod redact;

use std::rc::Rc;

use pilotlight_sdk::filter::{self, prelude::*};
pub use redact::{Redactor, Rules};

/// The manifest's `config`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Names of fields whose values are masked, in any case.
    #[serde(default)]
    fields: Vec<String>,
    /// Whether e-mail addresses in other strings are masked, too.
    #[serde(default = "yes")]
    emails: bool,
    #[serde(default = "mask")]
    mask: String,
}

fn yes() -> bool {
    true
}

fn mask() -> String {
    "***".into()
}

/// One exchange.
struct Redact {
    rules: Rc<Rules>,
    /// The answer that streams by, when it is JSON.
    answer: Option<Redactor>,
}

impl Filter for Redact {
    type Config = Rules;

    fn configure(config: &[u8]) -> Result<Rules, String> {
        let Config { fields, emails, mask } = filter::json(config)?;
        if fields.is_empty() && !emails {
            return Err("config: there is nothing to mask".into());
        }
        Ok(Rules::new(fields, emails, &mask))
    }

    fn begin(rules: &Rc<Rules>) -> Redact {
        Redact { rules: Rc::clone(rules), answer: None }
    }
}

impl Context for Redact {}

impl HttpContext for Redact {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        // What comes compressed, or in part, can't be read.
        for name in ["accept-encoding", "range", "if-range"] {
            self.set_http_request_header(name, None);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let kind = self.get_http_response_header("content-type").unwrap_or_default();
        let media = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !(media.ends_with("json") && media.starts_with("application/")) {
            return Action::Continue;
        }
        if self.get_http_response_header("content-encoding").is_some() {
            // Better no answer than one that nobody has looked at.
            self.send_http_response(502, vec![], Some(b"the upstream's answer is encoded\n"));
            return Action::Pause;
        }
        self.response_will_change();
        self.answer = Some(Redactor::new(&self.rules));
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, last: bool) -> Action {
        let Some(mut answer) = self.answer.take() else { return Action::Continue };
        let chunk = self.get_http_response_body(0, size).unwrap_or_default();
        self.set_http_response_body(0, size, answer.push(&chunk, last));
        self.answer = Some(answer);
        Action::Continue
    }
}

pilotlight_sdk::filter!(Redact);

#[cfg(test)]
mod tests;
