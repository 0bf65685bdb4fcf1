//! `[filters.NAME] openresty`.

use super::check;
use super::row;
use crate::manifest::{OpenResty, Script, SetVar, SocketTls, Sockets};
use crate::name;
use crate::raw::{self, At};
use crate::typed::Scene;

/// Phases that come before a route is known: those of a listener's filters.
pub(super) const OF_LISTENERS: &[&str] =
    &["ssl_client_hello", "ssl_certificate", "ssl_session_fetch", "ssl_session_store"];

/// Phases that run wherever the filter stands.
pub(super) const OF_WORKERS: &[&str] = &["init", "init_worker", "exit_worker"];

/// Scripts of `set` in one filter.
const MOST_SET: usize = 256;

pub(super) fn openresty(table: &At<Box<raw::OpenResty>>, scene: &mut Scene<'_>) -> OpenResty {
    let raw = &table.value;
    let phases = phases(raw, scene);
    let set = set(raw.set.as_ref(), scene);
    if phases.is_empty() && set.is_empty() && !raw.broken {
        let hint = "such as access = \"lua/access.lua\"".to_owned();
        scene.error(&table.key, "no phase has a script", Some(hint));
    }
    let default_type = match &raw.default_type {
        None => "text/plain".to_owned(),
        Some(text) => scene.checked(text, check::field_value),
    };
    let on = |key: &Option<At<bool>>, default| key.as_ref().map_or(default, |on| on.value);
    OpenResty {
        phases,
        set,
        default_type: Some(default_type)
            .filter(|text| !text.is_empty() && on(&raw.use_default_type, true)),
        check_client_abort: on(&raw.check_client_abort, false),
        ssl: ssl(raw.ssl.as_ref(), scene),
        socket: sockets(raw.socket.as_ref(), scene),
        body_buffer: raw
            .body_buffer
            .as_ref()
            .map_or(u64::MAX, |size| scene.size(Some(size), &row::BODY_BUFFER)),
        body_in_file: on(&raw.body_in_file, false),
        http10_buffering: on(&raw.http10_buffering, true),
        header_underscores: on(&raw.header_underscores, false),
    }
}

/// In the order in which they run.
fn phases(raw: &raw::OpenResty, scene: &mut Scene<'_>) -> Vec<(&'static str, Script)> {
    let all = [
        ("init", &raw.init),
        ("init_worker", &raw.init_worker),
        ("exit_worker", &raw.exit_worker),
        ("ssl_client_hello", &raw.ssl_client_hello),
        ("ssl_certificate", &raw.ssl_certificate),
        ("ssl_session_fetch", &raw.ssl_session_fetch),
        ("ssl_session_store", &raw.ssl_session_store),
        ("server_rewrite", &raw.server_rewrite),
        ("rewrite", &raw.rewrite),
        ("access", &raw.access),
        ("precontent", &raw.precontent),
        ("content", &raw.content),
        ("balancer", &raw.balancer),
        ("proxy_ssl_certificate", &raw.proxy_ssl_certificate),
        ("proxy_ssl_verify", &raw.proxy_ssl_verify),
        ("header_filter", &raw.header_filter),
        ("body_filter", &raw.body_filter),
        ("log", &raw.log),
    ];
    all.into_iter()
        .filter_map(|(phase, path)| Some((phase, script(path.as_ref()?, scene))))
        .collect()
}

fn script(path: &At<String>, scene: &mut Scene<'_>) -> Script {
    Script { path: scene.file(path, "the script"), name: path.value.clone() }
}

fn set(raw: Option<&At<Vec<At<raw::SetVar>>>>, scene: &mut Scene<'_>) -> Vec<SetVar> {
    let Some(list) = raw else { return Vec::new() };
    if list.len() > MOST_SET {
        scene.error(&list.place, format!("at most {MOST_SET} variables are set"), None);
    }
    let mut all = Vec::with_capacity(list.len());
    for item in list.iter() {
        if let Some(var) = &item.var {
            scene.accept(&var.place, check::ngx_variable(var));
        }
        let args = item.args.iter().flat_map(|args| &args.value);
        let (Some(var), Some(path)) = (&item.var, &item.lua) else { continue };
        all.push(SetVar {
            var: var.value.clone(),
            script: script(path, scene),
            args: args.map(|arg| arg.value.clone()).collect(),
        });
    }
    all
}

/// What may stand in `protocols`, in any case; the last two are still spoken.
const PROTOCOLS: &[&str] = &["SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

fn ssl(raw: Option<&At<raw::SocketTls>>, scene: &mut Scene<'_>) -> SocketTls {
    let none = raw::SocketTls::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    scene.pair(raw.certificate.as_ref(), raw.key.as_ref(), raw.broken);
    let speaks = |protocol: &str| match &raw.protocols {
        None => true,
        Some(list) => list.iter().any(|item| item.eq_ignore_ascii_case(protocol)),
    };
    let (tls12, tls13) = (speaks("TLSv1.2"), speaks("TLSv1.3"));
    if let Some(list) = &raw.protocols {
        protocols(list, tls12 || tls13, scene);
    }
    let depth = scene.whole(raw.verify_depth.as_ref(), &row::VERIFY_DEPTH);
    let mut file =
        |path: &Option<At<String>>, what| path.as_ref().map(|path| scene.file(path, what));
    SocketTls {
        ca: file(&raw.ca, "the authorities"),
        crl: file(&raw.crl, "the revoked certificates"),
        certificate: file(&raw.certificate, "the certificate"),
        key: file(&raw.key, "the key"),
        verify_depth: u32::try_from(depth).unwrap_or(u32::MAX),
        tls12,
        tls13,
        ciphers: raw.ciphers.as_ref().map(|ciphers| ciphers.value.clone()),
    }
}

fn protocols(list: &At<Vec<At<String>>>, spoken: bool, scene: &mut Scene<'_>) {
    let mut known = true;
    for item in list.iter() {
        if PROTOCOLS.iter().any(|protocol| item.eq_ignore_ascii_case(protocol)) {
            continue;
        }
        known = false;
        let hint = match name::closest(item, PROTOCOLS.iter().copied()) {
            Some(close) => format!("did you mean \"{close}\"?"),
            None => "\"TLSv1.2\" and \"TLSv1.3\"".to_owned(),
        };
        scene.error(&item.place, format!("{:?} is not a protocol", item.value), Some(hint));
    }
    if known && !spoken {
        let hint = "\"TLSv1.2\" and \"TLSv1.3\" are".to_owned();
        scene.error(&list.place, "none of these protocols is spoken", Some(hint));
    }
}

fn sockets(raw: Option<&At<raw::Sockets>>, scene: &mut Scene<'_>) -> Sockets {
    let none = raw::Sockets::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    Sockets {
        connect_timeout: scene.time(raw.connect_timeout.as_ref(), &row::CONNECT_TIMEOUT),
        send_timeout: scene.time(raw.send_timeout.as_ref(), &row::SEND_TIMEOUT),
        read_timeout: scene.time(raw.read_timeout.as_ref(), &row::READ_TIMEOUT),
        keepalive_timeout: scene.time(raw.keepalive_timeout.as_ref(), &row::KEEPALIVE_TIMEOUT),
        pool_size: scene.usize(raw.pool_size.as_ref(), &row::POOL_SIZE),
        buffer_size: scene.size(raw.buffer_size.as_ref(), &row::BUFFER_SIZE),
        log_errors: raw.log_errors.as_ref().is_none_or(|on| on.value),
    }
}
