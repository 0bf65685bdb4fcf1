use super::*;

const RSA: &str = include_str!("../../../../../lua/tests/keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("../../../../../lua/tests/keys/rsa-public.pem");
const P256: &str = include_str!("../../../../../lua/tests/keys/p256.pem");
const P256_PUBLIC: &str = include_str!("../../../../../lua/tests/keys/p256-public.pem");
const P384: &str = include_str!("../../../../../lua/tests/keys/p384.pem");
const P384_PUBLIC: &str = include_str!("../../../../../lua/tests/keys/p384-public.pem");

fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    fields.iter().for_each(|(field, text)| put(&mut message, *field, text));
    message
}

fn signed(key: (u8, &[u8]), digest: &str) -> Vec<u8> {
    sign(&message(&[(1, digest.as_bytes()), key, (3, b"a text")])).unwrap()
}

fn verified(key: (u8, &[u8]), digest: &str, signature: &[u8], plain: &[u8]) -> Vec<u8> {
    verify(&message(&[(1, digest.as_bytes()), key, (3, signature), (4, plain)])).unwrap()
}

#[test]
fn what_is_signed_is_verified() {
    for (private, public, digest) in [
        (RSA, RSA_PUBLIC, "sha256"),
        (RSA, RSA_PUBLIC, "SHA512"),
        (P256, P256_PUBLIC, "sha256"),
        (P384, P384_PUBLIC, "sha384"),
    ] {
        let der = unarmoured(private.as_bytes()).unwrap();
        for key in [(4, private.as_bytes()), (2, &der[..])] {
            let result = signed(key, digest);
            assert!(result.starts_with(&[8, 1, 0x12]), "{digest}: {}", result.escape_ascii());
            let signature = text(&result, 2).unwrap();
            let der = unarmoured(public.as_bytes()).unwrap();
            for key in [(5, public.as_bytes()), (2, &der[..])] {
                assert_eq!(verified(key, digest, signature, b"a text"), [8, 1]);
                let wrong = verified(key, digest, signature, b"another text");
                assert_eq!(
                    text(&wrong, 2),
                    Some(&b"the signature is not of this text and key"[..])
                );
            }
        }
    }
}

#[test]
fn what_is_not_supported_says_so() {
    let result = signed((4, P256.as_bytes()), "md5");
    assert_eq!(text(&result, 3), Some(UNSUPPORTED.as_bytes()));
    let result = verified((5, RSA_PUBLIC.as_bytes()), "sha224", b"x", b"x");
    assert_eq!(text(&result, 2), Some(UNSUPPORTED.as_bytes()));
}

#[test]
fn what_is_no_key_is_a_bad_argument() {
    let whole = unarmoured(RSA_PUBLIC.as_bytes()).unwrap();
    for length in 0..whole.len() {
        let arguments = message(&[(1, b"sha256"), (2, &whole[..length]), (3, b"x"), (4, b"x")]);
        assert!(verify(&arguments).is_err(), "{length}");
    }
    let whole = unarmoured(P256.as_bytes()).unwrap();
    for length in 0..whole.len() {
        // A cut key has a kind, and is of no use.
        let _ = sign(&message(&[(1, b"sha256"), (2, &whole[..length]), (3, b"x")]));
    }
    let both = message(&[(2, b"x"), (5, b"x")]);
    assert_eq!(verify(&both), Err(Status::BadArgument));
    assert_eq!(sign(b""), Err(Status::BadArgument));
    assert_eq!(verify(b"\xff\xff"), Err(Status::BadArgument));
}
