use super::Template;

fn expanded(source: &str) -> Result<String, String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let groups: [&[u8]; 3] = [b"<all>", b"<1>", b"<2>"];
    let template = Template::read(source.as_bytes()).map_err(text)?;
    let mut out = Vec::new();
    template.expand(|group| groups.get(group).copied().unwrap_or_default(), &mut out);
    Ok(text(out))
}

#[test]
fn groups_stand_for_what_they_matched() {
    for (source, want) in [
        ("", ""),
        ("plain", "plain"),
        ("$0", "<all>"),
        ("[$1-$2]", "[<1>-<2>]"),
        ("${1}0$2a", "<1>0<2>a"),
        ("$$1 $$", "$1 $"),
        ("$3$99999999999999999999999", ""),
        ("a$1", "a<1>"),
    ] {
        assert_eq!(expanded(source).as_deref(), Ok(want), "{source}");
    }
}

#[test]
fn mistakes_are_told_as_nginx_tells_them() {
    for (source, want) in [
        ("$", "lua script: invalid capturing variable name found in \"$\""),
        ("a$-b", "lua script: invalid capturing variable name found in \"a$-b\""),
        ("${", "lua script: invalid capturing variable name found in \"${\""),
        ("${}", "lua script: invalid capturing variable name found in \"${}\""),
        ("${1", "the closing bracket in \"1\" variable is missing"),
        ("${1a}", "the closing bracket in \"1\" variable is missing"),
        (
            "$hello",
            "attempt to use named capturing variable \"hello\" (named captures not supported yet)",
        ),
        (
            "${h_1}",
            "attempt to use named capturing variable \"h_1\" (named captures not supported yet)",
        ),
    ] {
        assert_eq!(expanded(source).unwrap_err(), want, "{source}");
    }
}
