//! KEDA's external scaler, asked by gRPC's own client.

use std::time::Duration;

use tokio::process::Command;

use super::python;
use crate::support::gateway::Setup;
use crate::support::upstream::Step;
use crate::support::{Script, Upstream, free_address, run};

#[test]
fn keda_is_told_what_waits() {
    run(async {
        let mut slow = Script::ok("late");
        slow.steps.insert(0, Step::Pause(Duration::from_secs(2)));
        let upstream = Upstream::always(slow).await;
        let scaler = free_address();
        let rest = format!(
            "[[listeners]]\nname = \"scaler\"\naddress = \"{scaler}\"\nprotocols = [\"http2\"]\n\
             [[routes]]\nmatch = {{ listeners = [\"scaler\"], path = \"/externalscaler.ExternalScaler/*\" }}\n\
             filters = [\"scaler\"]\n[filters.scaler]\nuse = \"scaler\"\n\
             [[routes]]\nmatch = {{ path = \"/held\" }}\nupstream = \"app\"\n\
             [upstreams.app]\nendpoints = [\"http://{}\"]\nbreaker = {{ max_requests = 6 }}\n",
            upstream.address
        );
        let gateway = Setup::new(rest).quiet().start().await;
        let python = python("grpcio", &["grpcio==1.85.1", "grpcio-tools==1.85.1"]).await;
        let mut client = Command::new(python);
        client.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/scaler_client.py"));
        client.arg(scaler.to_string()).arg(gateway.clear.to_string());
        let output = tokio::time::timeout(Duration::from_secs(60), client.output()).await;
        let output = output.unwrap().unwrap();
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}\n{errors}");
        let wanted = "spec pilotlight-load-upstream-app 3 2.5\nidle False (0.0, 0)\nbefore (0.0, 0) (0.0, 0)\nalone (0.0, 0) False\nstream False\nstream True\n\
            busy (3.0, 3) (3.0, 3) (0.0, 0)\nused (50.0, 50)\nstream False\nlatency True\ngateway True (0.0, 0)\n\
            INVALID_ARGUMENT target is missing\n\
            INVALID_ARGUMENT the gateway has no such route or upstream\n\
            INVALID_ARGUMENT metric is none of load, in-flight, queue, utilization, latency\n\
            INVALID_ARGUMENT the route has no admission, so its requests are not counted\n\
            INVALID_ARGUMENT target is not a number from 0 on\nUNIMPLEMENTED no such method\n";
        assert_eq!(said, wanted);
    });
}
