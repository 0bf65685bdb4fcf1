//! Real clients against the real binary: curl, aioquic, WebSocket and gRPC.

use std::path::PathBuf;

use tokio::process::Command;

use crate::support::gateway::binary;

mod aioquic;
mod curl;
pub mod grpc;
mod scaler;
mod websocket;

/// Python with some packages, in an environment of its own beside the build.
async fn python(name: &str, packages: &[&str]) -> PathBuf {
    let folder = binary().ancestors().nth(2).unwrap().join("tmp").join(name);
    let python = folder.join("bin/python");
    let ready = folder.join("ready");
    if !ready.exists() {
        let made =
            Command::new("python3").args(["-m", "venv"]).arg(&folder).status().await.unwrap();
        assert!(made.success(), "python3 -m venv failed");
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
        assert!(pip.status().await.unwrap().success(), "pip could not install {packages:?}");
        std::fs::write(ready, "").unwrap();
    }
    python
}
