//! OpenResty's libraries as Debian packages them, and `gateway.redis`: in the real gateway, against real
//! servers. `run` beside this file has the others, too, where they are at hand.

use std::process::Command;

use crate::support::gateway::binary;
use crate::tidy::root;

const LIBRARIES: [&str; 11] = [
    "cookie",
    "dns",
    "gateway.redis",
    "kafka",
    "lrucache",
    "memcached",
    "redis",
    "redis-connector",
    "string",
    "websocket",
    "websocket-server",
];

#[test]
fn libraries_run_unmodified() {
    let got = Command::new(root().join("tools/libraries")).output().unwrap();
    let why = String::from_utf8_lossy(&got.stderr);
    assert!(got.status.success(), "the libraries are not to be had:\n{why}");
    let folder = String::from_utf8(got.stdout).unwrap();
    let mut run = Command::new("python3");
    run.arg(root().join("tests/libraries/run")).args(LIBRARIES);
    run.env("LUALIB", folder.trim()).env("PILOTLIGHT", binary());
    let ran = run.output().unwrap();
    let (said, errors) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}{errors}");
}
