//! Datagrams, options and TLS of scripts' sockets.

use crate::net::Step::*;
use crate::sockets::*;

#[test]
fn datagrams() {
    let script = "local u = ngx.socket.udp() all(u:send 'x') all(u:receive())
        all(u:setpeername('192.0.2.1', 53)) all(u:send { 'a', 1 }) all(u:receive()) all(u:receive(2))
        u:settimeout(1) all(u:receive()) all(u:receive()) all(u:close()) all(u:close())
        all(u:setpeername('192.0.2.1', 70000)) all(u:setpeername('gone.test', 1)) all(u:bind 'x') all(u:bind '192.0.2.9')
        all(u:setpeername('unix:/run/u'))";
    let rig = access(script);
    rig.world.net.peer(
        "192.0.2.1:53",
        &[Hear("a1"), Pause(2), Say("hello"), Say("world"), Pause(30), Reset],
    );
    rig.world.net.peer("unix:/run/u", &[]);
    rig.request().0.unwrap();
    let (said, errors) = said(&rig);
    assert_eq!(
        said,
        [
            "nil closed",
            "nil closed",
            "1",
            "1",
            "hello",
            "wo",
            "nil timeout",
            "nil connection reset by peer",
            "1",
            "nil closed",
            "nil bad port number: 70000",
            "nil gone.test could not be resolved (3: Host not found)",
            "nil bad address",
            "1",
            "1",
        ]
    );
    assert!(
        errors[2].starts_with("lua udp socket read timed out, upstream: 192.0.2.1:53(192.0.2.1)"),
        "{errors:?}"
    );
    assert!(errors[3].starts_with(
        "recv() failed (104: Connection reset by peer), upstream: 192.0.2.1:53(192.0.2.1)"
    ));
}

#[test]
fn options_and_fields() {
    let script = "local s = open() all(s:setoption('keepalive', true)) all(s:getoption('keepalive')) all(s:setoption('sndbuf', -1))
        all(s:getoption('x')) all(s:setoption('x', 1)) all(s:getoption()) all(s:setoption('sndbuf')) all(s:getfd())
        s.name = 'mine' all(s.name) all(s:setoption('ip-transparent', true))";
    assert_eq!(
        talk(&[], script),
        [
            "true",
            "1",
            "nil invalid argument",
            "nil unsupported option x",
            "nil unsupported option x",
            "nil missing the \"option\" argument",
            "nil missing the \"value\" argument",
            "7",
            "mine",
            "true",
        ]
    );
}

#[test]
fn tls() {
    let script = "local s = open() local sess = s:sslhandshake() all(type(sess)) all(s:sslhandshake(sess) == sess) all(s:sslhandshake(false))
        all(type(s:getsslsession())) all(s:setkeepalive())
        local t = open(81) all(type(t:sslhandshake(sess, 'b.test', true))) all(s:getsslsession())
        local u = open(82) all(u:sslhandshake(false, 'c.test', true)) all(u:receive())
        local v = open(83) v:settimeout(5) all(v:sslhandshake()) all(v:close()) all(open(84):getsslsession())
        all(pcall(function() return sess.x end)) all(pcall(function() return sess + 1 end))";
    let settings = "{\"ssl\":{\"ca\":\"/etc/ca.pem\",\"protocols\":[\"TLSv1.3\"]}}";
    let rig = dialect(&[("access", script)], settings);
    rig.world.delay.set(20);
    let net = &rig.world.net;
    net.peer("192.0.2.1:80", &[Tls(Ok(()))]);
    net.peer("192.0.2.1:81", &[Tls(Ok(()))]);
    net.peer("192.0.2.1:82", &[Tls(Err((20, "unable to get local issuer certificate")))]);
    net.peer("192.0.2.1:83", &[]);
    net.peer("192.0.2.1:84", &[]);
    rig.request().0.unwrap();
    let notes: Vec<_> = net.noted().into_iter().filter(|note| note.starts_with("tls")).collect();
    let (said, errors) = said(&rig);
    assert_eq!(
        said[..9],
        [
            "cdata",
            "true",
            "true",
            "cdata",
            "1",
            "cdata",
            "nil closed",
            "nil 20: unable to get local issuer certificate",
            "nil closed",
        ]
    );
    assert_eq!(said[9..12], ["nil timeout", "nil closed", "nil no session"]);
    assert!(said[12..].iter().all(|line| line.starts_with("false ")), "{said:?}");
    assert!(errors[0].starts_with("lua ssl certificate verify error: (20: unable to get local issuer certificate), upstream: 192.0.2.1:82(192.0.2.1)"));
    assert_eq!(
        notes,
        [
            "tls None verify false ca Some(\"/etc/ca.pem\") client None session None",
            "tls Some(\"b.test\") verify true ca Some(\"/etc/ca.pem\") client None session Some(\"session of \")",
            "tls Some(\"c.test\") verify true ca Some(\"/etc/ca.pem\") client None session None",
            "tls None verify false ca Some(\"/etc/ca.pem\") client None session None",
        ]
    );
}

