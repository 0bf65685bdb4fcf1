//! `serve`: the controller, with a store, certificates and sources that are real.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use pilotlight_agent::Anchor;
use pilotlight_content::{Body, Place};
use pilotlight_controller::core::{Content, SHOWN, Settings};
use pilotlight_controller::pem;
use pilotlight_controller::serve::{self, Anew, Fetch, News, Open, Outside};
use pilotlight_controller::store::{Error, Opened, Postgres, Sqlite};
use pilotlight_fleet::manifest::{Controller, Enrol, Fleet};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{Root, Trust, root};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;

use crate::clock::{Clock, Signals};
use crate::end::{fail, refuse};
use crate::{manifests, print, push};

/// So many files that have changed wait at most.
const ANEW: usize = 8;

pub(crate) fn serve(file: &Path) -> ExitCode {
    let signals = match Signals::block(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => return refuse(format!("signals: {error}")),
    };
    let controller = match manifests::read(Controller::parse, file) {
        Ok(controller) => controller,
        Err(code) => return code,
    };
    let fleet = match controller.fleet.as_deref().map(|file| manifests::read(Fleet::parse, file)) {
        None => Fleet::default(),
        Some(Ok(fleet)) => fleet,
        Some(Err(code)) => return code,
    };
    match outside(file, controller, fleet, signals) {
        Err(why) => refuse(why),
        Ok((settings, outside)) => match serve::serve(settings, outside) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => fail(why),
        },
    }
}

fn outside(
    file: &Path,
    controller: Controller,
    fleet: Fleet,
    signals: Signals,
) -> Result<(Settings, Outside), String> {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.into());
    let folder = absolute.parent().unwrap_or(Path::new("/")).to_path_buf();
    let (root, trust) = trust(&controller, &folder)?;
    let address = &controller.address;
    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    let bound = listener.local_addr().map_err(|error| format!("{address}: {error}"))?;
    let local = bound.ip().is_loopback();
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
    let own = format!("{}://{bound}", if tls.is_some() { "https" } else { "http" });
    let (open, shared) = store(&controller, &folder, reached(&controller, bound, &own));
    let settings = Settings { trust, fleet, enrol: controller.enrol };
    let fetch = fetch(controller.sources.clone(), folder.clone());
    let (send, anew) = tokio::sync::mpsc::channel(ANEW);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || heed(&signals, (&controller, &folder), root, &send))
        .map_err(|error| error.to_string())?;
    let clock = Clock::new();
    let outside = Outside {
        listener,
        tls,
        open,
        shared,
        fetch,
        clock: Box::new(move || (clock.now(), Clock::wall())),
        news: Box::new(said(own)),
        anew,
    };
    Ok((settings, outside))
}

/// Until it is told to end: then nobody holds the other end of what is read anew.
fn heed(
    signals: &Signals,
    (controller, folder): (&Controller, &Path),
    mut root: u64,
    send: &tokio::sync::mpsc::Sender<Anew>,
) {
    loop {
        match signals.wait(std::time::Duration::from_secs(3600)) {
            None => {}
            Some(libc::SIGHUP) => {
                for anew in reread(controller, folder, &mut root) {
                    // Whoever reads has ended, and so will this.
                    drop(send.blocking_send(anew));
                }
            }
            Some(_) => return,
        }
    }
}

/// What may change while it runs. What cannot be read leaves all as it was, and has been said.
fn reread(controller: &Controller, folder: &Path, root: &mut u64) -> Vec<Anew> {
    let mut anew = Vec::new();
    match trust(controller, folder) {
        // Sources that are away do not bring back keys that were taken away.
        Ok((version, _)) if version < *root => eprintln!(
            "edge-deploy: root {root} was followed, and is not at the sources: whom to trust stays as it was"
        ),
        Ok((version, trust)) => {
            *root = version;
            anew.push(Anew::Trust(trust));
        }
        Err(why) => eprintln!("edge-deploy: {why}: whom to trust stays as it was"),
    }
    if let Some(file) = &controller.fleet {
        match manifests::read(Fleet::parse, file) {
            Ok(fleet) => anew.push(Anew::Fleet(fleet)),
            Err(_) => eprintln!("edge-deploy: {} stays as it was read before", file.display()),
        }
    }
    if let Some(files) = &controller.tls {
        match certificates(files, controller.clients.as_deref()) {
            Ok(tls) => anew.push(Anew::Tls(Arc::new(tls))),
            Err(why) => eprintln!("edge-deploy: {why}: the certificates stay as they were"),
        }
    }
    anew
}

/// Tells people how it goes.
fn said(own: String) -> impl Fn(News) + Send {
    let listens = std::sync::Once::new();
    move |news| {
        if !matches!(news, News::Lost(_)) {
            listens.call_once(|| print(&format!("listening on {own}\n")));
        }
        match news {
            News::Leads(None) => print("leads\n"),
            News::Leads(Some(token)) => {
                print(&format!("the operator's token, shown this once: {token}\n"));
            }
            News::StandsBy(Some(leader)) => print(&format!("stands by: {leader} leads\n")),
            News::StandsBy(None) => print("stands by\n"),
            News::Lost(why) => eprintln!("edge-deploy: does not lead: {why}"),
        }
    }
}

/// How the store is opened, and whether others may have it too.
fn store(controller: &Controller, folder: &Path, reached: String) -> (Open, bool) {
    let (url, folder) = (controller.store.clone(), folder.to_path_buf());
    match url.strip_prefix("sqlite:") {
        Some(path) => {
            let path = folder.join(path);
            let open = move || {
                let opened = Sqlite::open(&path);
                let opened =
                    opened.map_err(|error| Error(format!("{}: {error}", path.display())))?;
                // It holds no secret in clear text, and who may write it rules the fleet.
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                drop(std::fs::set_permissions(&path, mode));
                Ok(Opened::Ours(Box::new(opened)))
            };
            (Box::new(open), false)
        }
        None => (Box::new(Postgres::opener(url, folder, reached)), true),
    }
}

