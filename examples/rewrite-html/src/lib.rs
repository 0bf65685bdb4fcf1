//! A filter that rewrites HTML as it streams by: elements by CSS selectors.

use std::cell::RefCell;

use lol_html::html_content::{ContentType, Element};
use lol_html::{HtmlRewriter, MemorySettings, OutputSink, Selector, Settings};
use pilotlight_sdk::filter::{self, log, prelude::*};

/// Bytes that a rewriter may hold, of one token or of open elements.
const HELD_MAX: usize = 1 << 20;

/// The manifest's `config`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    rules: Vec<Rule>,
}

/// What becomes of an element.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Rule {
    /// A CSS selector.
    select: String,
    /// Takes the element away, with what is in it.
    remove: bool,
    /// HTML to be put there.
    before: Option<String>,
    prepend: Option<String>,
    append: Option<String>,
    after: Option<String>,
    /// Attributes and their new values; an empty one takes the attribute away.
    set: Vec<(String, String)>,
    /// An attribute, what it begins with, and what it begins with then.
    prefix: Option<(String, String, String)>,
}

/// Rules with their selectors read.
struct Rules(Vec<(Selector, Rule)>);

impl Rule {
    fn apply(&self, element: &mut Element<'_, '_>) {
        if self.remove {
            element.remove();
            return;
        }
        for (name, value) in &self.set {
            // What no attribute can be called is left alone.
            match value.is_empty() {
                true => element.remove_attribute(name),
                false => _ = element.set_attribute(name, value),
            }
        }
        if let Some((name, from, to)) = &self.prefix
            && let Some(value) = element.get_attribute(name)
            && let Some(rest) = value.strip_prefix(from.as_str())
        {
            let _ = element.set_attribute(name, &format!("{to}{rest}"));
        }
        let html = ContentType::Html;
        self.before.iter().for_each(|text| element.before(text, html));
        self.prepend.iter().for_each(|text| element.prepend(text, html));
        self.append.iter().for_each(|text| element.append(text, html));
        self.after.iter().for_each(|text| element.after(text, html));
    }
}

/// What has been rewritten and not yet been sent.
#[derive(Clone, Default)]
struct Out(Rc<RefCell<Vec<u8>>>);

impl OutputSink for Out {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        self.0.borrow_mut().extend_from_slice(chunk);
    }
}

/// A page that streams by.
struct Page {
    rewriter: HtmlRewriter<'static, Out>,
    out: Out,
}

impl Page {
    fn new(rules: &Rc<Rules>) -> Page {
        let mut settings = Settings::new()
            .with_memory_settings(MemorySettings::new().with_max_allowed_memory_usage(HELD_MAX));
        for (index, (selector, _)) in rules.0.iter().enumerate() {
            let rules = Rc::clone(rules);
            let handler = move |element: &mut Element<'_, '_>| {
                rules.0[index].1.apply(element);
                Ok(())
            };
            let handlers = lol_html::ElementContentHandlers::default().element(handler);
            settings = settings.append_element_content_handler((
                std::borrow::Cow::Owned(selector.clone()),
                handlers,
            ));
        }
        let out = Out::default();
        Page { rewriter: HtmlRewriter::new(settings, out.clone()), out }
    }
}

/// One exchange.
struct Rewrite {
    rules: Rc<Rules>,
    page: Option<Page>,
}

impl Filter for Rewrite {
    type Config = Rules;

    fn configure(config: &[u8]) -> Result<Rules, String> {
        let Config { rules } = filter::json(config)?;
        let read = |rule: Rule| {
            let selector = rule.select.parse();
            let selector =
                selector.map_err(|error| format!("config: {:?}: {error}", rule.select))?;
            Ok((selector, rule))
        };
        rules.into_iter().map(read).collect::<Result<_, String>>().map(Rules)
    }

    fn begin(rules: &Rc<Rules>) -> Rewrite {
        Rewrite { rules: Rc::clone(rules), page: None }
    }
}

impl Context for Rewrite {}

impl HttpContext for Rewrite {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        // What comes compressed, or in part, can't be read.
        for name in ["accept-encoding", "range", "if-range"] {
            self.set_http_request_header(name, None);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, last: bool) -> Action {
        let is_encoded = self.get_http_response_header("content-encoding").is_some();
        if self.response_is("text/html") && !is_encoded && !last {
            self.response_will_change();
            self.page = Some(Page::new(&self.rules));
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, last: bool) -> Action {
        let Some(mut page) = self.page.take() else { return Action::Continue };
        let chunk = self.get_http_response_body(0, size).unwrap_or_default();
        let mut done = page.rewriter.write(&chunk);
        let out = page.out.clone();
        if last && done.is_ok() {
            done = page.rewriter.end();
        } else if done.is_ok() {
            self.page = Some(page);
        }
        if let Err(error) = done {
            // What has gone out cannot be taken back: the page ends here.
            log::error!("the page is not rewritten: {error}");
            self.reset_http_response();
            return Action::Pause;
        }
        self.set_http_response_body(0, size, &out.0.take());
        Action::Continue
    }
}

pilotlight_sdk::filter!(Rewrite);

#[cfg(test)]
mod tests {
    use pilotlight_sdk::testing::{Host, Request, Response};

    use super::Rewrite;

    const CONFIG: &str = r#"{ "rules": [
        { "select": "a[href]", "prefix": ["href", "http://", "https://"], "set": [["rel", "noopener"]] },
        { "select": ".ad", "remove": true },
        { "select": "body", "prepend": "<nav></nav>", "append": "<footer></footer>" }
    ] }"#;

    #[test]
    fn pages_are_rewritten_in_pieces() {
        let mut host = Host::of::<Rewrite>(CONFIG).unwrap();
        let page = "<body><a href='http://a'>a</a><p class='x ad'>b<b>c</b></p><p>d</p></body>";
        let made = "<body><nav></nav><a href=\"https://a\" rel=\"noopener\">a</a><p>d</p><footer></footer></body>";
        for size in [1, 7, 1000] {
            let response = Response::new(200).header("content-type", "text/html; charset=utf-8");
            let response = page.as_bytes().chunks(size).fold(response, Response::body);
            assert_eq!(host.exchange(Request::get("/"), response).text(), made, "pieces of {size}");
        }
        let response = Response::new(200).header("content-type", "text/plain").body(page);
        assert_eq!(host.exchange(Request::get("/"), response).text(), page);
    }

    #[test]
    fn selectors_are_looked_at() {
        let refused = Host::of::<Rewrite>(r#"{ "rules": [{ "select": "a[" }] }"#).err().unwrap();
        assert!(refused.contains("a["), "{refused}");
    }
}
