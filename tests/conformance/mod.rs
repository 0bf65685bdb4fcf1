//! The MUSTs of what we implement, a file for each part of an RFC, a test for each MUST.
//!
//! What must be refused stands in `malformed/`; what is the same over all protocols stands in `cases/`.

pub mod proxy_wasm;
mod rfc9110_13_conditional;
mod rfc9110_15_status;
mod rfc9110_7_6_forwarding;
mod rfc9110_8_fields;
mod rfc9112_2_message;
mod rfc9112_6_body;
mod rfc9112_7_transfer_codings;
mod rfc9112_9_connections;
mod rfc9113_5_streams;
mod rfc9113_6_frames;
mod rfc9113_8_messages;
mod rfc9114_4_messages;
mod rfc9114_6_streams;
mod rfc9209_proxy_status;
mod rfc9457_problem_details;

use crate::support::{Gateway, Script, Upstream, h1};

/// A gateway that forwards everything, and its upstream.
async fn forwarding(script: Script) -> (Gateway, Upstream) {
    let upstream = Upstream::always(script).await;
    let rest = format!(
        "[[routes]]\nmatch = {{ path = \"/*\" }}\nupstream = \"app\"\n[[routes]]\nmatch = {{ path = \"/fixed\" }}\n\
         respond = {{ body = \"fixed\" }}\n[upstreams.app]\nendpoints = [\"http://{}\"]\n",
        upstream.address
    );
    (Gateway::start(rest).await, upstream)
}

/// Writes bytes on a new connection and reads until the gateway closes it.
async fn exchange(gateway: &Gateway, bytes: &str) -> String {
    let mut client = h1::Client::connect(gateway.clear).await;
    client.write(bytes).await;
    String::from_utf8_lossy(&client.rest().await).into_owned()
}
