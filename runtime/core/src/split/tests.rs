use pilotlight_config::manifest::Variant;

use super::*;

fn split(weights: &[u32], cookie: bool) -> Split {
    let variant = |(at, weight): (usize, &u32)| Variant {
        name: format!("v{at}").into(),
        upstream: at,
        weight: *weight,
    };
    let variants = weights.iter().enumerate().map(variant).collect();
    Split { variants, cookie: cookie.then(|| "variant".to_owned()) }
}

#[test]
fn weights_are_shares() {
    let split = split(&[95, 5, 0], false);
    let mut counts = [0; 3];
    for at in 0..1000_u64 {
        let chosen = choose(&split, None, |_| false, at * (u64::MAX / 1000)).unwrap();
        assert!(!chosen.is_new);
        counts[chosen.variant] += 1;
    }
    assert!((945..=955).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
}

#[test]
fn the_cookie_decides_where_it_names_one() {
    let split = split(&[1, 0], true);
    for (value, variant, is_new) in
        [(None, 0, true), (Some("v1"), 1, false), (Some("v9"), 0, true), (Some("v0"), 0, false)]
    {
        let chosen = choose(&split, value.map(str::as_bytes), |_| false, 7);
        assert_eq!(chosen, Some(Chosen { variant, is_new }), "{value:?}");
    }
}

#[test]
fn one_without_endpoints_gets_none_while_another_has_some() {
    let both = split(&[1, 1], true);
    let chosen = |out: &[usize], value: Option<&str>, seed| {
        let chosen = choose(&both, value.map(str::as_bytes), |at| out.contains(&at), seed);
        chosen.map(|chosen| (chosen.variant, chosen.is_new))
    };
    for seed in [0, u64::MAX] {
        assert_eq!(chosen(&[0], None, seed), Some((1, true)));
        // It stays where it was, later.
        assert_eq!(chosen(&[0], Some("v0"), seed), Some((1, false)));
        assert_eq!(chosen(&[0, 1], Some("v0"), seed), Some((0, false)));
    }
    assert_eq!(chosen(&[0, 1], None, 0), Some((0, true)));
    assert_eq!(chosen(&[0, 1], None, u64::MAX), Some((1, true)));
    assert_eq!(choose(&split(&[], false), None, |_| false, 0), None);
}
