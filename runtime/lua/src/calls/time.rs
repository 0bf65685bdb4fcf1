//! Dates as text, and back.

use std::os::raw::c_int;

use super::Fast;
use crate::calendar::{self, Form};
use crate::window::{NONE, NUMBER, Window, given};

pub(crate) fn fast() -> [Fast; 2] {
    [
        fast!("time_format", format(window, int, double) -> int),
        fast!("time_parse", parse(window, int, text, int) -> int),
    ]
}

/// As the prelude numbers the forms.
const FORMS: [Form; 4] = [Form::Http, Form::Cookie, Form::Rfc3339, Form::Millis];

unsafe fn format(window: *mut Window, form: c_int, seconds: f64) -> c_int {
    // SAFETY: the prelude passes its own window.
    let window = unsafe { &mut *window };
    let Some(form) = FORMS.get(form as usize) else { return NONE };
    window.fill(|out| {
        out.extend_from_slice(calendar::format(seconds, *form).as_bytes());
        true
    })
}

unsafe fn parse(window: *mut Window, form: c_int, at: *const u8, len: c_int) -> c_int {
    // SAFETY: the prelude passes its own window and a Lua string.
    let (window, text) = unsafe { (&mut *window, given(at, len)) };
    let seconds = match FORMS.get(form as usize) {
        Some(Form::Http) => calendar::parse_http(text),
        Some(Form::Rfc3339) => calendar::parse_rfc3339(text),
        _ => None,
    };
    let Some(seconds) = seconds else { return NONE };
    window.num = seconds;
    NUMBER
}
