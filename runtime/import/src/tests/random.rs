//! No text makes an import panic, and what comes out of one can be loaded.

use proptest::prelude::*;

use super::*;

/// Pieces that nginx's configurations are made of, so that some of what is tried is nearly one.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "http",
        "server",
        "location",
        "upstream",
        "listen",
        "8080",
        "443 ssl",
        "server_name",
        "a.test",
        "proxy_pass",
        "http://b",
        "http://b/x$1",
        "set",
        "$x",
        "$1",
        "${x}",
        "rewrite",
        "^/(a)(.*)",
        "/$2",
        "last",
        "break",
        "return",
        "301",
        "https://$host$uri",
        "if",
        "($x)",
        "($x ~ y)",
        "=",
        "~",
        "~*",
        "^~",
        "/",
        "/a",
        "@n",
        "error_page",
        "404",
        "=200",
        "try_files",
        "$uri",
        "root",
        "alias",
        "html",
        "add_header",
        "X-A",
        "\"v w\"",
        "always",
        "deny",
        "allow",
        "all",
        "10.0.0.0/8",
        "include",
        "conf.d/*.conf",
        "content_by_lua_block",
        "access_by_lua",
        "'x()'",
        "set_by_lua_block",
        "lua_shared_dict",
        "10m",
        "resolver",
        "map",
        "default",
        "{",
        "}",
        "{",
        "}",
        ";",
        ";",
        ";",
        "#\n",
        "\"",
        "'",
        "\\",
        "\n",
        "[[",
        "]]",
        "--",
    ];
    prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
        1 => any::<String>(),
    ]
}

fn yaml() -> impl Strategy<Value = String> {
    let words = [
        "_format_version",
        "services",
        "routes",
        "plugins",
        "consumers",
        "upstreams",
        "targets",
        "name",
        "url",
        "http://a/b",
        "paths",
        "hosts",
        "config",
        "/a",
        "~/a(.*)",
        "methods",
        "GET",
        "protocols",
        "https",
        "- ",
        ": ",
        ":\n",
        "\n",
        "\n  ",
        "\n    ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "<<",
        "|\n",
        "\"",
        "'",
        "null",
        "1",
        "1.5",
        "true",
        "---",
        "key",
        "cert",
        "certificates",
        "id",
    ];
    prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
        1 => any::<String>(),
    ]
}

fn never_panics(kind: Kind, text: &str) {
    if let Ok(imported) = run(kind, text, &Shelf(&[])) {
        // A manifest may lack what the source lacks; it is always one in form.
        if let Err(problems) = loads(&imported.manifest) {
            assert!(!problems.contains("unknown key"), "{problems}\n{text}\n{}", imported.manifest);
        }
    }
}

/// A whole directive.
fn directive() -> impl Strategy<Value = String> {
    let names = [
        "proxy_pass",
        "proxy_set_header",
        "return",
        "rewrite",
        "set",
        "add_header",
        "root",
        "alias",
        "try_files",
        "error_page",
        "deny",
        "allow",
        "auth_request",
        "auth_basic",
        "expires",
        "internal",
        "client_max_body_size",
        "proxy_read_timeout",
        "proxy_next_upstream",
        "break",
        "index",
        "echo",
        "content_by_lua",
        "access_by_lua",
        "header_filter_by_lua",
        "set_by_lua",
        "content_by_lua_file",
        "more_set_headers",
        "default_type",
        "proxy_ssl_verify",
        "proxy_ssl_name",
        "grpc_pass",
        "lua_socket_connect_timeout",
        "lua_socket_pool_size",
        "lua_check_client_abort",
        "resolver",
        "limit_except",
        "satisfy",
        "auth_jwt",
        "proxy_hide_header",
        "lua_need_request_body",
    ];
    let args = [
        "http://b",
        "http://b/x",
        "https://c.test/$1?y=$arg_y",
        "http://$host",
        "unix:/s",
        "Host",
        "$host",
        "X-A",
        "\"v w\"",
        "$x",
        "${y}",
        "$uri",
        "/",
        "/a",
        "@n",
        "^/(a)(.*)",
        "404",
        "301",
        "=200",
        "=",
        "all",
        "10.0.0.0/8",
        "::1/64",
        "1m",
        "5s",
        "0",
        "-1",
        "on",
        "off",
        "last",
        "break",
        "permanent",
        "always",
        "''",
        "'x()'",
        "html",
        "/srv/www",
        "é",
        "{1}",
        "a.lua",
        "$1.lua",
        "GET",
        "any",
    ];
    let args = prop::collection::vec(prop::sample::select(args.to_vec()), 0..4);
    (prop::sample::select(names.to_vec()), args).prop_map(|(name, args)| {
        let args = args
            .iter()
            .map(|arg| if arg.contains('{') && !arg.contains('$') { "\"{1}\"" } else { arg });
        format!("{name} {};\n", args.collect::<Vec<_>>().join(" "))
    })
}

fn block() -> impl Strategy<Value = String> {
    let heads = [
        "location /",
        "location = /a",
        "location ^~ /b/",
        "location ~ ^/c/(\\d+)",
        "location ~* \\.(x|y)$",
        "location @n",
        "location /é d",
        "location ~ (?!a)",
        "if ($x = y)",
        "if ($host ~ (a|b))",
        "if (-f $uri)",
        "limit_except GET",
        "location /img",
        "location /f.txt",
    ];
    let inner = prop::collection::vec(directive(), 0..8);
    (prop::sample::select(heads.to_vec()), inner)
        .prop_map(|(head, inner)| format!("{head} {{\n{}}}\n", inner.concat()))
}

fn server() -> impl Strategy<Value = String> {
    let heads = [
        "listen 80;",
        "listen 8080 default_server; server_name a.test *.b.test;",
        "server_name .c.test;",
        "listen 443 ssl; ssl_certificate a; ssl_certificate_key b;",
        "listen [::]:80; http2 on;",
        "listen 443 ssl;",
        "listen unix:/run/x; server_name ~x;",
    ];
    let blocks = prop::collection::vec(prop_oneof![1 => directive(), 2 => block()], 0..8);
    (prop::sample::select(heads.to_vec()), blocks)
        .prop_map(|(head, blocks)| format!("server {{ {head}\n{} }}\n", blocks.concat()))
}

proptest! {
    #[test]
    fn nginx_of_directives(servers in prop::collection::vec(server(), 1..4)) {
        let upstream = "upstream b { server 10.0.0.1 weight=0; server b.test:81 backup; hash $uri; }";
        let text = format!("http {{ {upstream}\n{} }}", servers.concat());
        assert!(run(Kind::Nginx, &text, &Shelf(&[])).is_ok(), "{text}");
        never_panics(Kind::Nginx, &text);
    }

    #[test]
    fn nginx_of_pieces(pieces in prop::collection::vec(piece(), 0..60)) {
        never_panics(Kind::Nginx, &pieces.join(" "));
    }

    #[test]
    fn nginx_in_a_server(pieces in prop::collection::vec(piece(), 0..40)) {
        never_panics(Kind::Nginx, &format!("http {{ server {{ {} }} }}", pieces.join(" ")));
    }

    #[test]
    fn nginx_of_any_text(text in any::<String>()) {
        never_panics(Kind::Nginx, &text);
    }

    #[test]
    fn kong_of_pieces(pieces in prop::collection::vec(yaml(), 0..60)) {
        never_panics(Kind::Kong, &pieces.concat());
    }

    #[test]
    fn kong_of_any_text(text in any::<String>()) {
        never_panics(Kind::Kong, &text);
    }
}
