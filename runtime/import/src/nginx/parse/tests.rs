use super::*;

fn names(text: &str) -> Vec<(String, Vec<String>)> {
    let all = parse(text, "t.conf").unwrap();
    all.into_iter().map(|one| (one.name, one.args)).collect()
}

fn refused(text: &str) -> String {
    parse(text, "t.conf").unwrap_err().to_string()
}

#[test]
fn words_quotes_and_escapes() {
    for (text, args) in [
        (r#"a b c;"#, vec!["b", "c"]),
        (r#"a "b c" 'd;e';"#, vec!["b c", "d;e"]),
        (r#"a "say \"x\"" 'it\'s';"#, vec!["say \"x\"", "it's"]),
        (r#"a ~ \.php$ "^/\d+";"#, vec!["~", r"\.php$", r"^/\d+"]),
        (r#"a b\ c b#c;"#, vec!["b\\ c", "b#c"]),
        (r#"a ${x}y "${x}";"#, vec!["${x}y", "${x}"]),
        ("a b # c;\n d;", vec!["b", "d"]),
        (r#"a "\t\n\\";"#, vec!["\t\n\\"]),
        ("a '';", vec![""]),
    ] {
        assert_eq!(names(text), [("a".to_owned(), args.iter().map(|a| (*a).to_owned()).collect())]);
    }
}

#[test]
fn a_condition_may_end_behind_a_quote() {
    let all = parse("if ($a = \"b c\") { set $x 1; }", "t.conf").unwrap();
    assert_eq!(all[0].args, ["($a", "=", "b c", ")"]);
    assert_eq!(all[0].children()[0].name, "set");
}

#[test]
fn lua_ends_at_its_own_brace() {
    for code in [
        " local t = { a = { 1 } } ",
        " local s = \"}\" .. '}' .. '\\'}' ",
        " -- }\n",
        " --[[ } ]] ",
        " --[==[ ]] } ]==] ",
        " local s = [[ } ]] .. [=[ ]] } ]=] ",
        " t[a[1]] = 2 ",
        "",
    ] {
        let text = format!("content_by_lua_block {{{code}}} x;");
        let all = parse(&text, "t.conf").unwrap();
        assert_eq!(all[0].lua.as_deref(), Some(code), "{text}");
        assert_eq!(all[1].name, "x", "{text}");
    }
}

#[test]
fn spots_count_lines_and_columns() {
    let all = parse("a {\n  b \"x\n y\";\n  é c; d;\n}", "t.conf").unwrap();
    let spots: Vec<_> = all[0].children().iter().map(|b| (b.spot.line, b.spot.column)).collect();
    assert_eq!(spots, [(2, 3), (4, 3), (4, 8)]);
}

#[test]
fn what_is_no_syntax_is_refused_where_it_stands() {
    for (text, said) in [
        ("a b", "t.conf:1:1: \"a\" without its `;`"),
        ("a {\n b;", "t.conf:2:4: a block without its `}`"),
        ("a;\n}", "t.conf:2:1: a `}` that closes nothing"),
        ("a \"b", "t.conf:1:3: a text without its closing quote"),
        ("a \"b\"c;", "t.conf:1:6: a blank is missing behind the quote"),
        ("; a;", "t.conf:1:1: a `;` behind nothing"),
        ("x_by_lua_block { \"} ", "t.conf:1:16: a block of Lua without its `}`"),
    ] {
        assert_eq!(refused(text), said);
    }
    assert!(refused(&"a {".repeat(100)).contains("too deep"));
}
