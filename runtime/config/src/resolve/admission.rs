//! `admission` of `[upstreams]` and `[[routes]]`.

use super::row;
use crate::manifest::Admission;
use crate::raw::{self, At, Whole};
use crate::typed::Scene;
use crate::typed::row::Row;

/// `most`: the limit where nothing is said of it.
pub(super) fn admission(
    raw: &At<Box<raw::Admission>>,
    most: usize,
    scene: &mut Scene<'_>,
) -> Admission {
    let raw = &raw.value;
    let mut count = |value: Option<&At<Whole>>, row: &Row| {
        u32::try_from(scene.whole(value, row)).unwrap_or(u32::MAX)
    };
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let max = raw.max.as_ref().map_or(most, |max| count(Some(max), &row::ADMISSION_MAX));
    let min = match &raw.min {
        Some(min) => count(Some(min), &row::ADMISSION_MIN),
        None => count(None, &row::ADMISSION_MIN).min(max),
    };
    let start = count(raw.start.as_ref(), &row::ADMISSION_START);
    if let Some(at) = raw.min.as_ref().filter(|_| min > max) {
        scene.error(&at.place, format!("min is above max, which is {max}"), None);
    } else if let Some(at) = raw.start.as_ref().filter(|_| !(min..=max).contains(&start)) {
        scene.error(&at.place, format!("start is not between min and max: {min} to {max}"), None);
    }
    let queue = scene.usize(raw.queue.as_ref(), &row::ADMISSION_QUEUE);
    Admission { min, max, start: start.clamp(min.min(max), max), queue }
}
