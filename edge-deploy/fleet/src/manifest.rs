//! The manifests of a fleet, each as typed and then as meant: unknown keys are mistakes, and every
//! mistake has its place.

use std::path::Path;

use pilotlight_config::typed::{self, At, Json, Reader, Scene, Typed, Value};
use pilotlight_config::{Disk, Place, Report};

mod controller;
mod faults;
mod fleet;
mod node;
mod release;
mod rollout;

pub use controller::{Controller, Enrol};
pub use faults::Faults;
pub use fleet::{Fleet, Group, Override};
pub use node::{Confirm, Node, Safety};
pub use release::Release;
pub use rollout::{
    Abort, Action, Approve, Gate, Lane, LateJoiners, Metric, MetricKind, NoData, Offline, Pace,
    Pick, Rollout, RuleKind, Threshold, Wave,
};

use crate::label;
use crate::selector::Selector;

/// A manifest as meant, and what is probably not meant in it.
pub type Parsed<M> = Result<(M, Report), Report>;

/// What a manifest refers to.
#[derive(Clone, Copy)]
pub struct From<'a> {
    /// Values of `${env:NAME}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Files.
    pub disk: &'a dyn Disk,
}

impl<'a> From<'a> {
    fn open<T: Typed>(self, text: &str, file: &Path) -> Result<(T, Scene<'a>), Report> {
        typed::document(text, file, self.env, self.disk)
    }
}

/// Each manifest's usual name and its JSON Schema.
pub fn schemas() -> [(&'static str, Json); 6] {
    [
        ("release.toml", release::Typed::schema()),
        ("rollout.toml", rollout::typed::Rollout::schema()),
        ("fleet.toml", fleet::Typed::schema()),
        ("node.toml", node::Typed::schema()),
        ("controller.toml", controller::Typed::schema()),
        ("faults.toml", faults::Typed::schema()),
    ]
}

/// Checks what sort of manifest this is.
fn kind(typed: Option<&At<String>>, wanted: &str, scene: &mut Scene<'_>) {
    if let Some(kind) = typed.filter(|kind| kind.value != wanted) {
        let hint = format!("kind = \"{wanted}\"");
        scene.error(
            &kind.place,
            format!("this is not a {wanted} but a {}", kind.value),
            Some(hint),
        );
    }
}

/// The value of a label or variable; TOML has more types than selectors do.
pub(crate) struct Scalar(pub(crate) label::Value);

impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Typed for Scalar {
    fn expected() -> String {
        "a string, a number, true or false".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = typed::Free::read(value, reader)?.0;
        let read = match scalar {
            Json::String(text) => Some(label::Value::Text(text)),
            Json::Bool(flag) => Some(label::Value::Flag(flag)),
            Json::Number(number) => number.as_f64().map(label::Value::Number),
            _ => None,
        };
        if read.is_none() {
            reader.wrong::<Self>(value);
        }
        read.map(Self)
    }
    fn schema() -> Json {
        serde_json::json!({ "type": ["string", "number", "boolean"] })
    }
}

/// An expression over labels, whose mistakes are shown within it.
#[derive(Debug)]
pub(crate) struct Expression(pub(crate) Selector);

impl Typed for Expression {
    fn expected() -> String {
        "a condition on labels such as 'role == \"pop\"'".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text::<Self>(value)?;
        match Selector::parse(&text) {
            Ok(selector) => Some(Self(selector)),
            Err(wrong) => {
                let place = reader.part(value, &text, wrong.at);
                reader.refuse_at(place, wrong.message, wrong.hint);
                None
            }
        }
    }
    fn schema() -> Json {
        String::schema()
    }
}

/// The plain values of a table of names.
fn named<T, V>(
    typed: Option<At<typed::Named<T>>>,
    value: impl Fn(T) -> V,
) -> std::collections::BTreeMap<String, V> {
    let names = typed.map(|typed| typed.value.0).unwrap_or_default();
    names.into_iter().map(|(name, at)| (name.value, value(at.value))).collect()
}

/// The plain values of a list.
fn listed<T>(typed: Option<At<Vec<At<T>>>>) -> Vec<T> {
    typed.map(|list| list.value.into_iter().map(|item| item.value).collect()).unwrap_or_default()
}

/// A value, or what holds where nothing is said.
fn or<T>(typed: Option<At<T>>, default: T) -> T {
    typed.map_or(default, |at| at.value)
}

/// Where a key stands, or nowhere.
fn place<T>(typed: Option<&At<T>>) -> Place {
    typed.map(|at| at.place.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
