#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use pilotlight_config::manifest::Cidr;
use proptest::prelude::*;

use super::{Networks, contains};

fn cidr(text: &str) -> Cidr {
    let (address, prefix) = text.split_once('/').unwrap();
    Cidr { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
}

#[test]
fn table() {
    for (network, address, expected) in [
        ("10.0.0.0/8", "10.255.1.2", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("10.1.2.3/8", "10.9.9.9", true),
        ("10.0.0.1/32", "10.0.0.1", true),
        ("10.0.0.1/32", "10.0.0.2", false),
        ("0.0.0.0/0", "255.255.255.255", true),
        ("0.0.0.0/0", "::1", false),
        ("10.0.0.0/8", "::ffff:10.0.0.1", true),
        ("::ffff:10.0.0.0/104", "10.1.1.1", true),
        ("::ffff:10.0.0.0/104", "11.1.1.1", false),
        ("::/0", "2001:db8::1", true),
        ("::/0", "10.0.0.1", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("::1/128", "::1", true),
        ("::1/128", "::2", false),
    ] {
        assert_eq!(
            contains(&cidr(network), address.parse().unwrap()),
            expected,
            "{address} in {network}"
        );
    }
}

#[test]
fn none_holds_nothing() {
    assert!(Networks::new(&[]).is_empty());
    assert!(!Networks::new(&[]).contains("127.0.0.1".parse().unwrap()));
}

proptest! {
    #[test]
    fn the_first_bits_decide(a: u32, b: u32, prefix in 0u8..=32) {
        let cidr = Cidr { address: IpAddr::V4(a.into()), prefix };
        let same = (0..prefix).all(|bit| (a ^ b) & (1 << (31 - bit)) == 0);
        prop_assert_eq!(contains(&cidr, IpAddr::V4(b.into())), same);
    }
}
