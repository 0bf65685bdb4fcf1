//! Kinds of values that only gateways have.

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use crate::manifest::{Balance, Encoding, Isolation, Level, OnError, Priority, UpstreamProtocol};
use crate::typed::{self, REFERENCE, Reader, Typed, Value, Whole};

/// A protocol of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    Http3,
    Tcp,
}

/// A number of event loops; `None` is "auto".
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workers(pub(crate) Option<u64>);

impl Typed for Workers {
    fn expected() -> String {
        "\"auto\" or a whole number such as 2".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Integer(_) => Whole::read(value, reader).map(|number| Self(Some(number.0))),
            DeValue::String(_) => {
                let text = reader.text::<Self>(value)?;
                // A reference can only bring in text, so a number in it counts as one.
                match (text.as_str(), text.parse()) {
                    ("auto", _) => Some(Self(None)),
                    (_, Ok(number)) => Some(Self(Some(number))),
                    _ => {
                        reader.wrong::<Self>(value);
                        None
                    }
                }
            }
            _ => {
                reader.wrong::<Self>(value);
                None
            }
        }
    }
    fn schema() -> Json {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 1 },
            { "type": "string", "pattern": format!("^(auto|[0-9]+|{REFERENCE})$") },
        ] })
    }
}

/// A status of its own, or "own": that of what answers; `None` is the latter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own(pub(crate) Option<u64>);

impl Typed for Own {
    fn expected() -> String {
        "\"own\" or a status such as 200".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Integer(_) => Whole::read(value, reader).map(|number| Self(Some(number.0))),
            DeValue::String(_) if reader.text::<Self>(value)? == "own" => Some(Self(None)),
            _ => {
                reader.wrong::<Self>(value);
                None
            }
        }
    }
    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "integer", "minimum": 200, "maximum": 599 }, { "const": "own" }] })
    }
}

/// How requests are spread. The contract's `{ hash = ... }` is not in this version.
#[derive(Debug)]
pub(crate) struct BalanceKind(pub(crate) Balance);

impl Typed for BalanceKind {
    fn expected() -> String {
        Balance::expected()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        if let DeValue::Table(table) = value.get_ref()
            && table.contains_key("hash")
        {
            let place = reader.place(value.span());
            reader.later(place, "hash");
            return None;
        }
        Balance::read(value, reader).map(Self)
    }
    fn schema() -> Json {
        Balance::schema()
    }
}

typed::words! {
    Level, "a level" = [
        "error" => Level::Error, "warn" => Level::Warn, "info" => Level::Info,
        "debug" => Level::Debug, "trace" => Level::Trace,
    ], later [];
    OnError, "an action" = ["close" => OnError::Close, "open" => OnError::Open], later [];
    Isolation, "an isolation" = [
        "worker" => Isolation::Worker, "stream" => Isolation::Stream,
    ], later [];
    Encoding, "an encoding" = ["envoy" => Encoding::Envoy, "text" => Encoding::Text], later [];
    Priority, "a priority" = [
        "critical" => Priority::Critical, "normal" => Priority::Normal, "low" => Priority::Low,
        "background" => Priority::Background,
    ], later [];
    Balance, "a balance" = [
        "round-robin" => Balance::RoundRobin, "least-request" => Balance::LeastRequest,
        "random" => Balance::Random,
    ], later ["ewma", "hash"];
    UpstreamProtocol, "a protocol" = [
        "auto" => UpstreamProtocol::Auto, "http1" => UpstreamProtocol::Http1,
        "http2" => UpstreamProtocol::Http2, "tcp" => UpstreamProtocol::Tcp,
    ], later ["http3"];
    Protocol, "a protocol" = [
        "http1" => Protocol::Http1, "http2" => Protocol::Http2, "http3" => Protocol::Http3,
        "tcp" => Protocol::Tcp,
    ], later [];
}
