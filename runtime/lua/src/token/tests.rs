use super::*;

#[test]
fn numbers_are_given_anew_only_when_free() {
    let tokens = Tokens::default();
    let number = |value: u8| f64::from(tokens.keep(Rc::new(value)).unwrap());
    let (one, two) = (number(1), number(2));
    assert_ne!(one, two);
    assert_eq!(tokens.get::<u8>(one).as_deref(), Some(&1));
    assert!(tokens.get::<u16>(one).is_none(), "of another kind");
    tokens.forget(one);
    assert!(tokens.any(one).is_none());
    tokens.last.set(u32::MAX - 1);
    assert_eq!(number(3), f64::from(u32::MAX));
    assert_eq!(number(4), 1.0);
    assert_eq!(number(5), 3.0, "2 is in use");
    for nonsense in [f64::NAN, -1.0, 1e300, 0.0] {
        assert!(tokens.any(nonsense).is_none() || nonsense > 1e9);
    }
}

#[test]
fn there_is_an_end() {
    let tokens = Tokens::default();
    let all = std::iter::from_fn(|| tokens.keep(Rc::new(0_u8)));
    assert_eq!(all.count(), limit::LUA_HANDLES);
}
