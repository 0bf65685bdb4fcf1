//! What the tests stand on: the gateway as a process, upstreams that follow a script, and clients
//! of three protocols that tell a whole message from a broken one.

pub mod ahead;
pub mod certificate;
pub mod folder;
pub mod gateway;
pub mod h1;
pub mod h2;
pub mod h3;
pub mod message;
pub mod upstream;

pub use certificate::Certificate;
pub use folder::Folder;
pub use gateway::Gateway;
pub use message::{Answer, Client, Request};
pub use upstream::{Script, Upstream};

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Nothing that a test waits for takes longer on a machine that is busy with other work, or on one that is
/// emulated (`PILOTLIGHT_PATIENCE`, in seconds).
pub static PATIENCE: LazyLock<Duration> = LazyLock::new(|| {
    let seconds = std::env::var("PILOTLIGHT_PATIENCE").map_or(COMMON, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
});

/// Seconds of patience with this machine.
const COMMON: u64 = 20;

/// A pause in which the gateway is to get somewhere: longer where it takes longer.
pub fn paced(pause: Duration) -> Duration {
    pause * u32::try_from(PATIENCE.as_secs() / COMMON).unwrap().max(1)
}

/// Whether the machine is quiet and the suite may take its time (`PILOTLIGHT_FULL=1`).
pub fn full() -> bool {
    std::env::var_os("PILOTLIGHT_FULL").is_some()
}

/// Runs a test's future on a loop of its own, with what it puts beside itself (`spawn_local`).
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let out = runtime.block_on(tokio::task::LocalSet::new().run_until(test));
    runtime.shutdown_background();
    out
}

/// Waits for a future, but not for ever; `what` says what did not come.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(*PATIENCE, future).await {
        Ok(out) => out,
        Err(_) => panic!("{what}: nothing within {:?}", *PATIENCE),
    }
}

/// A loopback address that no other test has, with a port that was free a moment ago. Gateways
/// share ports by SO_REUSEPORT, so a port alone would not keep two tests apart.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let [_, a, b, c] = (process << 10 ^ number).to_be_bytes();
    let ip = Ipv4Addr::new(127, a.clamp(1, 254), b, c.clamp(1, 254));
    let held = TcpListener::bind((ip, 0)).unwrap();
    held.local_addr().unwrap()
}
