//! `errors` of a route: where its requests go on when their answer has an error's status.

use super::route::Names;
use crate::manifest::{ErrorPage, ErrorStatus, ErrorTarget};
use crate::raw::{self, At};
use crate::typed::{Refusal, Scene};

/// `internal` are the names of routes that only their names lead to.
pub(super) fn error_pages(
    route: &raw::Route,
    internal: &[String],
    names: &Names<'_>,
    scene: &mut Scene<'_>,
) -> Vec<ErrorPage> {
    let pages = route.errors.iter().flat_map(|pages| &pages.value);
    pages.filter_map(|page| error_page(page, internal, names, scene)).collect()
}

fn error_page(
    raw: &raw::ErrorPage,
    internal: &[String],
    names: &Names<'_>,
    scene: &mut Scene<'_>,
) -> Option<ErrorPage> {
    let on = raw.on.as_ref().map(|on| statuses(on, scene));
    let to = raw.to.as_ref()?;
    if to.starts_with('@') {
        names.find(to, internal, "route", scene);
    }
    let target = scene.accept(&to.place, target(to))?;
    let status = match &raw.status {
        None if matches!(target, ErrorTarget::Url(_)) => ErrorStatus::Fixed(302),
        None => ErrorStatus::Same,
        Some(status) => scene.accept(&status.place, self::status(status.value, &target))?,
    };
    Some(ErrorPage { on: on?, to: target, status })
}

fn statuses(on: &At<Vec<At<raw::Whole>>>, scene: &mut Scene<'_>) -> Vec<u16> {
    if on.is_empty() {
        scene.error(&on.place, "no status leads there", Some("such as on = [404]".into()));
    }
    let mut statuses = Vec::with_capacity(on.len());
    for status in on.iter() {
        match u16::try_from(status.value.0) {
            Ok(status @ 300..=599) => statuses.push(status),
            _ => {
                let message = format!("{} is not the status of an error", status.value.0);
                scene.error(&status.place, message, Some("300 to 599".into()));
            }
        }
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn target(to: &str) -> Result<ErrorTarget, Refusal> {
    if to.chars().any(|c| c.is_control() || c == ' ') {
        return Err(Refusal::bare(format!("{to:?} holds a blank or a control character")));
    }
    if to.starts_with('@') {
        return Ok(ErrorTarget::Route(to.into()));
    }
    if to.starts_with('/') {
        return Ok(ErrorTarget::Path(to.into()));
    }
    if to.starts_with("http://") || to.starts_with("https://") {
        return Ok(ErrorTarget::Url(to.into()));
    }
    let hint = "such as \"/sorry.html\", \"@fallback\" or \"https://status.example.com/\"";
    Err(Refusal::new(format!("{to:?} is not a path, a route's name or a URL"), hint))
}

fn status(raw: raw::Own, target: &ErrorTarget) -> Result<ErrorStatus, Refusal> {
    let url = matches!(target, ErrorTarget::Url(_));
    match raw.0 {
        None if url => Err(Refusal::bare("a URL has no answer of its own")),
        None => Ok(ErrorStatus::Own),
        Some(status) => match u16::try_from(status) {
            Ok(status @ (301 | 302 | 303 | 307 | 308)) => Ok(ErrorStatus::Fixed(status)),
            _ if url => {
                let hint = "301, 302, 303, 307 or 308";
                Err(Refusal::new(format!("{status} is not the status of a redirect"), hint))
            }
            Ok(status @ 200..=599) => Ok(ErrorStatus::Fixed(status)),
            _ => {
                let hint = "200 to 599, or \"own\"";
                Err(Refusal::new(format!("{status} is not the status of an answer"), hint))
            }
        },
    }
}
