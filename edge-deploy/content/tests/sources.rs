//! Every kind of place does the same: what is put there is found, from any byte on; a version is given once; what a
//! server does wrong is told apart from what is not there.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pilotlight_content::{
    Account, Destination, Directory, Error, Place, Settings, Source, fetch, push,
};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{self, File, PrivateKey, Release, Root, Trust};
use support::{Bucket, Mood, Registry, Server};

fn large() -> Vec<u8> {
    (0..200_000u32).flat_map(|at| at.to_le_bytes()).collect()
}

fn release(version: &str, more: &str) -> (Release, Vec<(Digest, Vec<u8>)>) {
    let contents = [
        ("pilotlight.toml", b"[gateway]\n".to_vec()),
        ("filters/large.wasm", large()),
        ("more.lua", more.as_bytes().to_vec()),
    ];
    let mut files = BTreeMap::new();
    let mut blobs = Vec::new();
    for (name, bytes) in contents {
        let digest = Digest::of_bytes(&bytes);
        let size = bytes.len() as u64;
        files.insert(name.to_owned(), File { digest: digest.clone(), size, program: false });
        blobs.push((digest, bytes));
    }
    let release = Release {
        name: "shop-edge".into(),
        version: version.into(),
        epoch: 0,
        gateway: "pilotlight.toml".into(),
        needs: None,
        free_disk: 0,
        tests: Vec::new(),
        secrets: Vec::new(),
        files,
        ..Release::default()
    };
    (release, blobs)
}

fn packed(folder: &Path, version: &str, more: &str) -> (Directory, Release, Digest, Vec<u8>) {
    drop(std::fs::remove_dir_all(folder));
    let directory = Directory::new(folder);
    let (release, blobs) = release(version, more);
    for (digest, bytes) in &blobs {
        directory.put_blob(digest, bytes.len() as u64, &mut &bytes[..]).unwrap();
    }
    let signed = release.sign(&[PrivateKey::new([7; 32], "test").unwrap()]).unwrap();
    let digest = release::digest(&signed).unwrap();
    directory.put_release(&release, &digest, &signed).unwrap();
    (directory, release, digest, signed)
}

/// Root 2, signed by some of its two keys.
fn root((signers, expires): (&[u8], i64)) -> Vec<u8> {
    let key = |seed: &u8| PrivateKey::new([*seed; 32], "test").unwrap();
    let keys = [7, 8].iter().map(|seed| key(seed).public().clone()).collect();
    let trust = Trust { keys, threshold: 2 };
    let root = Root { version: 2, expires: Some(expires), root: trust.clone(), release: trust };
    root.sign(&signers.iter().map(key).collect::<Vec<_>>(), 0).unwrap()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn read(source: &dyn Source, digest: &Digest, size: u64, from: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut paced = 0;
    let mut pace = |count: usize| {
        paced += count;
        true
    };
    fetch::blob(source, (digest, size), from, &mut pace, &mut |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })?;
    assert!(paced >= bytes.len());
    Ok(bytes)
}

/// What every place must do.
fn conforms(place: &str, scratch: &str) {
    conforms_with(place, scratch, &Settings::default());
}

fn conforms_with(place: &str, scratch: &str, settings: &Settings) {
    let (from, one, digest, signed) = packed(&folder(&format!("{scratch}-from")), "1.0.0", "a");
    let place = Place::parse(place, Path::new("")).unwrap();
    let there = place.destination(settings).unwrap();
    let source = place.source(settings).unwrap();
    assert!(matches!(source.release("shop-edge", "1.0.0"), Err(Error::Absent(_))));
    assert_eq!(push(&from, &*there, &one, &digest, &signed).unwrap(), 3);
    // Again it is no work, and no mistake.
    assert_eq!(push(&from, &*there, &one, &digest, &signed).unwrap(), 0);
    assert_eq!(source.release("shop-edge", "1.0.0").unwrap(), signed);
    let bytes = large();
    let (blob, size) = (&one.files["filters/large.wasm"].digest, bytes.len() as u64);
    assert_eq!(read(&*source, blob, size, 0).unwrap(), bytes);
    assert_eq!(read(&*source, blob, size, 123_457).unwrap(), &bytes[123_457..]);
    assert_eq!(read(&*source, blob, size, size).unwrap(), b"");
    // Longer or shorter than the release says is neither.
    assert!(matches!(read(&*source, blob, size - 1, 0), Err(Error::Refused(_))));
    assert!(matches!(read(&*source, blob, size + 1, 9), Err(Error::Unreachable(_))));
    let none = Digest::of_bytes(b"none");
    assert!(matches!(read(&*source, &none, 4, 0), Err(Error::Absent(_))));
    assert!(!there.has(&none).unwrap());
    // A changed script is one blob; the same version with it is another release.
    let (from, two, digest, signed) = packed(&folder(&format!("{scratch}-two")), "1.0.0", "b");
    let again = push(&from, &*there, &two, &digest, &signed).unwrap_err().to_string();
    assert!(again.contains("a version is given once"), "{again}");
    let (from, two, digest, signed) = packed(&folder(&format!("{scratch}-two")), "1.0.1", "c");
    assert_eq!(push(&from, &*there, &two, &digest, &signed).unwrap(), 1);
    assert_eq!(source.release("shop-edge", "1.0.1").unwrap(), signed);
    // Roots are given once, too.
    assert!(matches!(source.root(2), Err(Error::Absent(_))));
    let [half, full, other] = [(&[7u8][..], 1), (&[7, 8], 1), (&[7, 8], 9)].map(root);
    there.put_root(2, &half).unwrap();
    assert_eq!(source.root(2).unwrap(), half);
    // Another signature comes to it, and none goes.
    for root in [&full, &full, &half] {
        there.put_root(2, root).unwrap();
        assert_eq!(source.root(2).unwrap(), full);
    }
    for wrong in [&other[..], b"another"] {
        let again = there.put_root(2, wrong).unwrap_err().to_string();
        assert!(again.contains("a root is given once"), "{again}");
    }
    for name in ["../x", ".x", ""] {
        assert!(matches!(source.release("shop-edge", name), Err(Error::Refused(_))), "{name}");
    }
    for end in ["from", "two"] {
        drop(std::fs::remove_dir_all(folder(&format!("{scratch}-{end}"))));
    }
}

