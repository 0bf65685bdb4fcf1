use super::*;

#[test]
fn names_and_patterns() {
    for (pattern, name, want) in [
        ("a.test", "A.TEST", true),
        ("*.test", "a.test", true),
        ("*.test", "a.b.test", false),
        ("*.test", "test", false),
        ("*.test", ".test", false),
        ("a*.test", "ab.test", false),
        ("a.test", "b.test", false),
    ] {
        assert_eq!(matches(pattern, name), want, "{pattern} {name}");
    }
}

/// What `openssl x509 -req` makes without extensions: version 1, the name in the subject.
const VERSION_1: &str = include_str!("v1.pem");

#[test]
fn certificates_of_version_1_have_keys_too() {
    use rustls::pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).unwrap();
    let outline = Outline::read(&der).unwrap();
    assert_eq!(outline.issuer, outline.subject);
    assert!(outline.not_before < outline.not_after);
    let name = |name: &str| ServerName::try_from(name.to_owned()).unwrap();
    assert!(is_for(&der, &name("old.test")));
    assert!(!is_for(&der, &name("new.test")) && !is_for(&der, &name("192.0.2.1")));
    let provider = super::super::provider();
    let mut roots = RootCertStore::empty();
    roots.add(der.clone()).unwrap();
    let at = |seconds: u64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let check = |named: bool, name: &ServerName<'_>, now: u64| {
        let trusted = Verifier::strict(
            &provider,
            Arc::new(roots.clone()),
            vec![der.clone()],
            vec![],
            Some(1),
            named,
        );
        trusted.unwrap().verify_server_cert(&der, &[], name, &[], at(now)).map(drop)
    };
    let good = outline.not_before + 1;
    assert!(check(true, &name("old.test"), good).is_ok());
    assert!(check(false, &name("new.test"), good).is_ok());
    for (named, other, now, why) in [
        (true, "new.test", good, "certificate host mismatch"),
        (true, "old.test", outline.not_after + 1, "certificate has expired"),
        (true, "old.test", outline.not_before - 1, "certificate is not yet valid"),
    ] {
        let error = check(named, &name(other), now).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}
