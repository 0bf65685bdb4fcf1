use proptest::prelude::*;

use super::*;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::new([seed; 32], &format!("key-{seed}")).unwrap()
}

fn trust(seeds: &[u8], threshold: usize) -> Trust {
    Trust { keys: seeds.iter().map(|seed| key(*seed).public().clone()).collect(), threshold }
}

fn release() -> Release {
    let file = |text: &str| File {
        digest: Digest::of_bytes(text.as_bytes()),
        size: text.len() as u64,
        program: false,
    };
    let files = [("pilotlight.toml", "[gateway]"), ("filters/auth.lua", "return {}")];
    Release {
        name: "shop-edge".into(),
        version: "1.42.0".into(),
        epoch: 7,
        gateway: "pilotlight.toml".into(),
        needs: Needs::parse(">=0.1"),
        free_disk: 8 << 20,
        tests: vec!["filters".into()],
        secrets: vec!["origin-token".into()],
        render: vec!["pilotlight.toml".into()],
        files: files.map(|(path, text)| (path.to_owned(), file(text))).into(),
        ..Release::default()
    }
}

#[test]
fn who_has_signed_is_believed() {
    let bytes = release().sign(&[key(1), key(2)]).unwrap();
    let (read, digest) = Release::verify(&bytes, &trust(&[1], 1)).unwrap();
    assert_eq!(read, release());
    // Two of three, whoever they are.
    assert!(Release::verify(&bytes, &trust(&[1, 2, 3], 2)).is_ok());
    assert_eq!(Release::verify(&bytes, &trust(&[1, 3], 2)), Err(Refused::Unsigned(1, 2)));
    assert_eq!(Release::verify(&bytes, &trust(&[3], 1)), Err(Refused::Unsigned(0, 1)));
    // Without keys nothing is signed well enough.
    assert_eq!(Release::verify(&bytes, &Trust::default()), Err(Refused::Unsigned(0, 1)));
    // Another signature does not make another release.
    let other = release().sign(&[key(1)]).unwrap();
    assert_eq!(Release::verify(&other, &trust(&[1], 1)).unwrap().1, digest);
    // Nobody signs twice.
    let line = |text: &str| text.lines().nth(1).unwrap().to_owned() + "\n";
    let once = String::from_utf8(release().sign(&[key(1)]).unwrap()).unwrap();
    let twice = once.replacen(&line(&once), &line(&once).repeat(2), 1).into_bytes();
    assert_eq!(Release::verify(&twice, &trust(&[1, 2], 2)), Err(Refused::Unsigned(1, 2)));
    assert_eq!(Release::verify(&twice, &trust(&[1, 1], 2)), Err(Refused::Unsigned(1, 2)));
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let mut bytes = release().sign(&[]).unwrap();
    for seed in 1..=16 {
        bytes = countersign(&bytes, &[key(seed)], 0).unwrap();
    }
    assert_eq!(signers(&bytes).unwrap().len(), 16);
    let refused = countersign(&bytes, &[key(17)], 0);
    assert_eq!(refused, Err(Refused::Form("too many signatures")));
    // Who signs anew takes no room.
    assert!(countersign(&bytes, &[key(16)], 9).is_ok());
    let many: Vec<_> = (1..=17).map(key).collect();
    assert_eq!(release().sign(&many), refused);
}

#[test]
fn no_byte_can_be_another() {
    let bytes = release().sign(&[key(1)]).unwrap();
    let trust = trust(&[1], 1);
    for at in 0..bytes.len() {
        for flip in [1, 0x20, 0x80] {
            let mut other = bytes.clone();
            other[at] ^= flip;
            assert!(Release::verify(&other, &trust).is_err(), "{at}");
        }
    }
    for end in 0..bytes.len() {
        assert!(Release::verify(&bytes[..end], &trust).is_err(), "{end}");
    }
    let mut more = bytes.clone();
    more.push(b' ');
    assert!(Release::verify(&more, &trust).is_err());
    more.resize(LARGEST + 1, b' ');
    assert_eq!(Release::verify(&more, &trust), Err(Refused::TooLarge(LARGEST)));
}

