//! ngx.req.socket: the request's body, read as from a socket.

use bytes::Bytes;
use pilotlight_filter::Body;
use pilotlight_filter::abi::Phase;

use crate::rig::*;
use crate::sockets::{access, said};

#[test]
fn the_request_body_as_a_socket() {
    let read = |script: &str, body: Body| {
        let rig = access(script);
        let mut exchange = exchange();
        exchange.request.body = body;
        run(&mut *rig.realm.start(0), Phase::Request, &mut exchange)
            .map_err(|fault| fault.message)?;
        Ok::<_, String>(said(&rig).0)
    };
    let whole = || Body::full(Bytes::from_static(b"ab\ncd"));
    let script = "local s = assert(ngx.req.socket()) all(s:receive()) all(s:receive(1)) all(s:receiveuntil('d')())
        all(s:receive()) all(s:receive()) all(ngx.req.socket())";
    let want = ["ab", "c", "", "nil closed ", "nil closed", "nil request body already exists"];
    assert_eq!(read(script, whole()).unwrap(), want);
    let of = |script: &str, body| read(&format!("local s, e = ngx.req.socket() {script}"), body);
    assert_eq!(of("all(s, e)", Body::empty()).unwrap(), ["nil no body"]);
    assert_eq!(
        of("all(s.close, s.send, s.sslhandshake, s.connect)", whole()).unwrap(),
        ["nil nil nil nil"]
    );
    assert_eq!(
        of("local t = ngx.socket.tcp() t[1] = s[1] all(t:close())", whole()).unwrap(),
        ["nil attempt to close a request socket"]
    );
    let write = of("local t = ngx.socket.tcp() t[1] = s[1] t:send('x')", whole()).unwrap_err();
    assert!(write.ends_with("attempt to write to request sockets"), "{write}");
}