#[test]
fn a_folder() {
    let there = folder("folder-there");
    drop(std::fs::remove_dir_all(&there));
    conforms(there.to_str().unwrap(), "folder");
    // What is not its digest's content does not stay.
    let there = Directory::new(&there);
    let other = Digest::of_bytes(b"other");
    assert!(there.put_blob(&other, 4, &mut &b"some"[..]).is_err() && !there.has(&other).unwrap());
    assert!(there.put_blob(&other, 9, &mut &b"other"[..]).is_err() && !there.has(&other).unwrap());
}

#[test]
fn a_web_server() {
    let server = Server::new();
    conforms(&server.url, "web");
    assert_eq!(server.ranges.lock().unwrap()[0], "bytes=123457-");
}

#[test]
fn a_web_server_with_tls() {
    let (server, ca) = Server::secure();
    conforms_with(&server.url, "tls", &Settings { ca: Some(ca), ..Settings::default() });
    // Whoever else says that it is this server is not believed.
    let (_, other) = Server::secure();
    let place = Place::parse(&server.url, Path::new("")).unwrap();
    let source = place.source(&Settings { ca: Some(other), ..Settings::default() }).unwrap();
    let error = source.release("shop-edge", "1.0.0").unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
}

#[test]
fn an_object_store() {
    let mut store = Bucket::new("a-bucket");
    let settings = |id: &str, secret: &str| Settings {
        account: Some(Account {
            id: id.into(),
            secret: secret.into(),
            clock: Some(now),
            ..Account::default()
        }),
        ..Settings::default()
    };
    let right = settings(&store.id, &store.secret);
    conforms_with(&store.place, "s3", &right);
    let own = Place::parse(&store.place, Path::new("")).unwrap();
    let digest = Digest::of_bytes(&large());

    // Who has another secret, and who has none, is nobody there; the store says it in its own words.
    let wrong = own.source(&settings(&store.id, "guess")).unwrap();
    let why = wrong.release("shop-edge", "1.0.0").unwrap_err();
    assert!(matches!(&why, Error::Refused(why) if why.contains("SignatureDoesNotMatch")), "{why}");
    let plain = Place::parse(&store.url, Path::new("")).unwrap();
    let plain = plain.source(&Settings::default()).unwrap();
    assert!(matches!(plain.blob(&digest, 0), Err(Error::Refused(_))));
    // Nodes read by plain HTTP what anybody may read.
    store.open();
    assert_eq!(read(&*plain, &digest, large().len() as u64, 70_000).unwrap(), large()[70_000..]);
    assert!(plain.release("shop-edge", "1.0.0").is_ok());
}

#[expect(clippy::disallowed_methods, reason = "a server compares it with its own")]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs() as i64
}

#[test]
fn what_a_bucket_forbids_to_read_may_not_be_there() {
    let server = Server::new();
    *server.mood.lock().unwrap() = Mood::Status(403);
    let endpoint = server.url.trim_end_matches("/edge");
    let place = Place::parse(&format!("s3://a-bucket/edge?endpoint={endpoint}"), Path::new(""));
    let account = Account { id: "a".into(), secret: "b".into(), ..Account::default() };
    let settings = Settings { account: Some(account), ..Settings::default() };
    let (place, digest) = (place.unwrap(), Digest::of_bytes(b"none"));
    let (source, there) = (place.source(&settings).unwrap(), place.destination(&settings).unwrap());
    assert!(!there.has(&digest).unwrap());
    assert!(matches!(source.blob(&digest, 0), Err(Error::Absent(_))));
    assert!(matches!(source.release("shop-edge", "1.0.0"), Err(Error::Absent(_))));
    assert!(matches!(source.root(2), Err(Error::Absent(_))));
    // To write it is another matter.
    assert!(matches!(there.put_root(2, b"root two"), Err(Error::Refused(_))));
}

