#![allow(clippy::unwrap_used)]
use super::*;
use crate::clock::Clock;
use crate::ledger::tests::ledger;
use crate::services::dictionary;

fn counts() -> (Arc<Counts>, Arc<dyn Shared>) {
    let own = dictionary(1 << 20, Clock::new());
    (Counts::new("counts", own.clone(), ledger()), own)
}

fn total(total: &str, left: i64) -> Value {
    Value::List(vec![Value::Bytes(total.into()), Value::Int(left)])
}

fn number(counts: &Counts, key: &[u8]) -> Option<f64> {
    let found = counts.get(key, &mut Vec::new())?;
    assert_eq!(found.flags, 0);
    match found.kept {
        Kept::Number(number) => Some(number),
        _ => None,
    }
}

#[test]
fn a_counter_ends_with_that_of_all() {
    let (counts, own) = counts();
    counts.learn(b"k", &total("110", -1));
    assert_eq!((number(&counts, b"k"), own.ttl(b"k")), (Some(110.0), Some(f64::INFINITY)));
    counts.learn(b"k", &Value::Nil);
    assert_eq!(number(&counts, b"k"), None);
    // In its last millisecond it does not begin to live for ever.
    counts.learn(b"k", &total("110", 0));
    assert!(own.ttl(b"k").is_none_or(|left| left < 1.0));
    // What was put by this node is its own; what it has counted meanwhile is on its way.
    counts.put(b"own", Scalar::Number(5.0), Put::default()).unwrap();
    counts.learn(b"own", &Value::Nil);
    assert_eq!(number(&counts, b"own"), Some(5.0));
    counts.learn(b"k", &total("7", -1));
    counts.incr(b"k", 1.0, Some(0.0), 0.0).unwrap();
    counts.learn(b"k", &Value::Nil);
    assert_eq!(number(&counts, b"k"), Some(8.0));
}

#[test]
fn what_is_not_finite_is_not_told() {
    let (counts, _) = counts();
    for by in [1e308, 1e308, f64::NAN, f64::INFINITY] {
        counts.incr(b"k", by, Some(0.0), 0.0).unwrap();
    }
    counts.incr(b"new", 1.0, Some(f64::INFINITY), 0.0).unwrap();
    let all = counts.take(8);
    let one = |key: &[u8]| all.iter().find(|(known, _)| **known == *key).unwrap().1;
    assert_eq!((one(b"k").by, one(b"k").counted), (1e308, true));
    assert!(!one(b"new").counted);
}
