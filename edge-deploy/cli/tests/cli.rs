//! The binary, from outside: what it prints and how it ends.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn edge_deploy(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edge-deploy")).args(arguments).output().unwrap()
}

/// A folder that `init` has begun, and that is gone when the test is.
struct Begun(PathBuf);

impl Begun {
    fn new(name: &str) -> Begun {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        let output = edge_deploy(&["init", folder.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        Begun(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn simulate(&self, nodes: &str, more: &[&str]) -> (i32, String, String) {
        let rollout = self.file("rollout.toml");
        let arguments = [&["simulate", &rollout, "--nodes", nodes], more].concat();
        said(&edge_deploy(&arguments))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_init_writes_is_right_and_can_be_simulated() {
    let begun = Begun::new("begun");
    let names = ["release", "rollout", "fleet", "node", "controller", "faults"];
    let files: Vec<_> = names.iter().map(|name| begun.file(&format!("{name}.toml"))).collect();
    let arguments: Vec<_> = ["check"].into_iter().chain(files.iter().map(String::as_str)).collect();
    assert_eq!(said(&edge_deploy(&arguments)), (0, String::new(), String::new()));

    let faults = begun.file("faults.toml");
    let (code, out, err) = begun.simulate("500", &["--faults", &faults, "--seed", "3"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for line in
        ["edge@1.0.0 to 500 nodes in 5 groups", "canary", "wave canary passes", "done after"]
    {
        assert!(out.contains(line), "{line}\n{out}");
    }
    // A second time the folder is left as it is.
    assert_eq!(edge_deploy(&["init", begun.0.to_str().unwrap()]).status.code(), Some(1));
}

#[test]
fn a_bad_release_fails_the_command() {
    let begun = Begun::new("bad");
    let faults = begun.file("bad.toml");
    std::fs::write(&faults, "kind = \"faults\"\nfails = { crash_loop = \"50%\" }\n").unwrap();
    let (code, out, _) = begun.simulate("500", &["--faults", &faults, "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &summary["outcome"], &summary["running"]),
        (1, &"reverted".into(), &0.into())
    );
    // The same seed is the same run.
    assert_eq!(begun.simulate("500", &["--faults", &faults, "--json"]).1, out);
}

#[test]
fn mistakes_end_with_two() {
    let begun = Begun::new("mistakes");
    for arguments in
        [&["simulate"][..], &["fly"], &["simulate", "--nodes", "0"], &["init"], &["check"]]
    {
        let (code, out, err) = said(&edge_deploy(arguments));
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains("hint: "), "{err}");
    }
    std::fs::write(begun.file("rollout.toml"), "kind = \"rollout\"\nrelaese = \"a@1\"\n").unwrap();
    let (code, _, err) = begun.simulate("5", &[]);
    assert_eq!(code, 2);
    assert!(err.contains("rollout.toml:2:1: unknown key \"relaese\""), "{err}");
    assert!(err.contains("^^^^^^^") && err.contains("did you mean \"release\"?"), "{err}");
    let (code, _, err) = said(&edge_deploy(&["check", &begun.file("none.toml")]));
    assert_eq!((code, err.contains("none.toml")), (2, true), "{err}");
}

#[test]
fn keys_come_in_pairs_and_are_not_overwritten() {
    use std::os::unix::fs::MetadataExt as _;
    let begun = Begun::new("keys");
    let name = begun.file("release");
    let (code, out, _) = said(&edge_deploy(&["keys", "new", &name]));
    assert_eq!(code, 0, "{out}");
    assert_eq!(std::fs::metadata(format!("{name}.key")).unwrap().mode() & 0o777, 0o600);
    let public = std::fs::read_to_string(format!("{name}.pub")).unwrap();
    assert!(
        public.starts_with("pilotlight-ed25519 ") && public.ends_with(" release\n"),
        "{public}"
    );
    assert_eq!(said(&edge_deploy(&["keys", "new", &name])).0, 1);
    assert_eq!(std::fs::read_to_string(format!("{name}.pub")).unwrap(), public);
    assert_eq!(said(&edge_deploy(&["keys", "new", &begun.file("a b")])).0, 2);
}

#[test]
fn a_chain_of_roots_is_made_on_several_machines() {
    let begun = Begun::new("roots");
    for name in ["ann", "bob", "cleo", "ci", "new"] {
        assert_eq!(said(&edge_deploy(&["keys", "new", &begun.file(name)])).0, 0);
    }
    let file = |name: &str| begun.file(name);
    let [ann, bob, cleo, ci, new] =
        ["ann", "bob", "cleo", "ci", "new"].map(|name| begun.file(&format!("{name}.pub")));
    let (ann_key, bob_key, content) = (file("ann.key"), file("bob.key"), file("content"));
    let root = |more: &[&str]| {
        let arguments = ["keys", "root", "--root", &ann, "--root", &bob, "--root-threshold", "2"];
        let arguments = [&arguments[..], &["--release", &ci, "-o", &content], more].concat();
        said(&edge_deploy(&arguments))
    };
    // One signature is half of it.
    let (code, out, err) = root(&["--key", &ann_key]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("it does not count yet: signed by 1 of the trusted keys"), "{out}");
    let first = file("content/roots/1");
    let (code, out, _) = said(&edge_deploy(&["keys", "sign", &first, "--key", &bob_key]));
    assert_eq!((code, out.as_str()), (0, "root 1: 2 signatures\n"));
    // Bob goes, Cleo comes; another key signs releases.
    let arguments = ["keys", "rotate", &first, "--root", &ann, "--root", &cleo, "--release", &new];
    let signs = ["--key", &ann_key, "--key", &bob_key, "-o", &content, "--days", "10"];
    let (code, out, _) = said(&edge_deploy(&[&arguments[..], &signs].concat()));
    assert!(code == 0 && out.contains("does not count yet"), "{out}");
    let second = file("content/roots/2");
    let cleo_key = file("cleo.key");
    // Nodes would have to pass over it.
    let (code, _, err) = said(&edge_deploy(&["push", &content, &file("web")]));
    assert!(
        code == 2 && err.contains("root 2 does not count") && err.contains("keys sign"),
        "{err}"
    );
    assert_eq!(said(&edge_deploy(&["keys", "sign", &second, "--key", &cleo_key])).0, 0);
    let (code, out, _) = said(&edge_deploy(&["keys", "show", &first, &second, &ann]));
    assert_eq!(code, 0, "{out}");
    assert_eq!(out.matches("it counts").count(), 2, "{out}");
    assert!(out.contains("2 of these sign roots") && out.contains("(cleo)"), "{out}");
    assert!(out.contains("public key") && out.contains("signed by"), "{out}");
    // What is there stays as it is, and what cannot be is refused.
    assert_eq!(root(&["--key", &ann_key]).0, 1);
    assert_eq!(root(&["--key", &ann_key, "--threshold", "2"]).0, 2);
    assert_eq!(root(&[]).0, 2);
    assert_eq!(said(&edge_deploy(&["keys", "show", &file("node.toml")])).0, 2);
    // Roots are pushed, and a node's manifest takes one.
    let web = file("web");
    let (code, out, _) = said(&edge_deploy(&["push", &content, &web]));
    assert_eq!((code, out.as_str()), (0, "root 1\nroot 2\n"));
    assert_eq!(std::fs::read(file("web/roots/2")).unwrap(), std::fs::read(&second).unwrap());
    // Each under its own number.
    let odd = file("odd");
    std::fs::create_dir_all(file("odd/roots")).unwrap();
    std::fs::copy(&first, file("odd/roots/7")).unwrap();
    let (code, _, err) = said(&edge_deploy(&["push", &odd, &web]));
    assert!(code == 2 && err.contains("roots/7 is root 1"), "{err}");
}

#[test]
fn help_and_version() {
    let (code, out, _) = said(&edge_deploy(&["version"]));
    assert_eq!((code, out), (0, format!("edge-deploy {}\n", env!("CARGO_PKG_VERSION"))));
    let (code, out, _) = said(&edge_deploy(&["help"]));
    assert!(code == 0 && out.contains("simulate [rollout.toml] --nodes N"), "{out}");
}
