//! Consumers with their credentials.

use super::yaml::Node;
use super::{Import, reference};
use crate::doc::{Table, Value};

pub(super) fn consumers(import: &mut Import<'_>, root: &Node) {
    for node in root.list("consumers") {
        // `consumers: [alice]` is no form of Kong's.
        let (username, custom_id) = (node.word("username"), node.word("custom_id"));
        if username.is_none() && custom_id.is_none() {
            import.note(node.spot, "a consumer without a name is left out", "give it a username");
            continue;
        }
        let mut table = Table::new();
        for (key, value) in [("username", username), ("custom_id", custom_id)] {
            if let Some(value) = value {
                table.put(key, super::text(value));
            }
        }
        let tags = node.words("tags");
        if !tags.is_empty() {
            table.put("tags", tags);
        }
        let of = |key: &str| -> Vec<&Node> {
            let bound = root.list(key).iter().filter(|one| {
                let to = reference(one, "consumer");
                to.is_some() && (to == username || to == custom_id || to == node.word("id"))
            });
            node.list(key).iter().chain(bound).collect()
        };
        let keys = of("keyauth_credentials");
        credentials(import, &mut table, "keys", &keys, &[("key", "key")]);
        if let Some(Value::List(keys)) = table.get("keys").cloned() {
            let only = |one: Value| match one {
                Value::Table(mut table) => table.0.pop().map(|(_, value)| value),
                other => Some(other),
            };
            table.put("keys", Value::List(keys.into_iter().filter_map(only).collect()));
        }
        let basic = of("basicauth_credentials");
        hashed(import, &basic);
        let pair = [("username", "username"), ("password", "password")];
        credentials(import, &mut table, "basic", &basic, &pair);
        tokens(import, &mut table, &of("jwt_secrets"));
        let pair = [("username", "username"), ("secret", "secret")];
        credentials(import, &mut table, "hmac", &of("hmacauth_credentials"), &pair);
        let groups: Vec<Value> =
            of("acls").iter().filter_map(|one| one.word("group")).map(super::text).collect();
        if !groups.is_empty() {
            table.put("groups", Value::List(groups));
        }
        if let Some(groups) = node.get("groups") {
            let todo = "groups of acl are `groups` here; other settings of a group have no like";
            import.note(groups.spot, "consumer groups are left out", todo);
        }
        for plugin in node.list("plugins") {
            consumer_plugin(import, plugin);
        }
        import.consumers.push(table);
    }
    if let Some(groups) = root.get("consumer_groups") {
        let todo = "give routes the plugins that all shall have";
        import.note(groups.spot, "consumer groups are left out", todo);
    }
}

pub(super) fn consumer_plugin(import: &mut Import<'_>, plugin: &Node) {
    let name = plugin.word("name").unwrap_or("a plugin").to_owned();
    let what = format!("{name} of one consumer is left out: plugins run on routes");
    let todo = "a route that only this consumer uses may have it, or a script that asks who it is";
    import.note(plugin.spot, what, todo);
}

/// A list of tables with these keys; what lacks one is left out.
fn credentials(
    import: &mut Import<'_>,
    table: &mut Table,
    name: &str,
    nodes: &[&Node],
    keys: &[(&str, &str)],
) {
    let mut list = Vec::new();
    for node in nodes {
        let mut row = Table::new();
        for (from, to) in keys {
            if let Some(value) = node.word(from) {
                row.put(to, super::text(value));
            }
        }
        if row.0.len() < keys.len() {
            let what = format!("a credential without its {}", keys[row.0.len()].0);
            import.note(node.spot, what, "Kong makes one up; write the one that clients use");
            continue;
        }
        if node.get("ttl").is_some() {
            import.note(
                node.spot,
                "`ttl`: credentials here do not end",
                "remove it when it is due",
            );
        }
        list.push(Value::Table(row));
    }
    if !list.is_empty() {
        table.put(name, Value::List(list));
    }
}

/// Kong's dumps hold digests instead of passwords.
fn hashed(import: &mut Import<'_>, nodes: &[&Node]) {
    for node in nodes {
        let digest = |text: &str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if node.word("password").is_some_and(digest) {
            let todo = "write the password itself, such as \"${file:alice.password}\"";
            import.note(node.spot, "this password looks like a digest of one", todo);
        }
    }
}

fn tokens(import: &mut Import<'_>, table: &mut Table, nodes: &[&Node]) {
    let mut list = Vec::new();
    for node in nodes {
        let algorithm = node.word("algorithm").unwrap_or("HS256");
        let wanted = if algorithm.starts_with("HS") { "secret" } else { "rsa_public_key" };
        let (Some(key), Some(secret)) = (node.word("key"), node.word(wanted)) else {
            let what = format!("a jwt credential without `key` or `{wanted}` is left out");
            import.note(node.spot, what, "Kong makes one up; write the one that issuers use");
            continue;
        };
        let mut row = Table::new().with("key", super::text(key));
        if algorithm != "HS256" {
            row.put("algorithm", algorithm);
        }
        row.put(wanted, super::text(secret));
        list.push(Value::Table(row));
    }
    if !list.is_empty() {
        table.put("jwt", Value::List(list));
    }
}
