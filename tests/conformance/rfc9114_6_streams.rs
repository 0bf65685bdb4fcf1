//! RFC 9114 sections 6 and 7.2.8, RFC 9000 section 6: streams and frames without meaning, versions.

use super::forwarding;
use crate::support::h3::quic;
use crate::support::message::{Protocol, ask};
use crate::support::{Request, Script, run, soon};

/// Section 6.2: an unknown kind of stream is no error; section 9: neither is an unknown setting or frame.
#[test]
fn what_is_unknown_is_ignored() {
    run(async {
        let (gateway, _upstream) = forwarding(Script::ok("x")).await;
        let (_endpoint, connection) = quic(gateway.tls, "a.test").await;
        let mut control = connection.open_uni().await.unwrap();
        // SETTINGS with a reserved identifier, then a reserved frame.
        control.write_all(&[0, 4, 2, 0x21, 7, 0x21, 3, 1, 2, 3]).await.unwrap();
        let mut unknown = connection.open_uni().await.unwrap();
        unknown.write_all(&[0x21, 1, 2, 3]).await.unwrap();
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        // A reserved frame, then a request: GET https://a.test/fixed.
        let mut request = vec![0x21, 1, 0];
        let section = [&[0, 0, 0xd1, 0xd7, 0x50, 6][..], b"a.test", &[0x51, 6], b"/fixed"].concat();
        request.extend([1, section.len() as u8]);
        request.extend(section);
        send.write_all(&request).await.unwrap();
        send.finish().unwrap();
        let answer = soon("the answer", recv.read_to_end(10_000)).await.unwrap();
        assert!(answer.ends_with(b"fixed"), "{}", answer.escape_ascii());
    });
}

/// Alt-Svc names the port, and it answers (RFC 7838).
#[test]
fn alt_svc_leads_here() {
    run(async {
        let (gateway, _upstream) = forwarding(Script::ok("x")).await;
        let answer = ask(Protocol::H2, &gateway, &Request::get("/fixed")).await;
        let wanted = format!("h3=\":{}\"", gateway.tls.port());
        assert!(answer.field("alt-svc").is_some_and(|v| v.starts_with(&wanted)), "{answer}");
        ask(Protocol::H3, &gateway, &Request::get("/fixed")).await.assert(200);
    });
}
