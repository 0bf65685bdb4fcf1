//! RFC 9457: what a client sees when something is wrong.

use crate::support::message::{ALL, Protocol, ask};
use crate::support::{Gateway, Request, free_address, run};

async fn gateway() -> Gateway {
    Gateway::start(format!(
        "[[routes]]\nmatch = {{ path = \"/down\" }}\nupstream = \"app\"\n[upstreams.app]\nendpoints = [\"http://{}\"]\n",
        free_address()
    ))
    .await
}

#[test]
fn the_members_agree_with_the_message() {
    run(async {
        let gateway = gateway().await;
        for protocol in ALL {
            for (path, status, title) in
                [("/down", 502, "Bad Gateway"), ("/none", 404, "Not Found")]
            {
                let answer = ask(protocol, &gateway, &Request::get(path)).await;
                assert_eq!(
                    answer.assert(status).field("content-type"),
                    Some("application/problem+json")
                );
                let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(told["status"], status);
                assert_eq!(told["title"], title);
                assert_eq!(told["type"], "about:blank");
                // The id leads to the line of the log.
                let id = told["request_id"].as_str().unwrap();
                assert_eq!(told["instance"], format!("urn:request:{id}"));
                gateway.logged(&[id, &format!("\"status\":{status}")]).await.unwrap();
                // Nothing of the inside.
                assert!(!answer.text().contains("127."), "{answer}");
            }
        }
    });
}

#[test]
fn head_has_no_body_and_says_its_length() {
    run(async {
        let gateway = gateway().await;
        for protocol in ALL {
            let answer = ask(protocol, &gateway, &Request::new("HEAD", "/none")).await;
            answer.assert(404);
            assert!(answer.body.is_empty());
            assert_eq!(answer.field("content-type"), Some("application/problem+json"));
        }
        // And the connection is not out of step.
        let mut client = crate::support::Client::connect(Protocol::H1, &gateway, "a.test").await;
        client.send(&Request::new("HEAD", "/none")).await.assert(404);
        client.send(&Request::get("/none")).await.assert(404);
    });
}
