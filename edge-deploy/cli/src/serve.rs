//! `serve`: the controller, with a store, certificates and sources that are real.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use pilotlight_agent::Anchor;
use pilotlight_content::Place;
use pilotlight_controller::core::Settings;
use pilotlight_controller::serve::{self, Fetch, Outside};
use pilotlight_controller::store::{Postgres, Sqlite, Store};
use pilotlight_fleet::manifest::{Controller, Enrol, Fleet};
use pilotlight_fleet::release::{Root, Trust};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::clock::{Clock, Signals};
use crate::{FAILED, REFUSED, manifests, print, push};

pub(crate) fn serve(file: &Path) -> ExitCode {
    let signals = match Signals::block(&[libc::SIGTERM, libc::SIGINT]) {
        Ok(signals) => signals,
        Err(error) => return refuse(&format!("signals: {error}")),
    };
    let controller = match manifests::read(Controller::parse, file) {
        Ok(controller) => controller,
        Err(code) => return code,
    };
    let fleet = match &controller.fleet {
        Some(file) => match manifests::read(Fleet::parse, file) {
            Ok(fleet) => fleet,
            Err(code) => return code,
        },
        None => Fleet::default(),
    };
    match outside(file, &controller, signals) {
        Err(why) => refuse(&why),
        Ok((trust, outside)) => {
            let settings = Settings { trust, fleet, enrol: controller.enrol };
            match serve::serve(settings, outside) {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => {
                    eprintln!("edge-deploy: {why}");
                    ExitCode::from(FAILED)
                }
            }
        }
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("edge-deploy: {why}");
    ExitCode::from(REFUSED)
}

fn outside(
    file: &Path,
    controller: &Controller,
    signals: Signals,
) -> Result<(Trust, Outside), String> {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.into());
    let folder = absolute.parent().unwrap_or(Path::new("/")).to_path_buf();
    let trust = trust(controller, &folder)?;
    let address = &controller.address;
    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    let local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let tls = match &controller.tls {
        Some(files) => Some(Arc::new(certificates(files, controller.clients.as_deref())?)),
        // Tokens would be there for everyone to read.
        None if !local => {
            return Err(format!(
                "without TLS a controller listens on a loopback address, not on {address}\nhint: tls = {{ certificate = ..., key = ... }}"
            ));
        }
        None => None,
    };
    if controller.enrol == Enrol::Open && !local {
        eprintln!(
            "edge-deploy: enrol = \"open\": whoever reaches {address} may say that it is any node"
        );
    }
    let store = store(&controller.store, &folder)?;
    let fetch = fetch(controller.sources.clone(), folder);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while signals.wait(std::time::Duration::from_secs(3600)).is_none() {}
            let _ = stop.send(());
        })
        .map_err(|error| error.to_string())?;
    let clock = Clock::new();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let outside = Outside {
        listener,
        tls,
        store,
        fetch,
        clock: Box::new(move || (clock.now(), Clock::wall())),
        begun: Box::new(move |address, token| {
            print(&format!("listening on {scheme}://{address}\n"));
            if let Some(token) = token {
                print(&format!("the operator's token, shown this once: {token}\n"));
            }
        }),
        stop: stopped,
    };
    Ok((trust, outside))
}

fn store(url: &str, folder: &Path) -> Result<Box<dyn Store>, String> {
    match url.strip_prefix("sqlite:") {
        Some(path) => {
            let path = folder.join(path);
            let opened = Sqlite::open(&path);
            let opened = opened.map_err(|error| format!("{}: {error}", path.display()))?;
            // It holds no secret in clear text, and who may write it rules the fleet.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            drop(std::fs::set_permissions(&path, mode));
            Ok(Box::new(opened))
        }
        None => Ok(Box::new(Postgres::open(url).map_err(|error| error.to_string())?)),
    }
}

/// Keys, or a root and what follows from it at the sources by now. For planning only: nodes judge for themselves.
fn trust(controller: &Controller, folder: &Path) -> Result<Trust, String> {
    let mut root = match crate::node::anchor(&controller.trust, 1, "controller.toml")? {
        Anchor::Keys(trust) => return Ok(trust),
        Anchor::Root(bytes) => Root::first(&bytes).map_err(|refused| refused.to_string())?.0,
    };
    let settings = push::settings(None, None).map_err(|error| error.to_string())?;
    for source in &controller.sources {
        let place = Place::parse(source, folder).map_err(|error| error.to_string())?;
        let source = place.source(&settings).map_err(|error| error.to_string())?;
        while let Ok(bytes) = source.root(root.version.saturating_add(1)) {
            let next = root.next(&bytes);
            root = next.map_err(|refused| format!("{}: {refused}", source.name()))?.0;
        }
    }
    Ok(root.release)
}

/// From the first source that has it.
fn fetch(sources: Vec<String>, folder: PathBuf) -> Fetch {
    Arc::new(move |name, version| {
        let settings = push::settings(None, None).map_err(|error| error.to_string())?;
        let mut said = Vec::new();
        for source in &sources {
            let place = Place::parse(source, &folder).map_err(|error| error.to_string())?;
            let found = place.source(&settings).and_then(|source| source.release(name, version));
            match found {
                Ok(signed) => return Ok(signed),
                Err(error) => said.push(error.to_string()),
            }
        }
        Err(if said.is_empty() { "there are no sources".into() } else { said.join("; ") })
    })
}

fn certificates(
    (certificate, key): &(PathBuf, PathBuf),
    clients: Option<&Path>,
) -> Result<ServerConfig, String> {
    let read = |file: &Path| {
        let all: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(file).and_then(|items| items.collect());
        all.map_err(|error| format!("{}: {error}", file.display()))
    };
    let chain = read(certificate)?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for authority in read(file)? {
                roots.add(authority).map_err(|error| format!("{}: {error}", file.display()))?;
            }
            // Operators, and nodes that have tokens, come without.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| format!("{}: {error}", file.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(chain, private).map_err(|error| error.to_string())
}
