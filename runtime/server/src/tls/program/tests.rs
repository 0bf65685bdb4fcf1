use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;

/// A folder of certificates that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("pilotlight-program-tls-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn below(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
}

/// A server's certificates and key.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    pem: String,
}

/// A certificate for a name, which stands in the subject only when `san` is not wanted.
fn leaf(issuer: Option<&CertifiedIssuer<'static, KeyPair>>, name: &str, san: bool) -> Shown {
    let names = if san { vec![name.to_owned()] } else { vec![] };
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(77_u64));
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Shown { pem: certificate.pem(), chain: vec![certificate.der().clone()], key }
}

fn serving(shown: &Shown, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
    let key = PrivatePkcs8KeyDer::from(shown.key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(shown.chain.clone(), key.into())
        .unwrap();
    Arc::new(config)
}

const BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A handshake over a socket pair; the server says a byte afterwards.
async fn shake(
    programs: &ProgramTls,
    server: Arc<ServerConfig>,
    tls: StartTls,
) -> Result<(HandshakeKind, TlsSession), TlsFailure> {
    let (a, b) = UnixStream::pair().unwrap();
    let serve = async {
        let mut stream = tokio_rustls::TlsAcceptor::from(server).accept(a).await.ok()?;
        stream.write_all(b"x").await.ok()?;
        stream.flush().await.ok()?;
        // It waits for the client to go.
        let _ = stream.read(&mut [0]).await;
        Some(())
    };
    let ask = async {
        let (mut stream, session) = programs.connect(Plain::Unix(b), None, tls).await?;
        stream.read_exact(&mut [0]).await.unwrap();
        let Stream::TlsClient(tls) = &stream else { panic!() };
        Ok((tls.get_ref().1.handshake_kind().unwrap(), session))
    };
    tokio::join!(serve, ask).1
}

fn wanted(name: &str, verify: bool, files: &TlsFiles) -> StartTls {
    let server_name = (!name.is_empty()).then(|| name.to_owned());
    StartTls { server_name, verify, files: files.clone(), ..StartTls::default() }
}

#[test]
fn what_is_wrong_with_a_certificate_in_openssl_s_words() {
    let folder = Folder::new("words");
    let (ca, other) = (authority("ca"), authority("other"));
    let middle = below(&ca, "middle");
    let mut through = leaf(Some(&middle), "a.test", true);
    through.chain.push(middle.der().clone());
    let mut by_other = leaf(Some(&other), "a.test", true);
    by_other.chain.push(other.der().clone());
    let mut cut = leaf(Some(&below(&middle, "deep")), "a.test", true);
    cut.chain.push(middle.der().clone());
    let own = leaf(None, "a.test", true);
    let own_file = folder.file("own.pem", &own.pem);
    let trusts_ca = TlsFiles { ca: Some(folder.file("ca.pem", &ca.pem())), ..TlsFiles::default() };
    let no_depth = TlsFiles { depth: Some(0), ..trusts_ca.clone() };
    let trusts_own = TlsFiles { ca: Some(own_file), ..TlsFiles::default() };
    let no = |code, message: &str| Err((code, message.to_owned()));
    for (shown, name, files, want) in [
        (&leaf(Some(&ca), "a.test", true), "a.test", &trusts_ca, Ok(())),
        (&leaf(Some(&ca), "*.test", true), "a.test", &trusts_ca, Ok(())),
        (&leaf(Some(&ca), "a.test", false), "a.test", &trusts_ca, Ok(())),
        (
            &leaf(Some(&ca), "b.test", false),
            "a.test",
            &trusts_ca,
            no(0, "certificate host mismatch"),
        ),
        (
            &leaf(Some(&ca), "b.test", true),
            "a.test",
            &trusts_ca,
            no(0, "certificate host mismatch"),
        ),
        (&leaf(Some(&ca), "b.test", true), "", &trusts_ca, Ok(())),
        (&through, "a.test", &trusts_ca, Ok(())),
        (&through, "a.test", &no_depth, no(22, "certificate chain too long")),
        (&own, "a.test", &trusts_ca, no(18, "self-signed certificate")),
        (&own, "a.test", &trusts_own, Ok(())),
        (&own, "b.test", &trusts_own, no(0, "certificate host mismatch")),
        (&own, "", &trusts_own, Ok(())),
        (
            &leaf(Some(&other), "a.test", true),
            "a.test",
            &trusts_ca,
            no(21, "unable to verify the first certificate"),
        ),
        (&by_other, "a.test", &trusts_ca, no(19, "self-signed certificate in certificate chain")),
        (&cut, "a.test", &trusts_ca, no(20, "unable to get local issuer certificate")),
    ] {
        let programs = ProgramTls::default();
        for versions in [&BOTH[..1], &BOTH[1..]] {
            let done = block(shake(&programs, serving(shown, versions), wanted(name, true, files)));
            let done = done.map(drop).map_err(|failure| (failure.code, failure.message));
            assert_eq!(done, want, "{name}");
        }
        let lax = block(shake(&programs, serving(shown, &BOTH), wanted(name, false, files)));
        assert!(lax.is_ok());
    }
}

#[test]
fn log_lines_say_which_and_why() {
    let folder = Folder::new("lines");
    let ca = authority("ca");
    let files = TlsFiles { ca: Some(folder.file("ca.pem", &ca.pem())), ..TlsFiles::default() };
    let line = |shown: &Shown| {
        let done = block(shake(
            &ProgramTls::default(),
            serving(shown, &BOTH),
            wanted("a.test", true, &files),
        ));
        done.map(drop).unwrap_err().line
    };
    let other = leaf(Some(&ca), "b.test", true);
    assert_eq!(line(&other), "lua ssl certificate does not match host \"a.test\"");
    let own = leaf(None, "a.test", true);
    assert_eq!(line(&own), "lua ssl certificate verify error: (18: self-signed certificate)");
}

#[test]
fn who_was_revoked_is_refused() {
    let folder = Folder::new("revoked");
    let ca = authority("ca");
    let shown = leaf(Some(&ca), "a.test", true);
    let list = |serial: u64, next: i32| {
        let crl = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(next, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: rcgen::date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        crl.signed_by(&ca).unwrap().pem().unwrap()
    };
    for (crl, want) in [
        (list(78, 4000), Ok(())),
        (list(77, 4000), Err((23, "certificate revoked".to_owned()))),
        (list(78, 2021), Err((12, "CRL has expired".to_owned()))),
    ] {
        let files = TlsFiles {
            ca: Some(folder.file("ca.pem", &ca.pem())),
            crl: Some(folder.file("list.pem", &crl)),
            ..TlsFiles::default()
        };
        let done = block(shake(
            &ProgramTls::default(),
            serving(&shown, &BOTH),
            wanted("a.test", true, &files),
        ));
        assert_eq!(done.map(drop).map_err(|failure| (failure.code, failure.message)), want);
    }
}

#[test]
fn sessions_are_reused_where_they_may_be() {
    let folder = Folder::new("sessions");
    let ca = authority("ca");
    let files = TlsFiles { ca: Some(folder.file("ca.pem", &ca.pem())), ..TlsFiles::default() };
    let shown = leaf(Some(&ca), "a.test", true);
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let (programs, server) = (ProgramTls::default(), serving(&shown, versions));
        block(async {
            let with = |session: Option<&TlsSession>, verify: bool, name: &str| StartTls {
                session: session.cloned(),
                ..wanted(name, verify, &files)
            };
            let shake = |tls| shake(&programs, server.clone(), tls);
            let (kind, lax) = shake(with(None, false, "a.test")).await.unwrap();
            assert_eq!(kind, HandshakeKind::Full);
            let (kind, _) = shake(with(Some(&lax), false, "a.test")).await.unwrap();
            assert_eq!(kind, HandshakeKind::Resumed);
            // Nobody looked at the certificate of that one.
            let (kind, strict) = shake(with(Some(&lax), true, "a.test")).await.unwrap();
            assert_ne!(kind, HandshakeKind::Resumed);
            let (kind, _) = shake(with(Some(&strict), true, "a.test")).await.unwrap();
            assert_eq!(kind, HandshakeKind::Resumed);
            let other = shake(with(Some(&strict), true, "b.test")).await.map(drop).unwrap_err();
            assert_eq!(other.message, "certificate host mismatch");
        });
    }
}

#[test]
fn settings_choose_versions_suites_and_certificates() {
    let folder = Folder::new("settings");
    let shown = leaf(None, "a.test", true);
    let programs = ProgramTls::default();
    let twelve = TlsFiles { protocols: vec!["TLSv1.2".into()], ..TlsFiles::default() };
    let done = block(shake(&programs, serving(&shown, &BOTH[1..]), wanted("", false, &twelve)));
    assert_eq!(done.map(drop).unwrap_err().message, "handshake failed");
    let suites = |ciphers: &str| {
        let kept = with_suites(&provider(), Some(ciphers)).cipher_suites;
        kept.iter().filter(|suite| suite.tls13().is_none()).count()
    };
    let all = suites("HIGH");
    assert_eq!(
        (all, suites("ECDHE-RSA-AES256-GCM-SHA384"), suites("ECDHE-ECDSA-CHACHA20-POLY1305:RC4")),
        (6, 1, 1)
    );
    let key = folder.file("a.key", &shown.key.serialize_pem());
    let files = TlsFiles {
        certificate: Some(folder.file("a.pem", &shown.pem)),
        key: Some(key),
        ..TlsFiles::default()
    };
    programs.check(&files).unwrap();
    for (files, why) in [
        (TlsFiles { key: None, ..files.clone() }, "`certificate` and `key` belong together"),
        (TlsFiles { ca: files.key.clone(), ..TlsFiles::default() }, "no certificate in "),
        (
            TlsFiles { ca: files.certificate.clone(), crl: files.key, ..TlsFiles::default() },
            "no revocation list in ",
        ),
    ] {
        let problem = programs.check(&files).unwrap_err();
        assert!(problem.message.starts_with(why), "{problem:?}");
    }
    let malformed =
        block(shake(&programs, serving(&shown, &BOTH), wanted("a b", true, &TlsFiles::default())));
    assert_eq!(malformed.map(drop).unwrap_err().message, "handshake failed");
}

#[test]
fn a_program_may_show_a_certificate_of_its_own() {
    let ca = authority("ca");
    let (shown, mine) = (leaf(None, "a.test", true), leaf(Some(&ca), "me", true));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
    let key = PrivatePkcs8KeyDer::from(shown.key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&BOTH[..1])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(shown.chain.clone(), key.into())
        .unwrap();
    let server = Arc::new(config);
    let chain = mine.chain.iter().map(|der| der.to_vec()).collect();
    let client = Rc::new(ClientIdentity { chain, key: mine.key.serialize_der() });
    let programs = ProgramTls::default();
    let tls = StartTls { client: Some(client), ..wanted("", false, &TlsFiles::default()) };
    assert!(block(shake(&programs, server.clone(), tls)).is_ok());
    let without = wanted("", false, &TlsFiles::default());
    assert!(block(shake(&programs, server, without)).is_err());
    let broken = ClientIdentity { chain: vec![vec![1]], key: vec![1] };
    let tls = StartTls { client: Some(Rc::new(broken)), ..wanted("", false, &TlsFiles::default()) };
    let failure = block(shake(&programs, serving(&shown, &BOTH), tls)).map(drop).unwrap_err();
    assert_eq!((failure.code, &*failure.message), (0, "handshake failed"));
}

#[test]
fn a_peer_that_does_not_speak_tls() {
    block(async {
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let tls = wanted("a.test", false, &TlsFiles::default());
        let programs = ProgramTls::default();
        let spoken = programs.connect(Plain::Unix(b), None, tls).await.map(drop).unwrap_err();
        assert_eq!((spoken.code, &*spoken.message), (0, "handshake failed"));
        let (a, b) = UnixStream::pair().unwrap();
        drop(a);
        let tls = wanted("a.test", false, &TlsFiles::default());
        let gone = programs.connect(Plain::Unix(b), None, tls).await.map(drop).unwrap_err();
        assert_eq!(&*gone.message, "handshake failed");
    });
}
