//! Sessions that scripts keep.

use super::*;

const FETCH: &str = r#"
    local session = require "ngx.ssl.session"
    ngx.sleep(0.01)
    local id = session.get_session_id()
    local value = ngx.shared.notes:get(id)
    ngx.ctx.from = value and "an old session" or "no session"
    if ngx.shared.notes:get "broken" then error "no fetching today" end
    if value then assert(session.set_serialized_session(value)) end
"#;
const STORE: &str = r#"
    local session = require "ngx.ssl.session"
    ngx.ctx.count = (ngx.ctx.count or 0) + 1
    ngx.shared.notes:set(session.get_session_id(), session.get_serialized_session())
"#;

#[test]
fn sessions_that_scripts_keep_are_gone_on_with() {
    let mut door = Door::new(&[("ssl_session_fetch", FETCH), ("ssl_session_store", STORE)]);
    door.listener = "session_tickets = false".into();
    run(async {
        let gateway = door.open().await;
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = resuming(&[version]);
            let mut kinds = Vec::new();
            let mut told = Vec::new();
            for _ in 0..2 {
                let mut stream = connect(door.address, "a.test", config.clone()).await.unwrap();
                // Tickets of TLS 1.3 come with the first answer.
                told.push(tell(&mut stream).await);
                kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            }
            assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed], "{version:?}");
            assert!(told[0].starts_with("nothing 1 "), "{told:?}");
            assert!(told[1].starts_with("an old session "), "{told:?}");
        }
        drop(gateway);
    });
}

#[test]
fn without_a_session_there_is_a_new_one() {
    let mut door = Door::new(&[
        ("ssl_session_fetch", FETCH),
        ("ssl_session_store", STORE),
        ("ssl_certificate", "ngx.shared.notes:set('broken', true)"),
    ]);
    door.listener = "session_tickets = false".into();
    run(async {
        let gateway = door.open().await;
        let config = resuming(&[&rustls::version::TLS12]);
        for _ in 0..2 {
            let mut stream = connect(door.address, "a.test", config.clone()).await.unwrap();
            tell(&mut stream).await;
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        }
        gateway.logged(&["no fetching today"]).await.unwrap();
    });
}

/// With tickets nobody has to look for a session.
#[test]
fn tickets_come_without_scripts() {
    let door = Door::new(&[("ssl_session_fetch", "ngx.log(ngx.ERR, 'fetched')")]);
    run(async {
        let gateway = door.open().await;
        let config = resuming(&[&rustls::version::TLS13]);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut stream = connect(door.address, "a.test", config.clone()).await.unwrap();
            tell(&mut stream).await;
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
        }
        assert!(!gateway.log().iter().any(|line| line.contains("fetched")));
    });
}
