use proptest::prelude::*;

use super::*;

fn labels(pairs: &[(&str, Value)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[test]
fn selects() {
    let node = labels(&[
        ("role", "pop".into()),
        ("country", "DE".into()),
        ("ram_mb", 4096.0.into()),
        ("frozen", false.into()),
        ("early", true.into()),
    ]);
    for (text, expected) in [
        ("role == \"pop\" and country in [\"DE\", \"CH\"] and not frozen", true),
        ("role == 'pop' and country not in [\"DE\",]", false),
        ("ram_mb >= 4096", true),
        ("ram_mb > 4096 or ram_mb < -1.5e3", false),
        ("early and (frozen or ram_mb != 1)", true),
        ("not early or early", true),
        ("country != \"CH\"", true),
        // What is not there equals nothing.
        ("site == \"fra\"", false),
        ("site != \"fra\"", true),
        ("site in []", false),
        ("site not in [\"fra\"]", true),
        ("site < 3", false),
        ("nothing", false),
        // Another type equals nothing, and is not smaller.
        ("role == 1", false),
        ("role < 1", false),
        ("frozen == false", true),
        ("id == \"pop-1\"", true),
        ("id in [\"pop-2\"]", false),
    ] {
        let selector = Selector::parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        assert_eq!(selector.matches("pop-1", &node), expected, "{text}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    for (text, at, message, hint) in [
        ("role = 1", 5..6, "unexpected `=`", Some("equality is `==`")),
        ("a && b", 2..4, "unexpected `&&`", Some("conjunction is `and`")),
        (
            "a == pop",
            5..8,
            "expected a value, found `pop`",
            Some("a text stands in quotes: \"pop\""),
        ),
        ("a == \"x", 5..7, "a text without its closing quote", None),
        (
            "a <= \"x\"",
            5..8,
            "only numbers are larger or smaller than others",
            Some("use `==`, `!=` or `in`"),
        ),
        ("(a", 2..2, "expected `)`, found the end", None),
        ("a b", 2..3, "expected `and`, `or` or the end, found `b`", None),
        ("", 0..0, "expected the name of a label, found the end", None),
        ("a in [1 2]", 8..9, "expected `]`, found 2", None),
        ("a == 1x", 5..7, "this is no number", None),
        ("a and or b", 6..8, "expected the name of a label, found `or`", None),
        ("ü", 0..2, "unexpected `ü`", None),
    ] {
        let wrong = Selector::parse(text).unwrap_err();
        assert_eq!((wrong.at, wrong.message.as_str()), (at, message), "{text}");
        assert_eq!(wrong.hint.as_deref(), hint, "{text}");
    }
}

#[test]
fn has_bounds() {
    let deep = format!("{}a{}", "(".repeat(64), ")".repeat(64));
    assert!(Selector::parse(&deep).unwrap_err().message.contains("deeper"));
    assert!(Selector::parse(&"not ".repeat(500)).unwrap_err().message.contains("deeper"));
    assert!(Selector::parse(&"a".repeat(5000)).unwrap_err().message.contains("longer"));
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Flag),
        (-1e6f64..1e6).prop_map(Value::Number),
        "[a-z\"\\\\' ü]{0,6}".prop_map(Value::Text),
    ]
}

fn selectors() -> impl Strategy<Value = Selector> {
    let name = || "[a-d]{1,2}";
    let order = prop_oneof![Just(Order::Equal), Just(Order::Unequal),];
    let number = prop_oneof![
        Just(Order::Less),
        Just(Order::AtMost),
        Just(Order::More),
        Just(Order::AtLeast),
    ];
    let leaf = prop_oneof![
        name().prop_map(Selector::Flag),
        (name(), order, values()).prop_map(|(n, o, v)| Selector::Compare(n, o, v)),
        (name(), number, -9f64..9.0).prop_map(|(n, o, v)| Selector::Compare(
            n,
            o,
            Value::Number(v)
        )),
        (name(), prop::collection::vec(values(), 0..4)).prop_map(|(n, v)| Selector::In(n, v)),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|s| Selector::Not(Box::new(s))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Selector::All),
            prop::collection::vec(inner, 2..4).prop_map(Selector::Any),
        ]
    })
}

fn nodes() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-d]{1,2}", values(), 0..6)
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same(selector in selectors()) {
        let text = selector.to_string();
        prop_assert_eq!(Selector::parse(&text).unwrap(), selector);
    }

    #[test]
    fn the_opposite_is_the_opposite(selector in selectors(), node in nodes()) {
        let not = Selector::Not(Box::new(selector.clone()));
        prop_assert_ne!(selector.matches("n", &node), not.matches("n", &node));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        if let Err(wrong) = Selector::parse(&text) {
            prop_assert!(text.get(wrong.at).is_some());
        }
    }

    #[test]
    fn mistakes_stand_in_the_text(text in "[a-c0-9\"'()\\[\\], =!<>andorti-]{0,40}") {
        if let Err(wrong) = Selector::parse(&text) {
            prop_assert!(text.get(wrong.at).is_some());
        }
    }
}
