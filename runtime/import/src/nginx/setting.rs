//! Directives of the Lua module as keys of a filter's `openresty`.

use super::parse::Directive;
use super::{Import, effective, units};
use crate::doc::{Table, Value};

/// How a value is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    /// What is off there is on here.
    Not,
    Whole,
    Size,
    Time,
    /// Beside the configuration.
    Path,
    List,
    /// Anything but `off`.
    NotOff,
}

const KEYS: &[(&str, &str, Form)] = &[
    ("default_type", "default_type", Form::Text),
    ("lua_use_default_type", "use_default_type", Form::Flag),
    ("lua_check_client_abort", "check_client_abort", Form::Flag),
    ("lua_http10_buffering", "http10_buffering", Form::Flag),
    ("lua_transform_underscores_in_response_headers", "header_underscores", Form::Not),
    ("client_body_in_file_only", "body_in_file", Form::NotOff),
    ("client_body_buffer_size", "body_buffer", Form::Size),
    ("lua_socket_connect_timeout", "socket.connect_timeout", Form::Time),
    ("lua_socket_send_timeout", "socket.send_timeout", Form::Time),
    ("lua_socket_read_timeout", "socket.read_timeout", Form::Time),
    ("lua_socket_keepalive_timeout", "socket.keepalive_timeout", Form::Time),
    ("lua_socket_pool_size", "socket.pool_size", Form::Whole),
    ("lua_socket_buffer_size", "socket.buffer_size", Form::Size),
    ("lua_socket_log_errors", "socket.log_errors", Form::Flag),
    ("lua_ssl_trusted_certificate", "ssl.ca", Form::Path),
    ("lua_ssl_crl", "ssl.crl", Form::Path),
    ("lua_ssl_certificate", "ssl.certificate", Form::Path),
    ("lua_ssl_certificate_key", "ssl.key", Form::Path),
    ("lua_ssl_verify_depth", "ssl.verify_depth", Form::Whole),
    ("lua_ssl_protocols", "ssl.protocols", Form::List),
    ("lua_ssl_ciphers", "ssl.ciphers", Form::Text),
];

/// Adds the settings that hold in these blocks.
pub(super) fn settings(import: &mut Import<'_>, levels: &[&[Directive]], table: &mut Table) {
    for (name, key, form) in KEYS {
        let Some(directive) = effective(levels, name) else { continue };
        match value(import, directive, *form) {
            Some(value) => table.put_in(key, value),
            None => {
                let what = format!("{:?} is no value of {name}", directive.arg(0));
                import.note(&directive.spot, what, "the default is taken");
            }
        }
    }
}

fn value(import: &Import<'_>, directive: &Directive, form: Form) -> Option<Value> {
    let text = directive.arg(0);
    Some(match form {
        Form::Text => text.into(),
        Form::Flag => (text == "on").into(),
        Form::Not => (text != "on").into(),
        Form::NotOff => (text != "off").into(),
        Form::Whole => text.parse::<i64>().ok().filter(|number| *number >= 0)?.into(),
        Form::Size => units::shown_size(units::size(text)?).into(),
        Form::Time => units::shown(units::time(text)?).into(),
        Form::Path => import.beside(text).into(),
        Form::List => directive.args.clone().into(),
    })
}