#[test]
fn client_certificates_that_are_none() {
    let script = "local s = ngx.socket.tcp() all(s:setclientcert('a', 'b')) all(s:setclientcert(nil, 'b')) all(s:setclientcert('a')) all(s:setclientcert())";
    let missing = "nil client certificate must be supplied with corresponding private key";
    let want = ["nil bad cert arg: cdata expected, got string", missing, missing, "true"];
    assert_eq!(talk(&[], script), want);
}

#[test]
fn certificates_that_servers_show() {
    let script = "local from = require 'resty.openssl.ssl'.from_socket
        local s = open() all(from(s)) s:sslhandshake() local ssl = from(s)
        all(ssl:get_peer_certificate()) all(ssl:get_peer_cert_chain()) s:close() all(from(s))";
    let want = [
        "nil ssl.from_socket: no certificate was shown",
        "nil x509.new: not a certificate",
        "nil x509.new: not a certificate",
        "nil ssl.from_socket: closed",
    ];
    assert_eq!(talk(&[Tls(Ok(()))], script), want);
}

#[test]
fn certificates_and_keys_are_opaque() {
    let script = "local ssl = require 'ngx.ssl'
        local b = function(label) return '-----BEGIN ' .. label .. '-----\\nYWJj\\n-----END ' .. label .. '-----\\n' end
        local cert, key = ssl.parse_pem_cert(b 'CERTIFICATE'), ssl.parse_pem_priv_key(b 'PRIVATE KEY')
        all(type(cert), type(key), ssl.cert_pem_to_der(b 'CERTIFICATE'), ssl.priv_key_pem_to_der(b 'PRIVATE KEY'))
        all(ssl.parse_pem_cert 'x') all(ssl.parse_pem_priv_key 'x') all(type(ssl.parse_der_cert 'x'), type(ssl.parse_der_priv_key 'x'))
        local s = open() all(s:setclientcert(cert, key)) all(type(s:sslhandshake())) all(pcall(ssl.parse_pem_cert))";
    let rig = access(script);
    rig.world.net.peer("192.0.2.1:80", &[Tls(Ok(()))]);
    rig.request().0.unwrap_or_else(|fault| panic!("{fault}"));
    let (said, _) = said(&rig);
    assert_eq!(
        said[..6],
        [
            "cdata cdata abc abc",
            "nil PEM_read_bio_X509_AUX() failed",
            "nil PEM_read_bio_PrivateKey() failed",
            "nil cdata",
            "true",
            "cdata",
        ]
    );
    assert!(
        said[6].ends_with("bad argument #1 to 'parse_pem_cert' (string expected, got nil)"),
        "{said:?}"
    );
    let notes = rig.world.net.noted();
    assert!(notes[1].contains("client Some((1, 3))"), "{notes:?}");
}
