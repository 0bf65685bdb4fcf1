//! Which certificate a client sees: by the name it asks for, exact before wildcard, else the first.

use std::collections::HashMap;
use std::sync::Arc;

use pilotlight_config::manifest::KeyPair;
use pilotlight_filter::exchange::{Certificates, Identity};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::{Certificate, Outline};
use super::{TlsProblem, identity, pem};
use crate::clock::Clock;

/// A listener's certificates.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    keys: Vec<Arc<CertifiedKey>>,
    /// Several for one name: keys of different kinds.
    exact: HashMap<String, Vec<usize>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Vec<usize>>,
}

impl Resolver {
    /// Reads all pairs; says everything that is wrong with them, and what is only dubious.
    pub(super) fn load(
        pairs: &[KeyPair],
        provider: &CryptoProvider,
    ) -> Result<(Resolver, Vec<TlsProblem>), Vec<TlsProblem>> {
        let (mut resolver, mut problems, mut warnings) = (Resolver::default(), vec![], vec![]);
        for pair in pairs {
            match load(pair, provider) {
                Ok((key, read)) => {
                    warnings.extend(expired(pair, &read));
                    resolver.add(key, &read);
                }
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok((resolver, warnings)) } else { Err(problems) }
    }

    fn add(&mut self, key: CertifiedKey, read: &Certificate) {
        let index = self.keys.len();
        self.keys.push(Arc::new(key));
        let names = match read.dns.is_empty() {
            true => read.common_name.iter().cloned().collect(),
            false => read.dns.clone(),
        };
        for name in names {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(rest) => self.wildcard.entry(rest.to_owned()).or_default().push(index),
                None => self.exact.entry(name).or_default().push(index),
            }
        }
    }

    /// The certificates for a name, if any was made for it.
    fn named(&self, name: &str) -> Option<&[usize]> {
        let name = name.to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        let wild = || name.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
        self.exact.get(name).or_else(wild).map(Vec::as_slice)
    }

    fn candidates(&self, name: Option<&str>) -> &[usize] {
        name.and_then(|name| self.named(name)).unwrap_or(&[0])
    }

    /// Whether a certificate shown to who asked for `name` is made for `host` too, or neither
    /// name is known here and both get the first.
    pub(super) fn covers(&self, name: &str, host: &str) -> bool {
        let shown = self.candidates(Some(name));
        self.candidates(Some(host)).iter().any(|index| shown.contains(index))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.candidates(hello.server_name());
        let keys = candidates.iter().filter_map(|index| self.keys.get(*index));
        let schemes = hello.signature_schemes();
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        keys.clone().find(usable).or(keys.clone().next()).cloned()
    }
}

impl Certificates for Resolver {
    /// rustls does not say which of several keys for a name a client could use: the first.
    #[cold]
    fn identity(&self, server_name: Option<&str>) -> Option<Identity> {
        let first = self.candidates(server_name).first()?;
        identity(&self.keys.get(*first)?.cert)
    }
}

fn load(
    pair: &KeyPair,
    provider: &CryptoProvider,
) -> Result<(CertifiedKey, Certificate), Vec<TlsProblem>> {
    let chain = pem::chain(&pair.certificate, &pair.place);
    let key = pem::key(&pair.key, &pair.place);
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
    };
    let one = |message: String| vec![TlsProblem::new(&pair.place, message)];
    let file = pair.certificate.display();
    let malformed = || one(format!("the certificate in {file} is malformed"));
    let leaf = chain.first().ok_or_else(malformed)?;
    let read = Certificate::read(leaf).ok_or_else(malformed)?;
    let outline = Outline::read(leaf).ok_or_else(malformed)?;
    let key = provider.key_provider.load_private_key(key).map_err(|error| {
        one(format!("{file} and {} can't be used: {error}", pair.key.display()))
    })?;
    // Compared here: rustls reads no certificate of version 1, which clients take all the same.
    if key.public_key().is_some_and(|public| *public != *outline.public_key) {
        let message = format!("the key in {} does not belong to {file}", pair.key.display());
        let problem = TlsProblem::new(&pair.place, message);
        return Err(vec![
            problem.hint("the certificate of the server must stand first in its file"),
        ]);
    }
    Ok((CertifiedKey::new(chain, key), read))
}

fn expired(pair: &KeyPair, read: &Certificate) -> Option<TlsProblem> {
    let now = Clock::new().wall().as_secs();
    (read.not_after < now).then(|| {
        let days = (now - read.not_after) / 86_400;
        let message = format!("{} expired {days} days ago", pair.certificate.display());
        TlsProblem::new(&pair.place, message)
    })
}
