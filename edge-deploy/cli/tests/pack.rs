//! `pack` and `push`, from outside: what is in a release, what is refused, and that the same input gives
//! the same bytes.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with a key and a release, gone when the test is.
struct Shop(PathBuf);

impl Drop for Shop {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

const MANIFEST: &str = r#"
include = ["routes/*.toml"]
[gateway]
admin = "unix:run/admin.sock"
cache_dir = "${fleet:cache}"
[[listeners]]
address = "${fleet:address}"
tls = { certificate = "edge.pem", key = "${secret-file:edge-key}" }
[filters.auth]
lua = "filters/auth.lua"
config = { token = "${secret:token}", motd = "${file:motd.txt}", site = "${env:SITE}" }
"#;
const ROUTES: &str = r#"
[[routes]]
match = { path = "/*" }
filters = ["auth"]
respond = { status = 200, body = "${fleet:greeting}" }
[[routes]]
match = { path = "/static/*" }
files = "public"
"#;
const RELEASE: &str = r#"
kind = "release"
name = "shop-edge"
version = "1.42.0"
epoch = 3
gateway = "pilotlight.toml"
needs = { gateway = ">=0.1", free_disk = "8MiB" }
tests = ["filters"]
secrets = ["token", "edge-key"]
"#;

impl Shop {
    fn new(name: &str) -> Shop {
        let shop = Shop(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        drop(fs::remove_dir_all(&shop.0));
        for (name, text) in [
            ("pilotlight.toml", MANIFEST),
            ("routes/all.toml", ROUTES),
            ("release.toml", RELEASE),
            (
                "fleet.toml",
                "kind = \"fleet\"\nvars = { greeting = \"hi\", address = \"127.0.0.1:0\", cache = \"c\" }\n",
            ),
            ("motd.txt", "welcome\n"),
            ("edge.pem", "a certificate\n"),
            ("filters/auth.lua", "return {}\n"),
            ("filters/auth_test.lua", "-- a test\n"),
            ("lua/resty/thing.lua", "return {}\n"),
            ("lua/notes.md", "no script\n"),
            ("public/index.html", "<p>hello\n"),
            ("public/.hidden", "no\n"),
            ("unused.lua", "return {}\n"),
        ] {
            shop.write(name, text);
        }
        // Stands for a gateway: its tests pass where the release is laid out with values in it.
        shop.write(
            "gateway",
            "#!/bin/sh\ntest \"$1 $2\" = 'test filters' && grep -q '\"hi\"' routes/all.toml && test -f lua/resty/thing.lua\n",
        );
        fs::set_permissions(shop.0.join("gateway"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(shop.run(&["keys", "new", "release"]).0, 0);
        shop
    }

    fn write(&self, name: &str, text: &str) {
        common::write(&self.0.join(name), text);
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_at("1750000000", arguments)
    }

    fn run_at(&self, time: &str, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_edge-deploy"))
            .args(arguments)
            .current_dir(&self.0)
            .env("SOURCE_DATE_EPOCH", time)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    fn pack(&self, to: &str) -> (i32, String, String) {
        self.run(&["pack", "--key", "release.key", "-o", to, "--gateway", "gateway"])
    }

    fn refused(&self, code: i32, why: &str) {
        let (ended, out, err) = self.pack("refused");
        assert_eq!((ended, out.as_str()), (code, ""), "{err}");
        assert!(err.contains(why), "{err}");
        assert!(!self.0.join("refused").exists());
    }

    /// All files below a folder.
    fn tree(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        fn walk(at: &Path, base: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, base, into);
                } else {
                    let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_owned();
                    into.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(&self.0.join(folder), &self.0.join(folder), &mut files);
        files
    }
}

#[test]
fn a_release_is_all_that_its_gateway_refers_to() {
    let shop = Shop::new("pack-all");
    let (code, out, err) = shop.pack("out");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let tree = shop.tree("out");
    let signed = String::from_utf8(tree["releases/shop-edge/1.42.0"].clone()).unwrap();
    let release: serde_json::Value =
        serde_json::from_str(signed.split_once("\n\n").unwrap().1).unwrap();
    let files: Vec<_> = release["files"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        files,
        [
            "edge.pem",
            "filters/auth.lua",
            "filters/auth_test.lua",
            "lua/resty/thing.lua",
            "motd.txt",
            "pilotlight.toml",
            "public/index.html",
            "routes/all.toml",
        ]
    );
    assert_eq!(release["render"], serde_json::json!(["pilotlight.toml", "routes/all.toml"]));
    assert_eq!((&release["epoch"], &release["tests"][0]), (&3.into(), &"filters".into()));
    // Scripts with the same content are one blob.
    assert_eq!(tree.len(), 1 + 7, "{:?}", tree.keys());
    // A second time, and elsewhere, they are the same bytes.
    assert_eq!(shop.pack("out").0, 0);
    assert_eq!(shop.pack("again").0, 0);
    assert!(shop.tree("again") == tree && shop.tree("out") == tree);
    // To a folder that a web server serves.
    let (code, out, _) = shop.run(&["push", "out", "web"]);
    assert!(code == 0 && out.contains("7 blobs were new"), "{out}");
    assert!(shop.tree("web") == tree);
    // Nobody signs what is yet to come.
    let late = ["pack", "--key", "release.key", "-o", "late", "--gateway", "gateway"];
    let (code, _, err) = shop.run_at("9223372036854775807", &late);
    assert!(code == 2 && err.contains("is yet to come") && !shop.0.join("late").exists(), "{err}");
    // Other content is another version.
    shop.write("filters/auth.lua", "return { }\n");
    let (code, _, err) = shop.pack("out");
    assert!(code == 1 && err.contains("a version is given once"), "{err}");
}

#[test]
fn what_cannot_be_packed_is_refused_with_its_reason() {
    let shop = Shop::new("pack-refused");
    shop.write("pilotlight.toml", &MANIFEST.replace("${secret:token}", "${secret:other}"));
    shop.refused(2, "${secret:other} is no secret of this release");
    shop.write("pilotlight.toml", &MANIFEST.replace("${secret-file:edge-key}", "edge.key"));
    shop.write("edge.key", "-----BEGIN PRIVATE KEY-----\n");
    shop.refused(2, "edge.key is a private key");
    shop.write("pilotlight.toml", &MANIFEST.replace("filters/auth.lua", "../auth.lua"));
    shop.write("../auth.lua", "return {}\n");
    shop.refused(2, "is outside of the release's folder");
    shop.write("pilotlight.toml", &MANIFEST.replace("edge.pem", "/etc/edge/edge.pem"));
    assert_eq!(shop.pack("left").0, 0);
    shop.write("pilotlight.toml", &MANIFEST.replace("lua = ", "lau = "));
    shop.refused(2, "did you mean \"lua\"?");
    shop.write("pilotlight.toml", &MANIFEST.replace("filters/auth.lua", "filters/none.lua"));
    shop.refused(2, "cannot read the script \"filters/none.lua\"");
    shop.write("pilotlight.toml", MANIFEST);
    shop.write("fleet.toml", "kind = \"fleet\"\nvars = { greeting = \"hi\" }\n");
    shop.refused(2, "the tests need a value for ${fleet:address}");
    shop.write("fleet.toml", "kind = \"fleet\"\nvars = { greeting = \"no\", address = \"127.0.0.1:0\", cache = \"c\" }\n");
    shop.refused(1, "the tests do not pass");
    shop.write("public/a b.html", "x");
    shop.refused(2, "cannot be in a release");
    let (code, _, err) = shop.run(&["pack", "--key", "release.pub", "-o", "refused"]);
    assert!(code == 2 && err.contains("is no private key"), "{err}");
    let (code, _, err) = shop.run(&["push", "left", "ftp://x"]);
    assert!(code == 2 && err.contains("no place for content"), "{err}");
}

/// Bytes of a module; of two of them most are the same.
fn module(mark: &str) -> Vec<u8> {
    let mut state = 5u32;
    let mut bytes: Vec<u8> = (0..40_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    bytes.splice(20_000..20_010, mark.bytes());
    bytes
}

#[test]
fn modules_are_compiled_for_each_target_and_shipped_as_what_differs() {
    let shop = Shop::new("pack-targets");
    let compiler = "#!/bin/sh\ncase $1 in\nversion) echo pilotlight 0.1.0;;\n\
        compile) grep -q BROKEN \"$2\" && { echo no module >&2; exit 2; }\n\
        { printf %s \"${6:-here}\"; cat \"$2\"; } >\"$4\";;\n\
        test) grep -q ^here modules/m.cwasm;;\nesac\n";
    shop.write("gateway", compiler);
    shop.write("pilotlight.toml", &format!("{MANIFEST}[modules.m]\nwasm = \"modules/m.cwasm\"\n"));
    let pack = |version: &str, mark: &str| {
        shop.write("release.toml", &RELEASE.replace("1.42.0", version));
        fs::create_dir_all(shop.0.join("modules")).unwrap();
        fs::write(shop.0.join("modules/m.wasm"), module(mark)).unwrap();
        let targets = ["--target", "x86_64-unknown-linux-gnu", "--target", "pulley32"];
        let arguments = ["pack", "--key", "release.key", "-o", "out", "--gateway", "gateway"];
        let (code, out, err) = shop.run(&[&arguments[..], &targets].concat());
        assert_eq!(code, 0, "{out}{err}");
        let tree = shop.tree("out");
        let signed = tree[&format!("releases/shop-edge/{version}")].clone();
        let signed = String::from_utf8(signed).unwrap();
        serde_json::from_str::<serde_json::Value>(signed.split_once("\n\n").unwrap().1).unwrap()
    };
    let one = pack("1.0.0", "one");
    assert_eq!(one["needs"].to_string().matches("Equal").count(), 1, "{}", one["needs"]);
    assert!(one["files"].as_object().unwrap().keys().all(|name| !name.contains("modules")));
    let code = |release: &serde_json::Value, target: &str| {
        release["targets"][target]["modules/m.cwasm"]["digest"].as_str().unwrap().to_owned()
    };
    let blob = |digest: &str| shop.tree("out")[&format!("blobs/{}", &digest[7..])].clone();
    assert!(blob(&code(&one, "pulley32")).starts_with(b"pulley32"));
    assert!(blob(&code(&one, "x86_64-unknown-linux-gnu")).starts_with(b"x86_64"));
    // They do not compress, and there was nothing before.
    assert!(one.get("packed").is_none(), "{}", one["packed"]);
    let two = pack("1.1.0", "two");
    for target in ["pulley32", "x86_64-unknown-linux-gnu"] {
        let ways = two["packed"][&code(&two, target)].as_array().unwrap();
        assert_eq!((ways.len(), ways[0]["from"].as_str()), (1, Some(&*code(&one, target))));
        let size = ways[0]["size"].as_u64().unwrap();
        assert!(size < 1000, "{size}");
        assert_eq!(blob(ways[0]["digest"].as_str().unwrap()).len() as u64, size);
    }
    // The same again is the same bytes, and all of it is pushed.
    let before = shop.tree("out");
    pack("1.1.0", "two");
    assert!(shop.tree("out") == before);
    assert_eq!(shop.run(&["push", "out", "web"]).0, 0);
    assert!(shop.tree("web") == before);
    // What does not compile is said.
    fs::write(shop.0.join("modules/m.wasm"), b"BROKEN").unwrap();
    let (code, _, err) = shop.run(&[
        "pack",
        "--key",
        "release.key",
        "-o",
        "no",
        "--gateway",
        "gateway",
        "--target",
        "x",
    ]);
    assert!(code == 1 && err.contains("modules/m.cwasm for x: no module"), "{err}");
}
