#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use pilotlight_config::manifest::{KeyPair, UpstreamProtocol, UpstreamTls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair as Key, SanType,
};

use super::*;
use crate::upstream::UpstreamError;

/// A folder of certificates that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("pilotlight-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, bytes: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A self-signed certificate for these names, as `<first>.pem` and `<first>.key`.
    fn pair(&self, names: &[&str]) -> KeyPair {
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        let stem = names[0].replace('*', "any");
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        KeyPair {
            place: Place::default(),
            certificate: self.file(&format!("{stem}.pem"), &made.cert.pem()),
            key: self.file(&format!("{stem}.key"), &made.signing_key.serialize_pem()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn settings(certificates: Vec<KeyPair>) -> manifest::ServerTls {
    manifest::ServerTls { certificates, client_ca: None, tickets: true, early_data: false }
}

fn load(certificates: Vec<KeyPair>) -> Result<ServerTls, Vec<TlsProblem>> {
    ServerTls::load(&settings(certificates), true, true, true)
}

fn upstream(ca: Option<&Path>, verify: bool) -> UpstreamTls {
    UpstreamTls { ca: ca.map(Path::to_owned), verify, ..UpstreamTls::default() }
}

/// A handshake over a socket pair: what each side made of it.
async fn shake(
    server: &ServerTls,
    client: Arc<rustls::ClientConfig>,
    name: &str,
) -> (io::Result<TlsInfo>, Result<Option<Vec<u8>>, UpstreamError>) {
    let (a, b) = tokio::net::UnixStream::pair().unwrap();
    let served = async {
        let (mut stream, info) = accept(server, Plain::Unix(a)).await?;
        // A client certificate is refused after the client's side has ended its handshake.
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"x").await?;
        tokio::io::AsyncWriteExt::flush(&mut stream).await?;
        Ok(info)
    };
    let asked = async {
        let (mut stream, alpn) = ClientTls::connect(client, name, Plain::Unix(b)).await?;
        let mut byte = [0];
        let read = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut byte).await;
        read.map(|_| alpn).map_err(|_| UpstreamError::Tls)
    };
    tokio::join!(served, asked)
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn each_broken_file_has_its_own_words() {
    let folder = Folder::new("broken");
    let (good, other) = (folder.pair(&["a.test"]), folder.pair(&["b.test"]));
    let pair = |certificate: &Path, key: &Path| KeyPair {
        place: Place::default(),
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let missing = folder.0.join("missing.pem");
    let empty = folder.file("empty.pem", "");
    let text = folder.file("text.pem", "hello\n");
    let cut = folder.file("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let odd = folder
        .file("odd.pem", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n");
    let locked = folder.file(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let table = [
        (pair(&missing, &good.key), "can't read", ""),
        (pair(&good.certificate, &missing), "can't read", ""),
        (pair(&empty, &good.key), "no certificate", "the file is empty"),
        (pair(&text, &good.key), "no certificate", "the file is not PEM"),
        (pair(&good.key, &good.key), "no certificate", "holds a private key"),
        (pair(&good.certificate, &good.certificate), "no private key", "holds a certificate"),
        (pair(&good.certificate, &locked), "no private key", "encrypted"),
        (pair(&cut, &good.key), "damaged", ""),
        (pair(&odd, &good.key), "malformed", ""),
        (pair(&good.certificate, &other.key), "does not belong", "must stand first"),
    ];
    for (pair, message, hint) in table {
        let shown = pair.certificate.display().to_string();
        let problems = load(vec![pair]).err().unwrap_or_else(|| panic!("{shown}: loaded"));
        let [problem] = &problems[..] else { panic!("{shown}: {problems:?}") };
        assert!(problem.message.contains(message), "{shown}: {}", problem.message);
        assert!(
            problem.hint.as_deref().unwrap_or("").contains(hint),
            "{shown}: {:?}",
            problem.hint
        );
    }
    let both = load(vec![pair(&missing, &text), pair(&text, &good.key)]);
    assert_eq!(both.err().map(|problems| problems.len()), Some(3), "all are said at once");
}

/// `openssl x509 -req` without extensions.
const VERSION_1: [&str; 2] = [
    "-----BEGIN CERTIFICATE-----\n\
     MIIBIjCByQIULumhjifCvUfpMB/CBCG9Sd8oHIQwCgYIKoZIzj0EAwIwEzERMA8G\n\
     A1UEAwwIb25lLnRlc3QwIBcNMjYxMTI2MDEyODMzWhgPMjEyNjExMDIwMTI4MzNa\n\
     MBMxETAPBgNVBAMMCG9uZS50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n\
     XzEmc7HvX7r3cULTVCtKeoMO4CdBtTtq8I3JT7oTTUBAnj9Dl3TqYf3LrK1IRWB0\n\
     OZg1KNouZaAwchUE2NgTmjAKBggqhkjOPQQDAgNIADBFAiEAxBUIuZwnQxRhR7oc\n\
     ud9WV0sVRF1kVlGZPzg4fKPtAwYCIG9/kmr4i5XiuVQ9zvxsBVqmrUUlFIzKdc0L\n\
     ucDXmUK6\n\
     -----END CERTIFICATE-----\n",
    "-----BEGIN PRIVATE KEY-----\n\
     MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgFIP3L2uBdXYWLpqx\n\
     bI57rwxaef0Zsx+eM4WLrP6NGWahRANCAARfMSZzse9fuvdxQtNUK0p6gw7gJ0G1\n\
     O2rwjclPuhNNQECeP0OXdOph/cusrUhFYHQ5mDUo2i5loDByFQTY2BOa\n\
     -----END PRIVATE KEY-----\n",
];

#[test]
fn a_certificate_of_version_1_is_shown_as_it_is() {
    let folder = Folder::new("version-1");
    let other = folder.pair(&["a.test"]);
    let pair = |key| KeyPair {
        place: Place::default(),
        certificate: folder.file("one.pem", VERSION_1[0]),
        key,
    };
    let server = load(vec![pair(folder.file("one.key", VERSION_1[1]))]);
    let server = server.unwrap_or_else(|problems| panic!("{problems:?}"));
    // ... and its key is taken where nobody asks whose it is.
    let config = ClientTls::default().config(&upstream(None, false), UpstreamProtocol::Auto);
    assert!(block(shake(&server, config.unwrap(), "a.test")).1.is_ok());
    let problems = load(vec![pair(other.key)]).err().unwrap();
    assert!(problems[0].message.contains("does not belong"), "{}", problems[0].message);
}

#[test]
fn an_expired_certificate_warns() {
    let folder = Folder::new("expired");
    let key = Key::generate().unwrap();
    let mut params = CertificateParams::new(vec!["old.test".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2001, 2, 3);
    params.not_before = rcgen::date_time_ymd(2000, 2, 3);
    let cert = params.self_signed(&key).unwrap();
    let pair = KeyPair {
        place: Place::default(),
        certificate: folder.file("old.pem", &cert.pem()),
        key: folder.file("old.key", &key.serialize_pem()),
    };
    let loaded = load(vec![pair]).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(loaded.warnings[0].message.contains("expired"));
    let read = Certificate::read(cert.der()).unwrap();
    assert_eq!(read.not_after, 981_158_400, "2001-02-03");
}

#[test]
fn certificates_are_chosen_by_name() {
    let folder = Folder::new("names");
    let pairs = [&["a.test"][..], &["*.b.test", "b.test"], &["x.b.test"]];
    let pairs: Vec<KeyPair> = pairs.iter().map(|names| folder.pair(names)).collect();
    let files: Vec<PathBuf> = pairs.iter().map(|pair| pair.certificate.clone()).collect();
    let server = load(pairs).unwrap_or_else(|problems| panic!("{problems:?}"));
    let clients = ClientTls::default();
    let table = [
        ("a.test", 0, true),
        ("A.TEST", 0, true),
        ("b.test", 1, true),
        ("y.b.test", 1, true),
        ("x.b.test", 2, true),
        // Unknown, and too deep for the wildcard: the first one, which the client does not trust.
        ("c.test", 0, false),
        ("z.y.b.test", 0, false),
    ];
    for (name, file, good) in table {
        let trust = upstream(Some(&files[file]), true);
        let config = clients.config(&trust, UpstreamProtocol::Auto).unwrap();
        let (info, alpn) = block(shake(&server, config, name));
        if good {
            assert_eq!(alpn, Ok(Some(b"h2".to_vec())), "{name}");
            let info = info.unwrap();
            assert_eq!(info.server_name.as_deref(), Some(&*name.to_ascii_lowercase()));
            assert_eq!((info.version, info.alpn.as_deref()), ("1.3", Some("h2")));
        } else {
            assert_eq!(alpn, Err(UpstreamError::Certificate), "{name}");
        }
    }
}

#[test]
fn a_connection_serves_only_hosts_of_its_certificate() {
    let folder = Folder::new("covers");
    let pairs = vec![folder.pair(&["a.test", "a2.test"]), folder.pair(&["*.b.test"])];
    let server = load(pairs).unwrap_or_else(|problems| panic!("{problems:?}"));
    let table: [(Option<&str>, &[u8], bool); 8] = [
        (None, b"anything.test", true),
        (Some("a.test"), b"a.test", true),
        (Some("a.test"), b"A.test", true),
        (Some("a.test"), b"a2.test", true),
        (Some("a.test"), b"x.b.test", false),
        (Some("x.b.test"), b"y.b.test", true),
        (Some("x.b.test"), b"a.test", false),
        (Some("unknown.test"), b"other.test", true),
    ];
    for (name, host, good) in table {
        assert_eq!(server.covers(name, host), good, "{name:?} {host:?}");
    }
}

#[test]
fn an_unknown_protocol_is_a_fatal_alert() {
    let folder = Folder::new("alpn");
    let pair = folder.pair(&["a.test"]);
    let only = |http1, http2| {
        ServerTls::load(&settings(vec![pair.clone()]), http1, http2, false)
            .unwrap_or_else(|problems| panic!("{problems:?}"))
    };
    let clients = ClientTls::default();
    let trust = upstream(Some(&pair.certificate), true);
    let config = |protocol| clients.config(&trust, protocol).unwrap();
    let table = [
        (only(true, true), UpstreamProtocol::Auto, Ok(Some(b"h2".to_vec()))),
        (only(true, false), UpstreamProtocol::Auto, Ok(Some(b"http/1.1".to_vec()))),
        (only(true, false), UpstreamProtocol::Http2, Err(UpstreamError::Tls)),
        (only(false, true), UpstreamProtocol::Http1, Err(UpstreamError::Tls)),
    ];
    for (server, protocol, wanted) in table {
        let (_, alpn) = block(shake(&server, config(protocol), "a.test"));
        assert_eq!(alpn, wanted, "{protocol:?}");
    }
}

#[test]
fn verification_is_given_up_only_when_asked() {
    let folder = Folder::new("verify");
    let (pair, other) = (folder.pair(&["a.test"]), folder.pair(&["b.test"]));
    let server = load(vec![pair.clone()]).unwrap_or_else(|problems| panic!("{problems:?}"));
    let clients = ClientTls::default();
    let ask = |tls: UpstreamTls, name: &str| {
        let config = clients.config(&tls, UpstreamProtocol::Auto).unwrap();
        block(shake(&server, config, name)).1.map(|_| ())
    };
    assert_eq!(ask(upstream(Some(&pair.certificate), true), "a.test"), Ok(()));
    let wrong = Err(UpstreamError::Certificate);
    assert_eq!(ask(upstream(Some(&pair.certificate), true), "c.test"), wrong);
    assert_eq!(ask(upstream(Some(&other.certificate), true), "a.test"), wrong);
    assert_eq!(ask(upstream(None, false), "c.test"), Ok(()));
    assert_eq!(ask(upstream(None, false), "not a name"), Err(UpstreamError::Tls));
}

#[test]
fn mutual_tls_tells_who_the_client_is() {
    let folder = Folder::new("mutual");
    let pair = folder.pair(&["a.test"]);
    let mut issuer = CertificateParams::default();
    issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(issuer, Key::generate().unwrap()).unwrap();
    let mut client = CertificateParams::new(vec!["c.test".to_owned()]).unwrap();
    client.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in [
        (DnType::CountryName, "NL"),
        (DnType::OrganizationName, "Ours, Inc."),
        (DnType::CommonName, "#client "),
    ] {
        client.distinguished_name.push(kind, value);
    }
    client.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    client.subject_alt_names.push(SanType::URI("spiffe://c".try_into().unwrap()));
    let key = Key::generate().unwrap();
    let cert = client.signed_by(&key, &issuer).unwrap();

    let mut wanted = settings(vec![pair.clone()]);
    wanted.client_ca = Some(folder.file("issuer.pem", &issuer.pem()));
    let server = ServerTls::load(&wanted, true, false, false);
    let server = server.unwrap_or_else(|problems| panic!("{problems:?}"));
    let clients = ClientTls::default();
    let mut tls = upstream(Some(&pair.certificate), true);
    let config = clients.config(&tls, UpstreamProtocol::Auto).unwrap();
    let (refused, _) = block(shake(&server, config, "a.test"));
    assert!(refused.is_err(), "no certificate");

    tls.certificate = Some(folder.file("client.pem", &cert.pem()));
    tls.key = Some(folder.file("client.key", &key.serialize_pem()));
    let config = clients.config(&tls, UpstreamProtocol::Auto).unwrap();
    let (info, alpn) = block(shake(&server, config, "a.test"));
    assert_eq!(alpn, Ok(Some(b"http/1.1".to_vec())));
    let shown = info.unwrap().client.unwrap();
    assert_eq!(&*shown.subject, "CN=\\#client\\ ,O=Ours\\, Inc.,C=NL");
    let san: Vec<&str> = shown.san.iter().map(|name| &**name).collect();
    assert_eq!(san, ["c.test", "127.0.0.1", "spiffe://c"]);
    assert_eq!(&*shown.fingerprint, certificate::fingerprint(cert.der()));
    assert_eq!(shown.fingerprint.len(), 64);
}

#[test]
fn tickets_outlive_a_reload_but_not_a_change_of_trust() {
    let one = tickets::shared(None, false).unwrap();
    let again = tickets::shared(None, false).unwrap();
    let other = tickets::shared(Some([7; 32]), false).unwrap();
    let quic = tickets::shared(None, true).unwrap();
    let ticket = one.encrypt(b"state").unwrap();
    assert_eq!(again.decrypt(&ticket).as_deref(), Some(&b"state"[..]));
    assert_eq!(other.decrypt(&ticket), None);
    assert_eq!(quic.decrypt(&ticket), None);
}

#[test]
fn certificates_cut_anywhere_are_refused_or_read() {
    let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let der = made.cert.der();
    for end in 0..der.len() {
        // No panic, and nothing read beyond the end.
        let _ = Certificate::read(&der[..end]);
    }
    assert_eq!(Certificate::read(der).unwrap().dns, ["a.test"]);
}

/// A request that comes with the last message of the handshake is seen without another packet.
#[test]
fn what_came_with_the_handshake_is_readable() {
    let folder = Folder::new("early");
    let pair = folder.pair(&["a.test"]);
    let server = load(vec![pair.clone()]).unwrap_or_else(|problems| panic!("{problems:?}"));
    let trust = upstream(Some(&pair.certificate), true);
    let config = ClientTls::default().config(&trust, UpstreamProtocol::Auto).unwrap();
    block(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = async {
            let plain = Plain::Tcp(tokio::net::TcpStream::connect(address).await.unwrap());
            let (mut stream, _) = ClientTls::connect(config, "a.test", plain).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET").await.unwrap();
            tokio::io::AsyncWriteExt::flush(&mut stream).await.unwrap();
            stream
        };
        let served = async {
            let plain = Plain::Tcp(listener.accept().await.unwrap().0);
            // All that the client sends waits in the socket before the handshake reads it.
            let (mut stream, _) = accept(&server, plain).await.unwrap();
            tokio::time::timeout(
                std::time::Duration::from_secs(5),
                std::future::poll_fn(|cx| stream.poll_readable(cx)),
            )
            .await
            .unwrap();
            stream
        };
        tokio::join!(asked, served);
    });
}
