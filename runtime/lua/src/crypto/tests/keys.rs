//! Keys and certificates as OpenSSL writes them, signatures as it makes them.

use super::super::certificate::{self, Certificate};
use super::super::hash::Hash;
use super::super::key::{Key, Kind};
use super::super::pem;
use super::super::sign::{self, Scheme};
use super::hex;
use crate::base64;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/keys/", $name, ".pem"))
    };
}

const RSA: &[u8] = file!("rsa");
const P256: &[u8] = file!("p256");
const P384: &[u8] = file!("p384");
const ED25519: &[u8] = file!("ed25519");

fn read(text: &[u8]) -> Key {
    Key::read(text).unwrap()
}

#[test]
fn every_form_is_the_same_key() {
    for (kind, private, forms) in [
        (
            Kind::Rsa,
            RSA,
            &[
                &file!("rsa-pkcs1")[..],
                file!("rsa-public"),
                file!("rsa-pkcs1-public"),
                file!("rsa-certificate"),
            ][..],
        ),
        (Kind::P256, P256, &[&file!("p256-sec1")[..], file!("p256-public"), file!("certificate")]),
        (Kind::P384, P384, &[file!("p384-public")]),
        (Kind::Ed25519, ED25519, &[file!("ed25519-public")]),
    ] {
        let key = read(private);
        assert_eq!(key.kind, kind);
        for form in forms {
            let other = read(form);
            assert_eq!(other.public, key.public);
            assert!(other.private.is_none() || other.private == key.private);
            // PEM and DER are the same.
            let (_, der) = pem::blocks(form).last().unwrap();
            assert_eq!(read(&der), other);
        }
        // What is written is what was read.
        let written = pem::write("PRIVATE KEY", &key.pkcs8().unwrap());
        assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(private));
        assert_eq!(read(&key.spki()).public, key.public);
    }
    let spki = pem::write("PUBLIC KEY", &read(RSA).spki());
    assert_eq!(String::from_utf8_lossy(&spki), String::from_utf8_lossy(file!("rsa-public")));
}

#[test]
fn numbers_go_both_ways() {
    for (text, count) in [(RSA, 8), (P256, 2), (P384, 2), (ED25519, 2)] {
        let key = read(text);
        let mut numbers = key.numbers();
        assert_eq!(numbers.len(), count);
        if key.kind != Kind::Rsa {
            numbers.truncate(if key.kind == Kind::Ed25519 { 1 } else { 2 });
            numbers.resize(2, Vec::new());
            numbers.extend(key.private.clone());
        }
        let given: Vec<Option<&[u8]>> =
            numbers.iter().map(|n| Some(n.as_slice()).filter(|n| !n.is_empty())).collect();
        assert_eq!(Key::of_numbers(key.kind, &given).as_ref(), Ok(&key));
        let public = Key { private: None, ..key };
        assert_eq!(Key::of_numbers(public.kind, &given[..2]), Ok(public));
    }
    for kind in Kind::ALL {
        assert!(Key::of_numbers(kind, &[]).is_err());
        assert!(Key::of_numbers(kind, &[Some(&[1; 70][..]); 3]).is_err());
    }
}

