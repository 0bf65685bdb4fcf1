//! TLS handshakes that scripts take part in: as clients see them, and as upstreams do.

mod attributes;
mod certificates;
mod kong;
mod scripts;
mod sessions;
mod upstreams;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::certificate::{Certificate, authority_pem, client};
use crate::support::gateway::{Gateway, Setup};
use crate::support::{free_address, run, soon};

/// A listener whose handshakes the scripts of the filter `door` take part in.
struct Door {
    address: SocketAddr,
    scripts: Vec<(&'static str, String)>,
    listener: String,
    rest: String,
    chosen: Certificate,
}

impl Door {
    fn new(scripts: &[(&'static str, &str)]) -> Door {
        let scripts = scripts.iter().map(|(phase, text)| (*phase, (*text).to_owned())).collect();
        Door {
            address: free_address(),
            scripts,
            listener: String::new(),
            rest: TELLS.to_owned(),
            chosen: Certificate::new(&["chosen.test"]),
        }
    }

    fn setup(&self) -> Setup {
        let Door { address, listener, rest, scripts, chosen } = self;
        let phases = scripts.iter().map(|(phase, _)| format!("{phase} = \"{phase}.lua\""));
        let phases = phases.collect::<Vec<_>>().join(", ");
        let mut setup = Setup::new(format!(
            r#"
[[listeners]]
name = "door"
address = "{address}"
protocols = ["http1"]
tls = {{ certificate = "edge.pem", key = "edge.key" }}
filters = ["door"]
{listener}
[filters.door]
openresty = {{ {phases} }}
limits = {{ cpu = "100ms" }}
[shared.notes]
size = "1MiB"
[lua]
path = ["?.lua"]
{rest}
"#
        ))
        .file("tell.lua", TELL);
        for (phase, text) in scripts {
            setup = setup.file(&format!("{phase}.lua"), text);
        }
        let device = Certificate::new(&["device.test"]);
        let pems = pems(&[
            ("chosen", &chosen.pem),
            ("chosen_key", &chosen.key),
            ("device", &device.pem),
            ("device_key", &device.key),
            ("authority", &authority_pem()),
        ]);
        setup.file("pems.lua", pems)
    }

    async fn open(&self) -> Gateway {
        self.setup().start().await
    }
}

/// A route that tells what the request has of its connection.
const TELLS: &str = r#"
[[routes]]
name = "tell"
match = { listeners = ["door"] }
filters = ["tell"]
[filters.tell]
openresty = { content = "tell.lua" }
"#;

const TELL: &str = r#"
local ssl = require "ngx.ssl"
ngx.say(ngx.ctx.from or "nothing", " ", ngx.ctx.count or 0, " ", ssl.server_name() or "-", " ",
  ssl.get_tls1_version_str(), " ", ngx.var.ssl_client_verify, " ", ngx.get_phase())
ngx.ctx.from = "an earlier request"
"#;

/// What scripts that show certificates begin with.
const CHOOSE: &str = r#"
local ssl, pems = require "ngx.ssl", require "pems"
"#;

/// A module of certificates and keys.
fn pems(all: &[(&str, &str)]) -> String {
    let items = all.iter().map(|(name, pem)| format!("{name} = [[{pem}]]"));
    format!("return {{ {} }}", items.collect::<Vec<_>>().join(", "))
}

async fn connect(
    address: SocketAddr,
    name: &str,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = soon("a connection", TcpStream::connect(address)).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    soon("a handshake", connector.connect(name, tcp)).await
}

fn plain() -> ClientConfig {
    client(&[b"http/1.1"])
}

/// Asks for `/` and gives the body back.
async fn tell(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: door.test\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    while !all.ends_with(b"0\r\n\r\n") {
        let read = soon("an answer", stream.read(&mut piece)).await.unwrap();
        assert!(read > 0, "closed: {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&piece[..read]);
    }
    let text = String::from_utf8(all).unwrap();
    text.lines().nth_back(3).unwrap().to_owned()
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

fn resuming(versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(versions).unwrap();
    let roots = crate::support::certificate::roots();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(8);
    config
}

fn identified(by: &Certificate) -> ClientConfig {
    let chain = vec![CertificateDer::from_pem_slice(by.pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(by.key.as_bytes()).unwrap();
    let mut config = resuming(&[&rustls::version::TLS13]);
    let key = config.crypto_provider().key_provider.load_private_key(key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(chain, key);
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    config
}