#[test]
fn what_is_signed_may_still_be_unfit() {
    let unfit = |change: fn(&mut Release)| {
        let mut release = release();
        change(&mut release);
        release.sign(&[key(1)]).unwrap_err().to_string()
    };
    assert!(unfit(|r| r.gateway = "other.toml".into()).contains("not among its files"));
    for path in ["../x", "/etc/passwd", "a//b", "a/./b", "a b", "a\\b", "", "ü"] {
        assert!(!is_plain(path), "{path}");
    }
    assert!(
        unfit(|r| {
            let file = r.files["pilotlight.toml"].clone();
            r.files.insert("../../x".into(), file);
        })
        .contains("not a path")
    );
    assert!(
        unfit(|r| {
            let file = r.files["pilotlight.toml"].clone();
            r.files.insert("filters".into(), file);
        })
        .contains("a file and a folder")
    );
    assert!(unfit(|r| r.tests = vec!["/tmp".into()]).contains("not a path"));
    assert!(unfit(|r| r.render = vec!["none.toml".into()]).contains("to be rendered"));
    assert!(unfit(|r| r.secrets = vec!["../key".into()]).contains("name of a secret"));
    assert!(unfit(|r| r.files.values_mut().for_each(|f| f.size = 1 << 40)).contains("bytes"));
    // A signer without these checks does no harm either.
    let mut payload: serde_json::Value = serde_json::to_value(release()).unwrap();
    payload["gateway"] = "none".into();
    let payload = serde_json::to_vec(&payload).unwrap();
    let mut envelope = Envelope::new(HEAD, &payload);
    envelope.sign(&[key(1)], 0);
    let refused = Release::verify(&envelope.bytes(), &trust(&[1], 1)).unwrap_err();
    assert!(matches!(refused, Refused::Content(_)), "{refused}");
}

#[test]
fn signatures_are_added_by_whoever_has_a_key() {
    let one = release().sign_at(&[key(1)], 5).unwrap();
    let both = countersign(&one, &[key(2)], 9).unwrap();
    let (_, digest, time) = Release::verify_timed(&both, &trust(&[1, 2], 2)).unwrap();
    // What both say is past.
    assert_eq!((Some(digest), time), (super::digest(&one), 5));
    let ids = |signed: &[u8]| signers(signed).unwrap().len();
    assert_eq!((ids(&one), ids(&both)), (1, 2));
    assert_eq!(ids(&countersign(&both, &[key(2)], 11).unwrap()), 2);
    assert!(countersign(b"{}", &[key(1)], 0).is_err());
}

#[test]
fn keys_are_read_as_they_are_written() {
    let key = key(5);
    assert_eq!(PrivateKey::parse(&key.text()).unwrap().public(), key.public());
    assert_eq!(PublicKey::parse(&key.public().text()).as_ref(), Some(key.public()));
    assert!(PublicKey::parse(&key.text()).is_none());
    for text in ["", "pilotlight-ed25519 00 a", "pilotlight-ed25519 zz a", "x y z"] {
        assert!(PublicKey::parse(text).is_none() && PrivateKey::parse(text).is_none(), "{text}");
    }
}

#[test]
fn the_same_content_is_fetched_once() {
    let mut release = release();
    let file = release.files["filters/auth.lua"].clone();
    release.files.insert("filters/copy.lua".into(), file);
    let content = release.content(Digest::of_bytes(b"x"), 700);
    assert_eq!((content.blobs.len(), content.bytes), (2, 700));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let head = [HEAD.as_bytes(), &bytes].concat();
        prop_assert!(Release::verify(&bytes, &trust(&[1], 1)).is_err());
        prop_assert!(Release::verify(&head, &trust(&[1], 1)).is_err());
    }
}
