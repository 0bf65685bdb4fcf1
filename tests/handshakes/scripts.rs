//! Scripts that choose, refuse, fail, loop and wait.

use super::*;

#[test]
fn a_script_that_waits_chooses_the_certificate() {
    let script = format!(
        r#"{CHOOSE}
        assert(ngx.get_phase() == "ssl_cert")
        local name = ssl.server_name()
        if name ~= "chosen.test" then return end
        ngx.sleep(0.05)
        ngx.shared.notes:set("seen", name)
        ngx.ctx.from, ngx.ctx.count = "the handshake", 1
        assert(ssl.clear_certs())
        assert(ssl.set_cert(assert(ssl.parse_pem_cert(pems.chosen))))
        assert(ssl.set_priv_key(assert(ssl.parse_pem_priv_key(pems.chosen_key))))
        local octets, kind = ssl.raw_client_addr()
        assert(kind == "inet" and octets == "\127\0\0\1", kind)
        "#
    );
    let door = Door::new(&[("ssl_certificate", &script)]);
    run(async {
        let _gateway = door.open().await;
        let mut stream = connect(door.address, "chosen.test", plain()).await.unwrap();
        assert_eq!(shown(&stream), der(&door.chosen.pem));
        // Each request of the connection has a copy of what the handshake left.
        for _ in 0..2 {
            let told = tell(&mut stream).await;
            assert_eq!(told, "the handshake 1 chosen.test TLSv1.3 NONE content");
        }
        let mut stream = connect(door.address, "a.test", plain()).await.unwrap();
        assert_eq!(shown(&stream), der(&Certificate::common().pem));
        assert_eq!(tell(&mut stream).await, "nothing 0 a.test TLSv1.3 NONE content");
    });
}

#[test]
fn a_script_that_fails_or_refuses_ends_the_handshake() {
    for (script, line) in [
        ("error('no certificate today')", Some("no certificate today")),
        ("ngx.sleep(0.01) error('none tomorrow')", Some("none tomorrow")),
        ("ngx.exit(ngx.ERROR)", None),
        ("ngx.sleep(0.01) ngx.exit(ngx.ERROR)", None),
        ("while true do end", Some("over its CPU time")),
        ("while true do pcall(function() while true do end end) end", Some("over its CPU time")),
    ] {
        let script =
            format!("if require('ngx.ssl').server_name() == 'b.test' then return end\n{script}");
        for phase in ["ssl_client_hello", "ssl_certificate"] {
            let door = Door::new(&[(phase, &script)]);
            run(async {
                let mut gateway = door.open().await;
                let error = connect(door.address, "a.test", plain()).await.unwrap_err();
                assert!(error.to_string().contains("InternalError"), "{script}: {error}");
                if let Some(line) = line {
                    gateway.logged(&[line, "filter failed"]).await.unwrap();
                }
                let mut stream = connect(door.address, "b.test", plain()).await.unwrap();
                assert_eq!(tell(&mut stream).await, "nothing 0 b.test TLSv1.3 NONE content");
                assert!(gateway.is_alive());
            });
        }
    }
}

/// A handshake that waits holds up nobody, and not for ever.
#[test]
fn a_script_that_waits_too_long_is_given_up() {
    let script = "if require('ngx.ssl').server_name() == 'a.test' then ngx.sleep(60) end";
    let mut door = Door::new(&[("ssl_certificate", script)]);
    door.listener = "timeouts = { handshake = \"500ms\" }".into();
    run(async {
        let _gateway = door.open().await;
        let waits = connect(door.address, "a.test", plain());
        let other = async {
            let mut stream = connect(door.address, "b.test", plain()).await.unwrap();
            assert_eq!(tell(&mut stream).await, "nothing 0 b.test TLSv1.3 NONE content");
        };
        let (waits, ()) = tokio::join!(waits, other);
        waits.unwrap_err();
    });
}

#[test]
fn a_script_reads_the_hello_and_says_which_versions_are_spoken() {
    let script = r#"
        local hello, ssl = require "ngx.ssl.clienthello", require "ngx.ssl"
        assert(ngx.get_phase() == "ssl_client_hello")
        local name = hello.get_client_hello_server_name()
        local versions = hello.get_supported_versions()
        assert(#versions == 2 and versions[1] == "TLSv1.2" and versions[2] == "TLSv1.3")
        assert(hello.get_client_hello_ext(0):sub(-#name) == name)
        assert(hello.get_client_hello_ext(0x1234) == nil)
        local present = {}
        for _, kind in ipairs(hello.get_client_hello_ext_present()) do present[kind] = true end
        assert(present[0] and present[43])
        assert(#hello.get_client_hello_ciphers() > 0)
        assert(#ssl.get_client_random() == 32 and ssl.get_client_random(0) == 32)
        ngx.ctx.from = "hello"
        if name == "b.test" then assert(hello.set_protocols { "TLSv1.2" }) end
        if name == "c.test" then assert(hello.set_protocols { "TLSv1.1" }) end
        assert(not hello.set_protocols { "TLSv9" })
        assert(not pcall(require("ngx.ssl.session").get_session_id))
    "#;
    let later = "assert(not pcall(require('ngx.ssl.clienthello').get_supported_versions))\n\
                 ngx.ctx.count = #require('ngx.ssl').get_req_shared_ssl_ciphers()";
    let door = Door::new(&[("ssl_client_hello", script), ("ssl_certificate", later)]);
    run(async {
        let _gateway = door.open().await;
        for (name, version) in [("a.test", "TLSv1.3"), ("b.test", "TLSv1.2")] {
            let mut stream = connect(door.address, name, plain()).await.unwrap();
            let told = tell(&mut stream).await;
            assert_eq!(told, format!("hello 9 {name} {version} NONE content"));
        }
        connect(door.address, "c.test", plain()).await.unwrap_err();
    });
}

/// Handshakes of QUIC can't wait, and what must look at each can't be passed by.
#[test]
fn http3_and_scripts_of_handshakes_are_refused_together() {
    let mut door = Door::new(&[("ssl_certificate", "")]);
    door.rest = TELLS.to_owned();
    let setup = door.setup();
    let text = setup.manifest(free_address(), free_address());
    let text = text.replace("protocols = [\"http1\"]\n", "protocols = [\"http1\", \"http3\"]\n");
    let folder = crate::support::Folder::new();
    folder.write("edge.pem", &Certificate::common().pem);
    folder.write("edge.key", &Certificate::common().key);
    for (name, bytes) in &setup.files {
        folder.write(name, bytes);
    }
    folder.write("pilotlight.toml", text);
    let mut check = std::process::Command::new(crate::support::gateway::binary());
    let output = check.arg("check").current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("filters can't take part in the handshakes of http3"), "{said}");
}