/// Where others say that this one is: nowhere, where all that is known is "any address".
fn reached(controller: &Controller, bound: SocketAddr, own: &str) -> String {
    match &controller.url {
        Some(url) => url.clone(),
        None if bound.ip().is_unspecified() => String::new(),
        None => own.into(),
    }
}

/// Keys, or a root and what follows from it at the sources by now. For planning only: nodes judge for themselves.
/// With the root's version.
fn trust(controller: &Controller, folder: &Path) -> Result<(u64, Trust), String> {
    let mut root = match crate::node::anchor(&controller.trust, 1, "controller.toml")? {
        Anchor::Keys(trust) => return Ok((0, trust)),
        Anchor::Root(bytes) => Root::first(&bytes).map_err(|refused| refused.to_string())?.0,
    };
    let settings = push::settings(None, None).map_err(|error| error.to_string())?;
    let place = |source: &String| Place::parse(source, folder)?.source(&settings);
    let sources: Result<Vec<_>, _> = controller.sources.iter().map(place).collect();
    let sources = sources.map_err(|error| error.to_string())?;
    for _ in 0..root::LONGEST {
        let version = root.version.saturating_add(1);
        let next = sources.iter().find_map(|source| {
            let next = root.next(&source.root(version).ok()?);
            let said =
                |refused| eprintln!("edge-deploy: {}: root {version}: {refused}", source.name());
            next.map_err(said).ok()
        });
        let Some((next, _)) = next else { break };
        root = next;
    }
    Ok((root.version, root.release))
}

/// From the first source that has it.
fn fetch(sources: Vec<String>, folder: PathBuf) -> Fetch {
    Arc::new(move |content| {
        let settings = push::settings(None, None).map_err(|error| error.to_string())?;
        let mut said = Vec::new();
        for source in &sources {
            let place = Place::parse(source, &folder).map_err(|error| error.to_string())?;
            let found = place.source(&settings).and_then(|source| match content {
                Content::Release { name, version } => source.release(name, version),
                Content::Blob(digest) => {
                    source.blob(digest, 0).and_then(|body| shown(digest, body))
                }
            });
            match found {
                Ok(bytes) => return Ok(bytes),
                Err(error) => said.push(error.to_string()),
            }
        }
        Err(if said.is_empty() { "there are no sources".into() } else { said.join("; ") })
    })
}

/// A blob, if it is not too long to be looked at.
fn shown(digest: &Digest, body: Body) -> Result<Vec<u8>, pilotlight_content::Error> {
    use pilotlight_content::Error;
    let mut bytes = Vec::new();
    let read = body.content.take(SHOWN + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::Unreachable(format!("{digest}: {error}")))?;
    match bytes.len() as u64 > SHOWN {
        true => Err(Error::Refused(format!("{digest} is longer than {SHOWN} bytes"))),
        false => Ok(bytes),
    }
}

fn certificates(
    (certificate, key): &(PathBuf, PathBuf),
    clients: Option<&Path>,
) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = pem::authorities(file)?;
            // Operators, and nodes that have tokens, come without.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| format!("{}: {error}", file.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, key) = (pem::certificates(certificate)?, pem::private(key)?);
    builder.with_single_cert(chain, key).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use pilotlight_fleet::release::PrivateKey;

    use super::*;

    fn controller(sources: &[&str], trust: &[PathBuf]) -> Controller {
        Controller {
            address: String::new(),
            url: None,
            tls: None,
            clients: None,
            store: String::new(),
            sources: sources.iter().map(|source| (*source).to_owned()).collect(),
            trust: trust.to_vec(),
            fleet: None,
            enrol: Enrol::Token,
        }
    }

    #[test]
    fn nobody_is_sent_to_any_address() {
        let mut controller = controller(&[], &[]);
        let reached = |controller: &Controller, bound: &str| {
            reached(controller, bound.parse().unwrap(), &format!("https://{bound}"))
        };
        assert_eq!(reached(&controller, "0.0.0.0:7443"), "");
        assert_eq!(reached(&controller, "[::]:7443"), "");
        assert_eq!(reached(&controller, "10.0.0.1:7443"), "https://10.0.0.1:7443");
        controller.url = Some("https://fleet".into());
        assert_eq!(reached(&controller, "[::]:7443"), "https://fleet");
    }

    #[test]
    fn roots_are_followed_past_a_source_that_has_rubbish() {
        let folder = std::env::temp_dir().join(format!("edge-trust-{}", std::process::id()));
        let key = |seed: u8| PrivateKey::new([seed; 32], "key").unwrap();
        let trust = |seed| Trust { keys: vec![key(seed).public().clone()], threshold: 1 };
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        for version in 1..=3 {
            let release = trust(u8::try_from(version).unwrap());
            let root = Root { version, expires: None, root: trust(9), release };
            write(&format!("b/roots/{version}"), &root.sign(&[key(9)], 0).unwrap());
        }
        write("a/roots/2", b"<html>not found</html>");
        let controller = controller(&["a", "b"], &[folder.join("b/roots/1")]);
        let mut followed = 0;
        let mut reread = || match reread(&controller, &folder, &mut followed).pop() {
            Some(Anew::Trust(trust)) => Some(trust),
            _ => None,
        };
        assert_eq!(reread(), Some(trust(3)));
        // What was followed stays so when it cannot be had.
        std::fs::remove_file(folder.join("b/roots/3")).unwrap();
        assert_eq!(reread(), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
