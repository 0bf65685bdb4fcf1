use super::*;

fn block(label: &str, body: &str) -> String {
    format!("text before\n-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

#[test]
fn chains() {
    let two = block("CERTIFICATE", "YWJj\r\nZGVm") + &block("X509 CERTIFICATE", "eA==");
    assert_eq!(
        chain(two.as_bytes()).ok().map(|chain| chain.0),
        Some(vec![b"abcdef".to_vec(), b"x".to_vec()])
    );
    let damaged = block("CERTIFICATE", "YWJj") + &block("CERTIFICATE", "?");
    for bad in [damaged.as_str(), "", "-----BEGIN CERTIFICATE-----", &block("PRIVATE KEY", "YWJj")]
    {
        assert_eq!(chain(bad.as_bytes()).err(), Some("PEM_read_bio_X509_AUX() failed"), "{bad}");
    }
}

#[test]
fn keys() {
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
        let text = block("CERTIFICATE", "eA==") + &block(label, "YWJj");
        assert_eq!(key(text.as_bytes()).ok().map(|key| key.der), Some(b"abc".to_vec()));
    }
    let encrypted = block("ENCRYPTED PRIVATE KEY", "YWJj");
    assert_eq!(key(encrypted.as_bytes()).err(), Some("PEM_read_bio_PrivateKey() failed"));
}
