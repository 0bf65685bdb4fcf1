//! What a route leads to: exactly one target.

use super::check;
use super::filter::{self, Answers, Filters, in_order};
use super::route::Names;
use crate::manifest::{Files, Redirect, Respond, Target};
use crate::place::Place;
use crate::raw::{self, At, TextOr, Whole};
use crate::report::Problem;
use crate::typed::Scene;

pub(super) fn target(
    table: &At<raw::Route>,
    route: &str,
    captures: usize,
    chain: &[(usize, &At<String>)],
    names: &Names<'_>,
    filters: &mut Filters,
    scene: &mut Scene<'_>,
) -> Option<Target> {
    let raw = &table.value;
    let answers = |index: usize| filters.answers.get(index).copied().unwrap_or(Answers::Perhaps);
    let named = raw.filters.as_ref().map_or(0, |list| list.len());
    let perhaps =
        chain.len() < named || chain.iter().any(|(at, _)| answers(*at) == Answers::Perhaps);
    let mut content: Vec<_> = chain.iter().filter(|(at, _)| answers(*at) == Answers::Yes).collect();
    content.dedup_by_key(|(at, _)| *at);
    exactly_one(table, &content, perhaps, scene);
    let content = content.first().map(|(at, _)| Target::Script(*at));
    // All are looked at, so that the mistakes of each are found.
    let upstream = raw
        .upstream
        .as_ref()
        .map(|name| names.target(names.upstream(name, false, scene).unwrap_or(0)));
    let respond = raw.respond.as_ref().map(|raw| Target::Respond(respond(raw, scene)));
    let redirect = raw.redirect.as_ref().map(|raw| redirect(raw, captures, scene));
    let files = raw.files.as_ref().and_then(|raw| files(raw, scene));
    let script = raw.lua.as_ref().map(|path| {
        filters.list.push(filter::script(route, path, scene));
        Target::Script(filters.list.len() - 1)
    });
    let component = raw.component.as_ref().and_then(|raw| {
        filters.list.push(filter::component(route, raw, names, scene)?);
        Some(Target::Script(filters.list.len() - 1))
    });
    upstream
        .or(respond)
        .or(redirect.map(Target::Redirect))
        .or(files.map(Target::Files))
        .or(script)
        .or(component)
        .or(content)
}

/// `content` are the filters that answer; `perhaps`: another one may.
fn exactly_one(
    table: &At<raw::Route>,
    content: &[&(usize, &At<String>)],
    perhaps: bool,
    scene: &mut Scene<'_>,
) {
    let raw = &table.value;
    let keys = [
        ("upstream", raw.upstream.as_ref().map(|at| &at.key)),
        ("respond", raw.respond.as_ref().map(|at| &at.key)),
        ("redirect", raw.redirect.as_ref().map(|at| &at.key)),
        ("files", raw.files.as_ref().map(|at| &at.key)),
        ("lua", raw.lua.as_ref().map(|at| &at.key)),
        ("component", raw.component.as_ref().map(|at| &at.key)),
    ]
    .into_iter()
    .filter_map(|(key, place)| Some((key.to_owned(), place?)));
    let filters = content.iter().map(|(_, at)| (format!("filter {:?}", at.value), &at.place));
    let mut targets: Vec<(String, &Place)> = keys.chain(filters).collect();
    targets.sort_by_key(|(_, place)| place.start);
    match &targets[..] {
        [] if !raw.broken && !perhaps => {
            let hint = "one of upstream, respond, redirect, files, lua and component; or a filter with openresty.content";
            scene.error(&table.place, "a route without a target", Some(hint.into()));
        }
        [(first_key, first), rest @ ..] => {
            for (key, place) in rest {
                let (first, second) = in_order(first, place);
                let message = format!("{key}: the route has a target already");
                let problem = Problem::error(second, message);
                scene.report.push(problem.also(format!("its target is {first_key}"), first));
            }
        }
        [] => {}
    }
}

