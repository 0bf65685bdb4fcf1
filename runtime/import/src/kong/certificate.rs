//! Certificates: their texts become files beside the manifest.

use super::yaml::Node;
use super::{Import, reference};
use crate::doc::Table;

/// A certificate with its key, as `tls` of a listener and of upstreams takes it.
pub(super) struct Certificate {
    id: Option<String>,
    pub(super) pair: Table,
}

pub(super) fn certificates(import: &mut Import<'_>, root: &Node) {
    for (at, node) in root.list("certificates").iter().enumerate() {
        let id = node.word("id").map(str::to_owned);
        let own = node.list("snis").iter().find_map(|sni| sni.text().or(sni.word("name")));
        let bound = root
            .list("snis")
            .iter()
            .find(|sni| id.is_some() && reference(sni, "certificate") == id.as_deref());
        let name = own.or(bound.and_then(|sni| sni.word("name")));
        let name = name.map_or_else(|| format!("certificate-{}", at + 1), str::to_owned);
        let (Some(cert), Some(key)) = (node.word("cert"), node.word("key")) else {
            import.note(node.spot, "a certificate without `cert` or `key`", "add it to tls");
            continue;
        };
        if !cert.contains("-----BEGIN") || !key.contains("-----BEGIN") {
            let what = format!("the certificate {name} is not in the file itself");
            import.note(node.spot, what, "write it to a file, and name it in tls of the listener");
            continue;
        }
        if node.get("cert_alt").is_some() {
            let todo = "add it to tls of the listener as one more pair";
            import.note(node.spot, "`cert_alt` is left out", todo);
        }
        let name = name.replace('*', "wildcard");
        let (cert, key) = (lines(cert), lines(key));
        let certificate = import.write("certificates", &name, ".pem", cert);
        let key = import.write("certificates", &name, ".key", key);
        let pair = Table::new().with("certificate", certificate).with("key", key);
        if !import.certificates.iter().any(|known| known.pair == pair) {
            import.certificates.push(Certificate { id, pair });
        }
    }
}

fn lines(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

/// The certificate that a service shows, by its reference.
pub(super) fn shown<'i>(import: &'i Import<'_>, node: &Node) -> Option<&'i Table> {
    let id = reference(node, "client_certificate")?;
    let found = import.certificates.iter().find(|one| one.id.as_deref() == Some(id));
    found.map(|one| &one.pair)
}

/// The authorities that a service trusts, as one file.
pub(super) fn authorities(import: &mut Import<'_>, root: &Node, service: &Node) -> Option<String> {
    let ids = service.words("ca_certificates");
    if ids.is_empty() {
        return None;
    }
    let all = root.list("ca_certificates").iter();
    let found = all.filter(|one| one.word("id").is_some_and(|id| ids.iter().any(|i| i == id)));
    let texts: Vec<String> = found.filter_map(|one| one.word("cert")).map(lines).collect();
    if texts.is_empty() {
        let todo = "write their file into tls.ca of the upstream";
        import.note(service.spot, "the service's `ca_certificates` are not in this file", todo);
        return None;
    }
    let name = service.word("name").unwrap_or("service").to_owned();
    Some(import.write("certificates", &format!("{name}-ca"), ".pem", texts.concat()))
}
