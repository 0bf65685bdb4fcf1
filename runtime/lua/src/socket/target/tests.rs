use super::*;

#[test]
fn hosts_as_scripts_write_them() {
    let address = |text: &str, port| Ok(Target::Address(text.parse().unwrap(), port));
    let name = |text: &str, port| Ok(Target::Name(text.into(), port));
    for (host, want) in [
        ("127.0.0.1", address("127.0.0.1", 80)),
        ("127.0.0.1:81", address("127.0.0.1", 81)),
        ("[::1]", address("::1", 80)),
        ("[::1]:81", address("::1", 81)),
        ("::1", address("::1", 80)),
        ("example.com", name("example.com", 80)),
        ("example.com:81", name("example.com", 81)),
        ("unix:/run/x.sock", Ok(Target::Unix("/run/x.sock".into()))),
        ("UNIX:x", Ok(Target::Unix("x".into()))),
        ("unix:", Err("no path in the unix domain socket")),
        ("", Err("no host")),
        (":80", Err("no host")),
        ("a/b", Err("invalid host")),
        ("a b", Err("invalid host")),
        ("[::1", Err("invalid host")),
        ("[x]", Err("invalid IPv6 address")),
        ("a:0", Err("invalid port")),
        ("a:65536", Err("invalid port")),
    ] {
        let want = want.map_err(|why| format!("failed to parse host name \"{host}\": {why}"));
        assert_eq!(Target::read(host, 80), want);
    }
    assert!(Target::read(&"a".repeat(254), 80).is_err());
    assert!(Target::read(&format!("unix:{}", "a".repeat(108)), 80).is_err());
}
