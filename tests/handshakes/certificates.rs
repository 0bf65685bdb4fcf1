//! Certificates of clients that a script asks for, and what is stapled.

use super::*;

#[test]
fn a_script_asks_for_client_certificates() {
    let script = format!(
        r#"{CHOOSE}
        local name = ssl.server_name()
        if name == "b.test" then return end
        local issuer = name == "a.test" and assert(ssl.parse_pem_cert(pems.authority)) or nil
        assert(ssl.verify_client(issuer, 3))
        "#
    );
    let door = Door::new(&[("ssl_certificate", &script)]);
    let known = Certificate::new(&["device.test"]);
    run(async {
        let _gateway = door.open().await;
        for (name, config, verify) in [
            ("a.test", identified(&known), "SUCCESS"),
            ("a.test", plain(), "NONE"),
            ("b.test", identified(&known), "NONE"),
            ("c.test", identified(&known), "FAILED:unable to verify the first certificate"),
        ] {
            // What was proved once is asked for again.
            for _ in 0..2 {
                let mut stream = connect(door.address, name, config.clone()).await.unwrap();
                let told = tell(&mut stream).await;
                assert_eq!(told, format!("nothing 0 {name} TLSv1.3 {verify} content"));
                let again = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                assert!(!again || name == "b.test");
            }
        }
    });
}

/// Keeps what was stapled.
#[derive(Debug, Default)]
struct Stapled(Mutex<Vec<u8>>);

impl ServerCertVerifier for Stapled {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        staple: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.0.lock().unwrap() = staple.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[test]
fn a_script_staples_an_answer() {
    let script = "assert(require('ngx.ocsp').set_ocsp_status_resp 'an answer')";
    let door = Door::new(&[("ssl_certificate", script)]);
    run(async {
        let _gateway = door.open().await;
        let seen = Arc::new(Stapled::default());
        let mut config = plain();
        config.dangerous().set_certificate_verifier(seen.clone());
        let stream = connect(door.address, "a.test", config).await.unwrap();
        assert_eq!(&*seen.0.lock().unwrap(), b"an answer");
        assert_eq!(shown(&stream), der(&Certificate::common().pem));
    });
}
