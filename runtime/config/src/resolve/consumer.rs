//! `[[consumers]]`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::manifest::{Consumer, JWT_ALGORITHMS, Jwt};
use crate::name;
use crate::place::Place;
use crate::raw::{self, At};
use crate::report::Problem;
use crate::typed::Scene;

/// Larger lists of people belong into a store of their own.
const MOST: usize = 10_000;

/// The longest name, key or secret, in bytes.
const LONGEST: usize = 8192;

pub(super) fn consumers(
    raw: Option<At<Vec<At<raw::Consumer>>>>,
    scene: &mut Scene<'_>,
) -> Vec<Consumer> {
    let Some(list) = raw else { return Vec::new() };
    if list.len() > MOST {
        scene.error(&list.key, format!("at most {MOST} consumers"), None);
    }
    let mut seen = Seen::default();
    list.iter().map(|table| consumer(table, &mut seen, scene)).collect()
}

/// What tells consumers apart, each kind for itself: where it was first.
#[derive(Default)]
struct Seen(BTreeMap<(&'static str, String), Place>);

impl Seen {
    /// Checks a text that must be one consumer's alone. Its value may be a secret: it is not shown.
    fn alone(&mut self, kind: &'static str, text: &At<String>, scene: &mut Scene<'_>) -> String {
        checked(text, kind, scene);
        if scene.disk.pretends() {
            return text.value.clone();
        }
        match self.0.entry((kind, text.value.clone())) {
            Entry::Vacant(free) => {
                free.insert(text.place.clone());
            }
            Entry::Occupied(first) => {
                let problem = Problem::error(&text.place, format!("{kind} is taken already"));
                scene.report.push(problem.also("the first one is here", first.get()));
            }
        }
        text.value.clone()
    }
}

fn checked(text: &At<String>, kind: &str, scene: &mut Scene<'_>) -> String {
    if text.is_empty() && !scene.disk.pretends() {
        scene.error(&text.place, format!("{kind} is empty"), None);
    } else if text.len() > LONGEST {
        scene.error(&text.place, format!("{kind} is longer than {LONGEST} bytes"), None);
    }
    text.value.clone()
}

fn texts(list: Option<&At<Vec<At<String>>>>, kind: &str, scene: &mut Scene<'_>) -> Vec<String> {
    let items = list.into_iter().flat_map(|list| &list.value);
    items.map(|text| checked(text, kind, scene)).collect()
}

fn consumer(table: &At<raw::Consumer>, seen: &mut Seen, scene: &mut Scene<'_>) -> Consumer {
    let raw = &table.value;
    if raw.username.is_none() && raw.custom_id.is_none() && !raw.broken {
        let hint = "`username` or `custom_id`".to_owned();
        scene.error(&table.place, "a consumer without a name", Some(hint));
    }
    let tags = texts(raw.tags.as_ref(), "the tag", scene);
    let groups = texts(raw.groups.as_ref(), "the group", scene);
    let keys = raw.keys.iter().flat_map(|keys| &keys.value);
    let basic = raw.basic.iter().flat_map(|list| &list.value);
    let hmac = raw.hmac.iter().flat_map(|list| &list.value);
    let tokens = raw.jwt.iter().flat_map(|list| &list.value);
    let mut name = |text: &Option<At<String>>, kind, scene: &mut Scene<'_>| {
        text.as_ref().map(|text| seen.alone(kind, text, scene))
    };
    Consumer {
        username: name(&raw.username, "the username", scene),
        custom_id: name(&raw.custom_id, "the custom_id", scene),
        tags,
        keys: keys.map(|key| seen.alone("the key", key, scene)).collect(),
        basic: basic
            .filter_map(|pair| {
                let name = seen.alone("the username of basic", pair.username.as_ref()?, scene);
                Some((name, checked(pair.password.as_ref()?, "the password", scene)))
            })
            .collect(),
        jwt: tokens.filter_map(|item| jwt(item, seen, scene)).collect(),
        hmac: hmac
            .filter_map(|pair| {
                let name = seen.alone("the username of hmac", pair.username.as_ref()?, scene);
                Some((name, checked(pair.secret.as_ref()?, "the secret", scene)))
            })
            .collect(),
        groups,
    }
}

fn jwt(item: &At<raw::Jwt>, seen: &mut Seen, scene: &mut Scene<'_>) -> Option<Jwt> {
    let raw = &item.value;
    let key = seen.alone("the key of jwt", raw.key.as_ref()?, scene);
    let algorithm = match &raw.algorithm {
        None => "HS256",
        Some(text) => algorithm(text, scene)?,
    };
    let by_secret = algorithm.starts_with("HS");
    let (what, wanted, unused) = match by_secret {
        true => ("secret", &raw.secret, &raw.rsa_public_key),
        false => ("rsa_public_key", &raw.rsa_public_key, &raw.secret),
    };
    if let Some(unused) = unused {
        scene.warning(&unused.key, format!("{algorithm} needs {what}; this has no meaning"));
    }
    let Some(secret) = wanted else {
        if !raw.broken {
            scene.error(&item.place, format!("{algorithm} needs {what}"), None);
        }
        return None;
    };
    checked(secret, "the secret", scene);
    let is_key = secret.contains("-----BEGIN PUBLIC KEY-----") || scene.disk.pretends();
    if !by_secret && !is_key {
        let hint = "it begins with -----BEGIN PUBLIC KEY-----, and can be \"${file:issuer.pem}\"";
        scene.error(&secret.place, "this is not a public key as PEM", Some(hint.into()));
    }
    Some(Jwt { key, algorithm, secret: secret.value.clone() })
}

fn algorithm(text: &At<String>, scene: &mut Scene<'_>) -> Option<&'static str> {
    let found = JWT_ALGORITHMS.iter().find(|known| **known == text.value);
    if found.is_none() {
        let message = format!("{:?} is not an algorithm of tokens", text.value);
        let hint = match name::closest(text, JWT_ALGORITHMS.iter().copied()) {
            Some(close) => format!("did you mean \"{close}\"?"),
            None => format!("they are {}", JWT_ALGORITHMS.join(", ")),
        };
        scene.error(&text.place, message, Some(hint));
    }
    found.copied()
}
