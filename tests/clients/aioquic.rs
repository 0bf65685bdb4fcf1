//! HTTP/3 by aioquic, a client that shares no line with us.

use tokio::process::Command;

use super::python;
use crate::support::gateway::Setup;
use crate::support::{Script, Upstream, certificate, run};

#[test]
fn gets_posts_and_many_streams() {
    run(async {
        let upstream = Upstream::always(Script::ok("hello")).await;
        let rest = format!(
            "[[routes]]\nmatch = {{ path = \"/files/*\" }}\nfiles = \"www\"\n[[routes]]\nmatch = {{ path = \"/*\" }}\n\
             upstream = \"app\"\n[upstreams.app]\nendpoints = [\"http://{}\"]\n",
            upstream.address
        );
        let gateway = Setup::new(rest).file("www/large.bin", vec![b'x'; 3 << 20]).start().await;
        let authority = gateway.folder.write("ca.pem", certificate::authority_pem());
        let mut client = Command::new(python("aioquic", &["aioquic==1.7.2"]).await);
        client.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/h3_client.py"));
        client.arg(gateway.tls.ip().to_string()).arg(gateway.tls.port().to_string()).arg(authority);
        // The rest of this loop is the upstream: it must not be held up.
        let output = tokio::time::timeout(std::time::Duration::from_secs(60), client.output())
            .await
            .unwrap()
            .unwrap();
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}\n{errors}");
        assert_eq!(
            said.trim(),
            "get 200 hello\npost 200 hello\nfile 200 3145728\nrange 206 5\nmany 50"
        );
        let posted = upstream.requests().into_iter().find(|r| r.line.starts_with("POST")).unwrap();
        assert_eq!(posted.length, 1 << 20);
        assert!(posted.whole);
        assert_eq!(posted.field("via"), Some("3 pilotlight"));
    });
}
