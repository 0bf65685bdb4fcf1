//! Keys of Kong's entities: those that are read, and what to do about others.

use super::Import;
use super::yaml::Node;

/// An entity, where it may stand within others, and its keys.
struct Entity {
    name: &'static str,
    keys: &'static [&'static str],
    /// Keys that hold entities.
    inner: &'static [(&'static str, &'static str)],
}

/// Keys of every entity that say nothing about traffic.
const EVERYWHERE: &[&str] = &["id", "tags", "created_at", "updated_at", "_comment", "_ignore"];

const ENTITIES: &[Entity] = &[
    Entity {
        name: "",
        keys: &[
            "_format_version",
            "_transform",
            "_info",
            "_workspace",
            "_plugin_configs",
            "_konnect",
            "upstreams",
            "targets",
            "certificates",
            "snis",
            "ca_certificates",
            "keyauth_credentials",
            "basicauth_credentials",
            "jwt_secrets",
            "hmacauth_credentials",
            "acls",
            "consumer_groups",
        ],
        inner: &[
            ("services", "service"),
            ("routes", "route"),
            ("plugins", "plugin"),
            ("consumers", "consumer"),
            ("upstreams", "upstream"),
            ("certificates", "certificate"),
        ],
    },
    Entity {
        name: "service",
        keys: &[
            "name",
            "url",
            "protocol",
            "host",
            "port",
            "path",
            "retries",
            "connect_timeout",
            "read_timeout",
            "write_timeout",
            "client_certificate",
            "ca_certificates",
            "tls_verify",
            "tls_verify_depth",
            "enabled",
        ],
        inner: &[("routes", "route"), ("plugins", "plugin")],
    },
    Entity {
        name: "route",
        keys: &[
            "name",
            "protocols",
            "methods",
            "hosts",
            "paths",
            "headers",
            "snis",
            "sources",
            "destinations",
            "https_redirect_status_code",
            "regex_priority",
            "strip_path",
            "path_handling",
            "preserve_host",
            "request_buffering",
            "response_buffering",
            "expression",
            "priority",
            "service",
        ],
        inner: &[("plugins", "plugin")],
    },
    Entity {
        name: "plugin",
        keys: &[
            "name",
            "config",
            "_config",
            "enabled",
            "protocols",
            "service",
            "route",
            "consumer",
            "consumer_group",
            "instance_name",
            "run_on",
            "ordering",
        ],
        inner: &[],
    },
    Entity {
        name: "consumer",
        keys: &[
            "username",
            "custom_id",
            "keyauth_credentials",
            "basicauth_credentials",
            "jwt_secrets",
            "hmacauth_credentials",
            "acls",
            "groups",
            "plugins",
        ],
        inner: &[],
    },
    Entity {
        name: "upstream",
        keys: &[
            "name",
            "targets",
            "algorithm",
            "slots",
            "host_header",
            "hash_on",
            "hash_fallback",
            "hash_on_header",
            "hash_fallback_header",
            "hash_on_cookie",
            "hash_on_cookie_path",
            "hash_on_query_arg",
            "hash_fallback_query_arg",
            "hash_on_uri_capture",
            "hash_fallback_uri_capture",
            "healthchecks",
            "client_certificate",
            "use_srv_name",
            "sticky_sessions_cookie",
            "sticky_sessions_cookie_path",
        ],
        inner: &[],
    },
    Entity {
        name: "certificate",
        keys: &["cert", "key", "cert_alt", "key_alt", "snis", "passphrase"],
        inner: &[],
    },
];

const ADVICE: &[(&str, &str)] = &[
    ("vaults", "${env:NAME} and ${file:PATH} may stand in any text of the manifest"),
    ("oauth2_credentials", "there is no database for tokens: let jwt check those of an issuer"),
    ("mtls_auth_credentials", "client_ca of the listener asks for certificates"),
    ("keys", "give plugins their keys in their config"),
    ("key_sets", "give plugins their keys in their config"),
    ("plugin_schemas", "put the plugin's folder on [lua] path"),
    ("custom_entities", "there is no database: give plugins what they need in their config"),
    ("rbac_roles", "the gateway has no users of its own"),
];

/// Notes each key that nothing here reads.
pub(super) fn unread(import: &mut Import<'_>, root: &Node) {
    entity(import, "", root);
}

fn entity(import: &mut Import<'_>, name: &str, node: &Node) {
    let Some(entity) = ENTITIES.iter().find(|entity| entity.name == name) else { return };
    for (key, value) in node.rows() {
        let Some(key_text) = key.text() else { continue };
        if let Some((_, inner)) = entity.inner.iter().find(|(own, _)| *own == key_text) {
            value.items().iter().for_each(|item| self::entity(import, inner, item));
        } else if !entity.keys.contains(&key_text) && !EVERYWHERE.contains(&key_text) {
            let advice = ADVICE.iter().find(|(own, _)| *own == key_text);
            let todo = advice.map_or("see whether it is needed", |row| row.1);
            import.note(key.spot, format!("`{key_text}` is left out"), todo);
        }
    }
}
