//! The container's image: built from a package, offline past the libraries, and run.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::{Scratch, packages, packaging, refused, said};

fn buildah(store: &Scratch) -> Command {
    let mut buildah = Command::new("buildah");
    buildah.arg("--root").arg(store.at("store")).arg("--runroot").arg(store.at("run"));
    buildah.args(["--storage-driver", "vfs"]);
    buildah
}

#[test]
fn the_image_has_the_gateway_and_nothing_else() {
    let scratch = Scratch::new("image");
    let context = scratch.at("context");
    let mut build = Command::new(packaging().join("build"));
    said(build.args(["oci", "--deb"]).arg(&packages()[0]).arg("-o").arg(&context));
    // Nothing is fetched and nothing is run.
    let mut bud = buildah(&scratch);
    bud.args([
        "bud",
        "--isolation",
        "chroot",
        "--format",
        "docker",
        "--pull-never",
        "--tag",
        "edge",
    ]);
    said(bud.arg("--file").arg(context.join("Containerfile")).arg(&context));
    let told = said(buildah(&scratch).args(["inspect", "--type", "image", "edge"]));
    let told: Value = serde_json::from_str(&told).unwrap();
    let config = &told["Docker"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"][0], "/usr/bin/pilotlight");
    assert_eq!(config["Healthcheck"]["Test"][2], "status");
    assert_eq!(config["StopSignal"], "SIGTERM");

    let container = said(buildah(&scratch).args(["from", "--pull-never", "edge"]));
    let folder = said(buildah(&scratch).args(["mount", container.trim()]));
    let folder = Path::new(folder.trim());
    for absent in ["bin", "usr/bin/sh", "usr/bin/apt", "usr/bin/dpkg"] {
        assert!(!folder.join(absent).join("sh").exists() && !folder.join(absent).is_file());
    }
    runs(folder);
    said(buildah(&scratch).args(["rm", "--all"]));
    said(buildah(&scratch).args(["rmi", "--all", "--force"]));
}

#[test]
fn a_context_takes_no_folder_that_is_somebody_elses() {
    let scratch = Scratch::new("context");
    scratch.write("root/notes", "mine\n");
    let build = |arguments: &[&str]| {
        let mut build = Command::new(packaging().join("build"));
        build.args(["oci", "--deb", "none.deb"]).args(arguments).current_dir(scratch.at("."));
        refused(&mut build)
    };
    let said = build(&[]);
    assert!(said.contains("oci needs -o"), "{said}");
    let said = build(&["-o", "."]);
    assert!(said.contains("neither empty nor a context"), "{said}");
    assert_eq!(fs::read_to_string(scratch.at("root/notes")).unwrap(), "mine\n");
    assert_eq!(fs::read_dir(scratch.at(".")).unwrap().count(), 1);
}

/// As whom it runs, and with what it has.
fn inside(folder: &Path) -> Command {
    let mut chroot = Command::new("chroot");
    chroot.arg("--userspec=65532:65532").arg(folder).arg("/usr/bin/pilotlight");
    chroot
}

fn runs(folder: &Path) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let manifest = folder.join("etc/pilotlight/pilotlight.toml");
    let text = fs::read_to_string(&manifest).unwrap().replace("[::]:8080", &address.to_string());
    fs::write(&manifest, text).unwrap();
    let file = "/etc/pilotlight/pilotlight.toml";
    let mut gateway = inside(folder).arg("run").arg(file).spawn().unwrap();
    let up = (0..200).any(|_| {
        std::thread::park_timeout(Duration::from_millis(50));
        TcpStream::connect(address).is_ok()
    });
    // What the health check runs.
    let healthy = inside(folder).arg("status").arg(file).output().unwrap();
    let pid = gateway.id().to_string();
    drop(Command::new("kill").args(["-TERM", &pid]).status());
    let ended = gateway.wait().unwrap();
    assert!(up && healthy.status.success(), "{}", String::from_utf8_lossy(&healthy.stderr));
    assert!(ended.success(), "{ended}");
    assert!(!inside(folder).arg("status").arg(file).output().unwrap().status.success());
}
