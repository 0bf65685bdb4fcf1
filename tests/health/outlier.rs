//! Endpoints whose answers are errors.

use super::*;
use crate::support::run;
use crate::tcp;

#[test]
fn errors_in_a_row_eject_an_endpoint_for_a_while() {
    run(async {
        let (a, b) = (Server::start("a").await, Server::start("b").await);
        let keys = "outlier = { errors = 3, window = \"10s\", eject = \"400ms\" }";
        let (at, setup) = gateway(&[a.address, b.address], keys);
        let gateway = setup.start().await;
        a.status(500);
        assert_eq!(who(&gateway, 24).await, "500 b");
        let line = gateway.logged(&["\"endpoint ejected\"", "\"seconds\":\"0.4\""]).await.unwrap();
        assert!(line.contains(&a.address.to_string()), "{line}");
        assert_eq!(who(&gateway, 6).await, "b");
        shows(at, "/status", "\"state\":\"ejected\"").await;
        shows(at, "/metrics", "to=\"ejected\"} 1").await;
        gateway.logged(&["\"endpoint returned\""]).await.unwrap();
        // It fails again, and is out for twice as long.
        who(&gateway, 24).await;
        gateway.logged(&["\"endpoint ejected\"", "\"seconds\":\"0.8\""]).await.unwrap();
        a.status(200);
        shows(at, "/metrics", "to=\"returned\"} 2").await;
        assert_eq!(who(&gateway, 8).await, "a b");
    });
}

#[test]
fn an_answer_between_errors_begins_anew_and_the_last_one_stays() {
    run(async {
        let (a, b) = (Server::start("a").await, Server::start("b").await);
        let keys = "outlier = { errors = 4, eject = \"1h\" }";
        let (_, mut setup) = gateway(&[a.address, b.address], keys);
        setup.gateway = setup.gateway.replace("workers = 2", "workers = 1");
        let gateway = setup.start().await;
        for _ in 0..5 {
            for status in [500, 500, 200] {
                a.status(status);
                who(&gateway, 2).await;
            }
        }
        assert_eq!(times(&gateway, "endpoint ejected"), 0);
        a.status(502);
        b.status(503);
        who(&gateway, 40).await;
        // No more than half of them.
        assert_eq!(times(&gateway, "endpoint ejected"), 1);
    });
}

#[test]
fn connections_that_fail_count_too_without_http_as_well() {
    run(async {
        let (at, live, dead) = (free_address(), tcp::echo().await, free_address());
        let a = Server::start("a").await;
        let out = "outlier = { errors = 2, eject = \"1h\" }";
        let rest = format!(
            "{out}\n[upstreams.app]\nendpoints = [\"http://{dead}\", \"http://{}\"]\n{out}\n",
            a.address
        );
        let mut setup = tcp::setup(at, "", &[dead, live], &rest);
        setup.rest = setup.rest.replace("respond = { body = \"http\" }", "upstream = \"app\"");
        let gateway = setup.start().await;
        for _ in 0..8 {
            let mut stream = tcp::connect(at).await;
            tcp::say(&mut stream, "hello").await;
            tcp::hear(&mut stream, "hello").await;
        }
        gateway.logged(&["\"endpoint ejected\"", "\"echo\""]).await.unwrap();
        assert_eq!(who(&gateway, 8).await, "502 a");
        gateway.logged(&["\"endpoint ejected\"", "\"app\""]).await.unwrap();
        assert_eq!(who(&gateway, 8).await, "a");
    });
}

/// A client that takes too long with its body has nothing to do with the endpoint; one that is silent has.
#[test]
fn slow_clients_eject_nobody() {
    run(async {
        let mut sinks = Vec::new();
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sinks.push(listener.local_addr().unwrap());
            tokio::spawn(async move {
                let mut open = Vec::new();
                while let Ok((stream, _)) = listener.accept().await {
                    open.push(stream);
                }
            });
        }
        let (_, mut setup) = gateway(&sinks, "outlier = { errors = 1, eject = \"1h\" }");
        setup.rest =
            setup.rest.replace("[[routes]]\n", "[[routes]]\ntimeouts = { total = \"200ms\" }\n");
        let gateway = setup.start().await;
        for _ in 0..3 {
            let mut stream = tokio::net::TcpStream::connect(gateway.clear).await.unwrap();
            let head = "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 10\r\n\r\nx";
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            soon("an answer", stream.read_exact(&mut answer)).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 504");
        }
        assert_eq!(times(&gateway, "endpoint ejected"), 0);
        get(&gateway).await.assert(504);
        gateway.logged(&["\"endpoint ejected\""]).await.unwrap();
    });
}