#[test]
fn debians_registry() {
    let registry = Registry::new("registry");
    conforms(&registry.place, "registry");
}

#[test]
fn debians_registry_with_a_password() {
    let registry = Registry::with_password("registry-password");
    let host = registry.place.trim_start_matches("oci://").split('/').next().unwrap();
    let file = |auth: &str| format!(r#"{{ "auths": {{ "{host}": {{ "auth": "{auth}" }} }} }}"#);
    let settings = |auth: &str| Settings::default().with_docker_config(&file(auth)).unwrap();
    conforms_with(&registry.place, "password", &settings("ZWRnZTpzZWNyZXQ="));
    for settings in [Settings::default(), settings("ZWRnZTp3cm9uZw==")] {
        let place = Place::parse(&registry.place, Path::new("")).unwrap();
        let error = place.source(&settings).unwrap().release("shop-edge", "1.0.0").unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error}");
    }
}

#[test]
fn a_registry_that_wants_a_token() {
    let server = Server::new();
    *server.mood.lock().unwrap() = Mood::Token;
    let digest = Digest::of_bytes(b"signed");
    let manifest = format!(
        r#"{{ "layers": [{{ "mediaType": "application/vnd.pilotlight.release.v1", "digest": "{digest}", "size": 6 }}] }}"#
    );
    for (path, bytes) in [
        ("/v2/edge/manifests/shop-1".to_owned(), manifest.into_bytes()),
        (format!("/v2/edge/blobs/{digest}"), b"signed".to_vec()),
    ] {
        server.files.lock().unwrap().insert(path, bytes);
    }
    let host = server.url.trim_start_matches("http://").trim_end_matches("/edge");
    let place = Place::parse(&format!("oci://{host}/edge"), Path::new("")).unwrap();
    let source = place.source(&Settings::default()).unwrap();
    assert_eq!(source.release("shop", "1").unwrap(), b"signed");
    assert_eq!(read(&*source, &digest, 6, 2).unwrap(), b"gned");
}

#[test]
fn servers_that_do_wrong() {
    let server = Server::new();
    let (from, one, digest, signed) = packed(&folder("wrong-from"), "1.0.0", "a");
    let place = Place::parse(&server.url, Path::new("")).unwrap();
    let there = place.destination(&Settings::default()).unwrap();
    push(&from, &*there, &one, &digest, &signed).unwrap();
    let source = place.source(&Settings::default()).unwrap();
    let bytes = large();
    let (blob, size) = (&one.files["filters/large.wasm"].digest, bytes.len() as u64);
    let tried = |mood, from| {
        *server.mood.lock().unwrap() = mood;
        read(&*source, blob, size, from)
    };
    assert_eq!(tried(Mood::Whole, 5000).unwrap(), &bytes[5000..]);
    assert!(matches!(tried(Mood::Short(1000), 0), Err(Error::Unreachable(_))));
    assert!(matches!(tried(Mood::Endless, 0), Err(Error::Refused(_))));
    // What a portal sends is too short here, and else another digest.
    assert!(tried(Mood::Portal, 0).is_err());
    for (status, temporary) in [(500, true), (503, true), (429, true), (403, false), (416, false)] {
        let error = tried(Mood::Status(status), 0).unwrap_err();
        assert_eq!(matches!(error, Error::Unreachable(_)), temporary, "{error}");
    }
    assert!(matches!(tried(Mood::Status(404), 0), Err(Error::Absent(_))));
    let nobody = Place::parse("http://127.0.0.1:1/", Path::new("")).unwrap();
    let nobody = nobody.source(&Settings::default()).unwrap();
    assert!(matches!(nobody.release("a", "1"), Err(Error::Unreachable(_))));
    // A release that does not end is cut where no release goes on.
    *server.mood.lock().unwrap() = Mood::Endless;
    assert_eq!(source.release("shop-edge", "1.0.0").unwrap().len(), release::LARGEST + 1);
    drop(std::fs::remove_dir_all(folder("wrong-from")));
}

#[test]
fn places_are_read_as_they_are_written() {
    let parse = |text: &str| Place::parse(text, Path::new("/etc/edge"));
    assert_eq!(parse("content").unwrap(), Place::Folder("/etc/edge/content".into()));
    assert_eq!(parse("https://x/e/").unwrap(), Place::Web("https://x/e".into()));
    assert!(matches!(parse("oci://r.example:5000/a/b").unwrap(), Place::Registry(_)));
    assert!(matches!(parse("s3://shop/edge").unwrap(), Place::Bucket(_)));
    for wrong in
        ["oci://", "oci://r.example", "oci://r.example/A", "oci://r/a//b", "s3://", "ftp://x"]
    {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    let config = r#"{ "auths": { "https://r.example/v1/": { "auth": "dTpw" }, "b": {} }, "x": 1 }"#;
    let settings = Settings::default().with_docker_config(config).unwrap();
    assert_eq!(
        settings.credentials.into_iter().collect::<Vec<_>>(),
        [("r.example".into(), "dTpw".into())]
    );
    assert!(Settings::default().with_docker_config("{").is_err());
}
