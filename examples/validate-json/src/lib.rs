//! A filter that lets requests through whose JSON fits a schema, and tells others where theirs does not.

#[cfg(target_arch = "wasm32")]
mod seed;

use boon::{Compiler, Draft, SchemaIndex, Schemas, ValidationError};
use pilotlight_sdk::filter::{self, prelude::*};
use serde_json::{Value, json};

/// The schema's own name; `$ref`s are relative to it.
const NAME: &str = "schema:///schema.json";
/// Mistakes that an answer lists.
const MISTAKES_MAX: usize = 20;

/// The manifest's `config`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The schema, as a table or as JSON in a string.
    schema: Value,
    /// Methods whose bodies are looked at.
    #[serde(default = "methods")]
    methods: Vec<String>,
    /// Bytes of a body, at most.
    #[serde(default = "max")]
    max: usize,
}

fn methods() -> Vec<String> {
    ["POST", "PUT", "PATCH"].map(str::to_owned).into()
}

fn max() -> usize {
    1 << 20
}

/// What documents are held against.
struct Rules {
    schemas: Schemas,
    root: SchemaIndex,
    methods: Vec<String>,
    max: usize,
}

/// One exchange.
struct Validate {
    rules: Rc<Rules>,
    is_looked_at: bool,
}

impl Filter for Validate {
    type Config = Rules;

    fn configure(config: &[u8]) -> Result<Rules, String> {
        let Config { schema, methods, max } = filter::json(config)?;
        let schema = match schema {
            Value::String(text) => {
                serde_json::from_str(&text).map_err(|error| format!("config: schema: {error}"))?
            }
            schema => schema,
        };
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.enable_format_assertions();
        let wrong = |error: &dyn std::fmt::Display| format!("config: schema: {error:#}");
        compiler.add_resource(NAME, schema).map_err(|error| wrong(&error))?;
        let mut schemas = Schemas::new();
        let root = compiler.compile(NAME, &mut schemas).map_err(|error| wrong(&error))?;
        Ok(Rules { schemas, root, methods, max })
    }

    fn begin(rules: &Rc<Rules>) -> Validate {
        Validate { rules: Rc::clone(rules), is_looked_at: false }
    }
}

impl Context for Validate {}

impl HttpContext for Validate {
    fn on_http_request_headers(&mut self, _: usize, last: bool) -> Action {
        let method = self.get_http_request_header(":method").unwrap_or_default();
        self.is_looked_at = self.rules.methods.contains(&method);
        if self.is_looked_at && (last || !self.request_is("application/json")) {
            return self.refuse(415, "application/json is wanted", &[]);
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, last: bool) -> Action {
        if !self.is_looked_at {
            return Action::Continue;
        }
        if size > self.rules.max {
            return self.refuse(413, "the document is too large", &[]);
        }
        let Some(body) = self.whole_request_body(size, last) else { return Action::Pause };
        let document: Value = match serde_json::from_slice(&body) {
            Ok(document) => document,
            Err(error) => return self.refuse(400, &format!("no JSON: {error}"), &[]),
        };
        match self.rules.schemas.validate(&document, self.rules.root) {
            Ok(()) => Action::Continue,
            Err(error) => {
                let mut mistakes = Vec::new();
                leaves(&error, &mut mistakes);
                self.refuse(422, "the document does not fit its schema", &mistakes)
            }
        }
    }
}

impl Validate {
    fn refuse(&self, status: u32, detail: &str, mistakes: &[Value]) -> Action {
        let problem = json!({ "status": status, "detail": detail, "mistakes": mistakes });
        let headers = vec![("content-type", "application/problem+json")];
        self.send_http_response(status, headers, Some(problem.to_string().as_bytes()));
        Action::Pause
    }
}

/// The mistakes themselves; what they are causes of says less.
fn leaves(error: &ValidationError<'_, '_>, mistakes: &mut Vec<Value>) {
    if error.causes.is_empty() && mistakes.len() < MISTAKES_MAX {
        let place = error.instance_location.to_string();
        mistakes.push(json!({ "at": place, "why": error.kind.to_string() }));
    }
    error.causes.iter().for_each(|cause| leaves(cause, mistakes));
}

pilotlight_sdk::filter!(Validate);

#[cfg(test)]
mod tests {
    use pilotlight_sdk::testing::{Host, Outcome, Request, Response};

    use super::Validate;

    const CONFIG: &str = r##"{ "schema": {
        "type": "object", "required": ["name", "seats"], "additionalProperties": false,
        "properties": { "name": { "type": "string", "minLength": 1 },
                        "mail": { "type": "string", "format": "email" },
                        "seats": { "type": "array", "items": { "$ref": "#/$defs/seat" } } },
        "$defs": { "seat": { "type": "integer", "minimum": 1, "maximum": 400 } } } }"##;

    fn sent(body: &str) -> Outcome {
        let mut host = Host::of::<Validate>(CONFIG).unwrap();
        let request =
            Request::new("POST", "/").header("content-type", "application/json; charset=utf-8");
        let (first, second) = body.split_at(body.len() / 2);
        host.exchange(request.chunk(first).chunk(second), Response::new(201))
    }

    #[test]
    fn what_fits_goes_on() {
        let body = r#"{"name": "Ann", "seats": [1, 400], "mail": "a@b.ch"}"#;
        let outcome = sent(body);
        assert_eq!((outcome.status, outcome.request.unwrap().body), (201, body.into()));
    }

    #[test]
    fn mistakes_have_their_places() {
        let outcome = sent(r#"{"name": "", "seats": [1, 401, "x"], "mail": "a", "more": 1}"#);
        assert_eq!(outcome.status, 422);
        for said in ["/seats/1", "/seats/2", "/name", "/mail", "more"] {
            assert!(outcome.text().contains(said), "{}", outcome.text());
        }
        assert_eq!(sent("{\"name\": ").status, 400);
    }

    #[test]
    fn others_are_left_alone_or_refused() {
        let mut host = Host::of::<Validate>(CONFIG).unwrap();
        assert_eq!(host.exchange(Request::get("/"), Response::new(200)).status, 200);
        assert_eq!(host.exchange(Request::post("/", "a=1"), Response::new(200)).status, 415);
        let refused = Host::of::<Validate>(r#"{ "schema": { "type": "none" } }"#).err().unwrap();
        assert!(refused.starts_with("config: schema:"), "{refused}");
    }
}