fn respond(raw: &At<Box<raw::Respond>>, scene: &mut Scene<'_>) -> Respond {
    let status = status(raw.status.as_ref(), 200, scene);
    let mut headers = Vec::new();
    for (name, values) in raw.headers.iter().flat_map(|headers| &headers.value.0) {
        scene.accept(&name.place, check::answer_field(name));
        for value in &values.value.0 {
            scene.accept(&value.place, check::field_value(value));
            headers.push((name.to_ascii_lowercase(), value.value.clone()));
        }
    }
    let body = match (&raw.body, &raw.json) {
        (Some(body), Some(json)) => {
            let (first, second) = in_order(&body.key, &json.key);
            let problem = Problem::error(second, "an answer has one body: `body` or `json`");
            scene.report.push(problem.also("the first one is here", first));
            Vec::new()
        }
        (Some(body), None) => body.value.clone().into_bytes(),
        (None, Some(json)) => {
            if !headers.iter().any(|(name, _)| name == "content-type") {
                headers.push(("content-type".into(), "application/json".into()));
            }
            json.value.0.to_string().into_bytes()
        }
        (None, None) => Vec::new(),
    };
    if let (204 | 205 | 304, false) = (status, body.is_empty()) {
        let place = raw.body.as_ref().map(|at| &at.key).or(raw.json.as_ref().map(|at| &at.key));
        scene.error(place.unwrap_or(&raw.place), format!("status {status} has no body"), None);
    }
    Respond { status, headers, body }
}

pub(super) fn status(raw: Option<&At<Whole>>, default: u16, scene: &mut Scene<'_>) -> u16 {
    let Some(raw) = raw else { return default };
    match u16::try_from(raw.value.0) {
        Ok(status @ 200..=599) => status,
        _ => {
            let message = format!("{} is not the status of an answer", raw.value.0);
            scene.error(&raw.place, message, Some("200 to 599".into()));
            default
        }
    }
}

fn redirect(
    raw: &At<Box<TextOr<raw::Redirect>>>,
    captures: usize,
    scene: &mut Scene<'_>,
) -> Redirect {
    let (to, place, status) = match &*raw.value {
        TextOr::Text(to) => (to.as_str(), &raw.place, None),
        TextOr::Other(table) => match &table.to {
            Some(to) => (to.as_str(), &to.place, table.status.as_ref()),
            None => ("/", &raw.place, table.status.as_ref()),
        },
    };
    let url = ["/", "http://", "https://"].iter().any(|start| to.starts_with(start));
    if !url && !to.starts_with("{path}") {
        let hint = "such as \"https://{host}{path}\" or \"/new/{1}\"".to_owned();
        scene.error(place, format!("{to:?} is not a URL or path"), Some(hint));
    } else if to == "{path}" || to.is_empty() {
        scene.error(place, "the redirect leads to itself", None);
    } else {
        scene.accept(place, check::template(to, captures));
    }
    let code = status.map_or(302, |status| status.value.0);
    if let (Some(status), false) = (status, matches!(code, 301 | 302 | 303 | 307 | 308)) {
        let hint = "301, 302, 303, 307 or 308".to_owned();
        scene.error(&status.place, format!("{code} is not the status of a redirect"), Some(hint));
    }
    Redirect { status: u16::try_from(code).unwrap_or(302), to: to.to_owned() }
}

fn files(raw: &At<Box<TextOr<raw::Files>>>, scene: &mut Scene<'_>) -> Option<Files> {
    const INDEX: &str = "index.html";
    let table = match &*raw.value {
        TextOr::Text(root) => {
            let root = At { value: root.clone(), place: raw.place.clone(), key: raw.key.clone() };
            let root = scene.folder(&root, "the folder");
            return Some(Files { root, index: vec![INDEX.into()], cache_control: None });
        }
        TextOr::Other(table) => table,
    };
    let index = match &table.index {
        None => vec![INDEX.to_owned()],
        Some(names) => names.iter().map(|name| index_name(name, scene)).collect(),
    };
    let cache_control =
        table.cache_control.as_ref().map(|value| scene.checked(value, check::field_value));
    Some(Files { root: scene.folder(table.root.as_ref()?, "the folder"), index, cache_control })
}

fn index_name(name: &At<String>, scene: &mut Scene<'_>) -> String {
    if name.is_empty() || name.contains('/') || matches!(name.as_str(), "." | "..") {
        let message = format!("{:?} is not the name of a file in the folder", name.value);
        scene.error(&name.place, message, None);
    }
    name.value.clone()
}