#[test]
fn what_is_no_key_is_refused() {
    for (text, why) in [
        (&b""[..], "not a key"),
        (b"hello", "not a key"),
        (b"-----BEGIN PUBLIC KEY-----", "not a key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "not a key"),
        (file!("encrypted"), "encrypted keys are not supported"),
        (file!("p521"), "only RSA, P-256, P-384 and Ed25519 keys are supported"),
    ] {
        assert_eq!(Key::read(text), Err(why));
    }
    // Every cut and every flipped byte is an error or another key, never a crash.
    for whole in [RSA, P256, file!("rsa-pkcs1"), file!("p256-sec1"), file!("certificate"), ED25519]
    {
        let (_, der) = pem::blocks(whole).last().unwrap();
        for at in 0..der.len() {
            let _ = Key::read(&der[..at]);
            let mut flipped = der.clone();
            flipped[at] ^= 0x55;
            if let Ok(key) = Key::read(&flipped) {
                let _ = (key.numbers(), key.spki(), key.pkcs8());
            }
            let _ = Certificate::read(&flipped).map(|c| c.is_signed_by(&read(P256)));
        }
    }
}

/// Of "some message", by `openssl dgst -sign` and `openssl pkeyutl`.
const SIGNATURES: &[(&[u8], Scheme, Option<Hash>, &str)] = &[
    (
        RSA,
        Scheme::Legacy,
        Some(Hash::Sha1),
        "\
fcnRZAQZJYX+QJuggxGme0x93HrQDZFP2Q6eaVipwlK+mSZmgd5ieDZ/n+211Bb+998cF9G/hSb3ZKhoVdhkJmNA\
hcMOl3z8YPag9Cz2ufWFy5FwhePf3mHcqaVY91z5UVXgoOkTQflFa0n+/+m4UwMz/ryJgdzBXXo6M8c/fMGHneOx\
aZ4X1u6eAAHcm3h1SXJjb9cjDWOvHX2aJEVakiCkkQ9glmdenKMe7Q0JP9VHQ+s7t9FHyqH5gO1UpPr2ntbRCkDY\
yyxMsIedMCw+DvAvSZpt7soZ0QBnTgxxdHgSloIkwIARlOy0GAKvcw0zq1Zw2r1JuW0+fMm0J7NR5A==",
    ),
    (
        RSA,
        Scheme::Plain,
        Some(Hash::Sha256),
        "\
CqphXHhxGRPMNkK0DVE/f9wi4nHrPY5m2fSbvQJabULar9cwxOK25TpjAo5mm6p4PygOOS7wK0vN9+u/EQp0q561\
1ersIgiWf7xWnJSSjqm/tBllN8aNtqquNUd/yeBbIgDMMO4sgKhba0OSyjJjXEvDnXW/eOehEV71BASmJHEHj0zE\
kQdnitJRw25/EgGdcGa4mxzi9xP2YV35hZGgZmKV7W2VBB4uKjYVvjP1Fl8MnS/5PzpSIFR09P31LhjIYH1sueb4\
fw9jkRUHS4r+nMDCDxHEZBFvf01f2cJFVErGP73+/82bHM9Z811bNx23KTmUs44TAd7gy0fkH4UTqA==",
    ),
    (
        RSA,
        Scheme::Legacy,
        Some(Hash::Sha384),
        "\
Cw7+ESHKXHj5rsB5zKsfyy+J8fWbpwiJ57qDBrjXwd7yTP9oaluSDPObq4x9UgMdJDCoPq29weRLLfqNkjjw5Ylh\
6ITm7Td9fsab2oHrDkiyJn9d/9qL2GXRIJ0sE5PyYBDxWYcpFM/7MnB//YhfH81V1mUdC5veuOjYVa2QZg7kJyG7\
+Y3yEO8F6Rp9zNyKkUT0tKAKm/wlxqLLu37vL1F+a3OO1rLfA00k7ycYz1O8Y5hmCkLtpYHCOEzOxaKAuPFT7kWU\
klBvRC5WubYeMCmPKl3nsrE+iu80L3P/8UOgxsDqyvDZbCADjVI/+gRR0MJkCaY2ulzG7WJ9Z3USjw==",
    ),
    (
        RSA,
        Scheme::Plain,
        Some(Hash::Sha512),
        "\
QUaWKKhPTBsHPpR8ivrzgdkj6ULmI+ND9gRZ547tP/bjZP4Ywhg6ImtvIt6+ZluSE56wOMwoZBF/mm13GLQQJbGY\
fTmqjDgB7h1K4Zwzv9qCFwwzgOgsUlJXmmGA2E9NyLtDCNtwjCftWWMYTr9MfIcfCuiglc7LacvhNaCmvv0Jh3QM\
kfe8mp6aVQb6BnP5pUeAhBZCmAIIC/E4QieEacCl+Sg4dyLLxzcwxfE73f2JGQPWdo05kUAXwSM4eEpIq7lnxBbX\
x7BUw+ksCvMLXHxm1yDXmkf/MCcYqIxpSKaLYQ95cF5SimiqQM3qaNH8/LXFJjt4yF81hEd2X5JJ1w==",
    ),
    (
        RSA,
        Scheme::Pss,
        Some(Hash::Sha256),
        "\
dHZt96Nq+iwj0Evkg8I52uPlflHLUhNKSl+WnTfaWb919zMEmSphTsXsSX/UOO+Gqw8l5brVZRWv0Vu+H4iFCgVH\
gZR8QH73dZANj/Bk3XYyAks/NlK6JII9o35TO8lB4xlFZAh2FZ75jqToMDt+CjStd1l4FGlkTQlx6qEeCfx+1K82\
bXYJaqdfOKaL/0rnf8/2BFhsq9QmH5lARVvXVcgDKeRjFFphtkOFiLlDmrhQ7RQdHzARlQlV9Z0IfsMEHukb/8Yi\
12JSCuSC9uasUKOwCfINezigQbPfyuX7cr3ZEAogZ3y8Cuk3WNI/Lon2bshkJD2tS/RRUEycq0uy3A==",
    ),
    (
        RSA,
        Scheme::Pss,
        Some(Hash::Sha384),
        "\
PEB0T7+i2HA/+5L3s2z730cvY9cY4cVZpdghHhOwFY4wwfylXUSmbeU/NBg+JRcPwGmqL2pXYSqb9v9YEPVPfuKL\
6Mzk4TUm0eNf1SUMMXFfS1YSWuDPuNvowx4BJ14iR3Tu0sT5EG0cJZhNOQ90BUHb+RqxWhGc+btBLzv1kaDUBRhX\
VhsVgkInPv8WRLEXFARuSywFz+PScVA+ZzXdchrTeEcR7u169mZLEL7c1tOvMDRiHa7d4rhdOD5hTRWp4Lt9XaJO\
Ih64+EMAPJBFwLKZsDmiD2RKKcH6t4dfiwA/rw0kgUWC+zU6iX+QpGy0l7tQ480Ht2gSIFRLfPy7xw==",
    ),
    (
        RSA,
        Scheme::Pss,
        Some(Hash::Sha512),
        "\
LvMky2VU4rX1kfZWwzeVFvvNAXSgnaNUEU7QummCJsVJoVptSGRguEPegDFb4f01Y5xGDRrDzlNONjcFxnnp4ryS\
8iOP0bZ+8xr+u1fm1lzoiOGDva0FzVECFpxuA5JZDLD7S7snSybKlgZmU0oOflidtWCILzBSSoKHwit4YRzjnqPD\
o50bDjF8polZRfP8TgNDOLDYizNf+KMtUh5mvBc9C0abCIEvhLIF0d5t+DK7qqLg4zRJh6vuIW8P9DBRHe6bgqyB\
iIR1ap9mBECi5MUys1sqT/umtA6hB3NYd6eaxx51bOcsEgHojcClEFf6rsEX0m+7NooknhCC9wrOtw==",
    ),
    (
        P256,
        Scheme::Plain,
        Some(Hash::Sha256),
        "\
MEUCIHgr9PcaoOdhbr5K+rjt7mOQKzskZf61N8Gf9OLB1vKBAiEA9wsvEEYj0+GXC0fgjHpgCBYXAjDXp0kHDVI6\
b9av/kE=",
    ),
    (
        P256,
        Scheme::Plain,
        Some(Hash::Sha384),
        "\
MEUCIGnRbn8xjns3UF+aT0PL7NNGDa5DHRxudOpe67gRmNsrAiEAj4tv2X+2yttOK6ac1B5lNJKKIA/6WnSoleST\
kh54huU=",
    ),
    (
        P384,
        Scheme::Plain,
        Some(Hash::Sha384),
        "\
MGYCMQC/y4K3EtK6WlLwHjeOO9W3tnotOQhDyUkL5rB+shGqoXcbuaD0iddUn2ysZkaXRhMCMQDcBWCdjY1QK82w\
W2lgy5KMnCI9WdRf8WrhvAq4GBftXW09nHrBaLE9b2KH5BrrvXg=",
    ),
    (
        ED25519,
        Scheme::Plain,
        None,
        "\
1GQtAICJZlNt03HX9j5RSlSMfC/vF17KWEviFFc3c4OXmzKVk3cGZyHfQocP706ZYc6r6IZgVoYfAVKEr0gCBQ==",
    ),
];

const MESSAGE: &[u8] = b"some message";

fn unbase64(text: &str) -> Vec<u8> {
    base64::decode(text.as_bytes(), base64::Reader::Strict, &|| false).unwrap()
}

#[test]
fn signatures_of_openssl() {
    for (text, scheme, hash, signature) in SIGNATURES {
        let (key, mut signature) = (read(text), unbase64(signature));
        let verify = |signature: &[u8], message: &[u8]| {
            sign::verify(*scheme, *hash, &key, message, signature).unwrap()
        };
        assert!(verify(&signature, MESSAGE), "{scheme:?} {hash:?}");
        assert!(!verify(&signature, b"some other message"));
        assert!(!verify(&signature[1..], MESSAGE) && !verify(b"", MESSAGE));
        let last = signature.len() - 1;
        signature[last] ^= 1;
        assert!(!verify(&signature, MESSAGE));
    }
}

#[test]
fn signatures_of_our_own() {
    for (text, scheme, hash, _) in SIGNATURES {
        let key = read(text);
        let Ok(signature) = sign::sign(*scheme, *hash, &key, MESSAGE) else {
            // ring signs neither with SHA-1 nor with a hash that does not fit the curve.
            let is_odd =
                *hash == Some(Hash::Sha1) || (key.kind, *hash) == (Kind::P256, Some(Hash::Sha384));
            assert!(is_odd, "{scheme:?} {hash:?}");
            continue;
        };
        assert_eq!(sign::verify(*scheme, *hash, &key, MESSAGE, &signature), Ok(true));
        let public = Key { private: None, ..key };
        assert_eq!(sign::sign(*scheme, *hash, &public, MESSAGE), Err("a private key is needed"));
    }
}

#[test]
fn algorithms_of_jose() {
    let all = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    for text in [RSA, P256, P384, ED25519] {
        let key = read(text);
        let able: Vec<&str> = all
            .into_iter()
            .filter(|name| match sign::jws_sign(name.as_bytes(), Some(&key), MESSAGE) {
                Ok(signature) => {
                    let verify = |message| {
                        sign::jws_verify(name.as_bytes(), Some(&key), message, &signature)
                    };
                    assert_eq!((verify(MESSAGE), verify(b"")), (Ok(true), Ok(false)));
                    true
                }
                Err(why) => {
                    assert_eq!(why, "the key is of another kind than the algorithm");
                    false
                }
            })
            .collect();
        let want = match key.kind {
            Kind::Rsa => &all[..6],
            Kind::P256 => &["ES256"],
            Kind::P384 => &["ES384"],
            Kind::Ed25519 => &["EdDSA"],
        };
        assert_eq!(able, want);
    }
    for name in ["none", "", "HS256", "rs256"] {
        let verdict = sign::jws_verify(name.as_bytes(), Some(&read(RSA)), b"", b"");
        assert_eq!(verdict, Err("an unknown algorithm"));
    }
}

#[test]
fn ecdsa_goes_both_ways() {
    let (_, _, _, signature) = SIGNATURES[7];
    let der = unbase64(signature);
    let raw = sign::to_raw(Kind::P256, &der).unwrap();
    assert_eq!(raw.len(), 64);
    assert_eq!(sign::to_der(Kind::P256, &raw), Some(der));
    let small = [&[0; 31][..], &[1], &[0; 31], &[0x80]].concat();
    let der = sign::to_der(Kind::P256, &small).unwrap();
    assert_eq!(hex(&der), "30070201010202".to_owned() + "0080");
    assert_eq!(sign::to_raw(Kind::P256, &der), Some(small));
    assert_eq!(sign::to_der(Kind::P384, &raw), None);
    assert_eq!(sign::to_raw(Kind::P256, b"0"), None);
    assert_eq!(sign::to_raw(Kind::Rsa, &der), None);
}

#[test]
fn certificates() {
    let der = certificate::der(file!("certificate")).unwrap();
    let found = Certificate::read(&der).unwrap();
    assert_eq!((found.version, hex(found.serial)), (3, "1234567890abcdef".into()));
    let name: Vec<_> = found
        .subject
        .iter()
        .map(|a| (a.id.as_str(), String::from_utf8_lossy(a.value).into_owned()))
        .collect();
    let want = [
        ("2.5.4.6", "DE"),
        ("2.5.4.10", "Pilotlight"),
        ("2.5.4.11", "Tests"),
        ("2.5.4.3", "example.com"),
    ];
    assert_eq!(name, want.map(|(id, value)| (id, value.to_owned())));
    assert_eq!(found.issuer.len(), 4);
    assert_eq!(found.not_after - found.not_before, 36500.0 * 86400.0);
    assert_eq!(found.signature().map(|s| s.0), Some("ecdsa-with-SHA256"));
    assert_eq!(found.is_signed_by(&read(P256)), Ok(true));
    assert_eq!(found.is_signed_by(&read(file!("p384"))), Ok(false));
    let names = found.extensions.iter().find(|e| e.id == "2.5.29.17").unwrap();
    assert_eq!(
        certificate::alternative_names(names.value),
        [
            ("DNS", "example.com"),
            ("DNS", "*.example.com"),
            ("IP", "192.0.2.1"),
            ("URI", "https://example.com/"),
            ("email", "a@example.com"),
        ]
        .map(|(kind, name)| (kind, name.as_bytes().to_vec()))
    );
    let basic = found.extensions.iter().find(|e| e.id == "2.5.29.19").unwrap();
    assert!(basic.is_critical);
    let der = certificate::der(file!("rsa-certificate")).unwrap();
    let found = Certificate::read(&der).unwrap();
    assert_eq!(found.is_signed_by(&read(RSA)), Ok(true));
    assert!(Certificate::read(b"0").is_none() && certificate::der(RSA).is_none());
}
