#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use pilotlight_abi::Value;
use proptest::prelude::*;

use super::{BAD_TYPE, Dict, EXISTS, NO_MEMORY, NOT_A_NUMBER, NOT_FOUND};

const MIB: u64 = 1024 * 1024;

fn bytes(text: &str) -> Value {
    Value::from(text)
}

#[test]
fn values_come_back_as_they_were() {
    let dict = Dict::new(MIB);
    for value in [Value::Bool(true), Value::Int(-7), Value::Float(0.5), bytes("x"), bytes("")] {
        dict.set(b"k", value.clone(), 0.0, 0.0).unwrap();
        assert_eq!(dict.get(b"k", 1e9), Some(value));
    }
    for value in [Value::Nil, Value::List(vec![]), Value::Map(vec![])] {
        assert_eq!(dict.set(b"k", value, 0.0, 0.0), Err(BAD_TYPE));
    }
    assert_eq!(dict.get(b"k", 0.0), Some(bytes("")));
    assert_eq!(dict.get(b"", 0.0), None);
    dict.set(b"", Value::Int(1), 0.0, 0.0).unwrap();
    assert_eq!(dict.get(b"", 0.0), Some(Value::Int(1)));
}

#[test]
fn add_replace_delete_flush() {
    let dict = Dict::new(MIB);
    assert_eq!(dict.replace(b"k", Value::Int(1), 0.0, 0.0), Err(NOT_FOUND));
    assert_eq!(dict.add(b"k", Value::Int(1), 5.0, 0.0), Ok(()));
    assert_eq!(dict.add(b"k", Value::Int(2), 0.0, 4.0), Err(EXISTS));
    assert_eq!(dict.replace(b"k", Value::Int(3), 5.0, 4.0), Ok(()));
    assert_eq!(dict.get(b"k", 8.0), Some(Value::Int(3)));
    assert_eq!(dict.add(b"k", Value::Int(4), 0.0, 9.0), Ok(()));
    dict.delete(b"k");
    dict.delete(b"k");
    assert_eq!(dict.get(b"k", 9.0), None);
    dict.set(b"a", Value::Int(1), 0.0, 9.0).unwrap();
    dict.flush();
    assert_eq!((dict.get(b"a", 9.0), dict.used()), (None, 0));
}

#[test]
fn times_to_live() {
    let dict = Dict::new(MIB);
    dict.set(b"k", Value::Int(1), 0.0, 10.0).unwrap();
    assert_eq!(dict.ttl(b"k", 10.0), Some(0.0));
    assert!(dict.expire(b"k", 2.5, 10.0));
    assert_eq!(dict.ttl(b"k", 11.0), Some(1.5));
    assert_eq!(dict.get(b"k", 12.4), Some(Value::Int(1)));
    assert_eq!((dict.ttl(b"k", 12.5), dict.get(b"k", 12.5)), (None, None));
    assert!(!dict.expire(b"k", 1.0, 12.5));
    dict.set(b"k", Value::Int(1), 1.0, 0.0).unwrap();
    assert!(dict.expire(b"k", 0.0, 0.5));
    assert_eq!(dict.get(b"k", 1e9), Some(Value::Int(1)));
    dict.set(b"k", Value::Int(1), -1.0, 0.0).unwrap();
    assert_eq!(dict.get(b"k", 0.0), None);
}

#[test]
fn numbers() {
    let dict = Dict::new(MIB);
    assert_eq!(dict.incr(b"n", 1.0, None, 0.0, 0.0), Err(NOT_FOUND));
    assert_eq!(dict.incr(b"n", 2.0, Some(10.0), 5.0, 0.0), Ok(12.0));
    assert_eq!(dict.get(b"n", 0.0), Some(Value::Int(12)));
    assert_eq!(dict.incr(b"n", -20.0, Some(10.0), 50.0, 1.0), Ok(-8.0));
    assert_eq!(dict.ttl(b"n", 1.0), Some(4.0));
    assert_eq!(dict.incr(b"n", 0.5, None, 0.0, 1.0), Ok(-7.5));
    assert_eq!(dict.incr(b"n", 0.5, None, 0.0, 1.0), Ok(-7.0));
    assert_eq!(dict.get(b"n", 1.0), Some(Value::Float(-7.0)));
    dict.set(b"n", Value::Int(i64::MAX), 0.0, 0.0).unwrap();
    assert_eq!(dict.incr(b"n", 1.0, None, 0.0, 0.0), Ok(i64::MAX as f64 + 1.0));
    for value in [bytes("7"), Value::Bool(true)] {
        dict.set(b"s", value, 0.0, 0.0).unwrap();
        assert_eq!(dict.incr(b"s", 1.0, Some(0.0), 0.0, 0.0), Err(NOT_A_NUMBER));
    }
}

#[test]
fn what_is_too_large_is_refused_and_the_old_value_stays() {
    for (capacity, largest) in [(4096, 3900), (256 * 1024, 260_000), (4 * MIB, 260_000)] {
        let dict = Dict::new(capacity);
        dict.set(b"k", Value::Int(1), 0.0, 0.0).unwrap();
        let large = Value::Bytes(vec![0; capacity as usize]);
        assert_eq!(dict.set(b"k", large.clone(), 0.0, 0.0), Err(NO_MEMORY));
        assert_eq!(dict.add(b"l", large.clone(), 0.0, 0.0), Err(NO_MEMORY));
        assert_eq!(dict.replace(b"k", large, 0.0, 0.0), Err(NO_MEMORY));
        assert_eq!(dict.get(b"k", 0.0), Some(Value::Int(1)));
        assert_eq!(dict.set(b"k", Value::Bytes(vec![0; largest]), 0.0, 0.0), Ok(()));
    }
    assert_eq!(Dict::new(0).incr(b"k", 1.0, Some(0.0), 0.0, 0.0), Err(NO_MEMORY));
}

#[test]
fn keys_are_those_alive_at_most_so_many() {
    let dict = Dict::new(16 * MIB);
    for index in 0..100 {
        let ttl = if index < 50 { 1.0 } else { 0.0 };
        dict.set(format!("{index}").as_bytes(), Value::Int(0), ttl, 0.0).unwrap();
    }
    assert_eq!(dict.keys(0, 0.5).len(), 100);
    assert_eq!(dict.keys(0, 2.0).len(), 50);
    assert_eq!(dict.keys(7, 2.0).len(), 7);
}

#[test]
fn writes_sweep_away_what_nobody_reads_any_more() {
    let dict = Dict::new(256 * 1024);
    for index in 0..200 {
        dict.set(format!("{index}").as_bytes(), bytes("gone soon"), 1.0, 0.0).unwrap();
    }
    let before = dict.used();
    for _ in 0..60 {
        dict.set(b"other", Value::Int(0), 0.0, 2.0).unwrap();
    }
    assert!(dict.used() < before / 100, "{} of {before}", dict.used());
}

#[test]
fn threads_count_right() {
    let dict = Dict::new(MIB);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for index in 0..2_000 {
                    let key = [index as u8 % 8];
                    dict.incr(&key, 1.0, Some(0.0), 0.0, 0.0).unwrap();
                }
            });
        }
    });
    let counts = (0..8u8).map(|key| dict.get(&[key], 0.0));
    assert!(counts.into_iter().all(|count| count == Some(Value::Int(1000))));
}

#[derive(Debug, Clone)]
enum Step {
    Get(u8),
    Set(u8, Value, u8),
    Add(u8, Value, u8),
    Replace(u8, Value, u8),
    Incr(u8, i8, Option<i8>, u8),
    Delete(u8),
    Expire(u8, u8),
    Ttl(u8),
    Keys,
    Flush,
    Wait(u8),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(|int| Value::Int(i64::from(int))),
        (0usize..600).prop_map(|len| Value::Bytes(vec![b'x'; len])),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (key, ttl) = (0u8..24, prop_oneof![Just(0u8), 1u8..9]);
    prop_oneof![
        6 => key.clone().prop_map(Step::Get),
        6 => (key.clone(), value(), ttl.clone()).prop_map(|(k, v, t)| Step::Set(k, v, t)),
        2 => (key.clone(), value(), ttl.clone()).prop_map(|(k, v, t)| Step::Add(k, v, t)),
        2 => (key.clone(), value(), ttl.clone()).prop_map(|(k, v, t)| Step::Replace(k, v, t)),
        2 => (key.clone(), any::<i8>(), any::<Option<i8>>(), ttl.clone())
            .prop_map(|(k, by, init, t)| Step::Incr(k, by, init, t)),
        2 => key.clone().prop_map(Step::Delete),
        2 => (key.clone(), ttl).prop_map(|(k, t)| Step::Expire(k, t)),
        2 => key.prop_map(Step::Ttl),
        1 => Just(Step::Keys),
        1 => Just(Step::Flush),
        3 => (0u8..5).prop_map(Step::Wait),
    ]
}

/// The dictionary as its documentation says, without bounds.
#[derive(Default)]
struct Model {
    map: BTreeMap<u8, (Value, f64)>,
    now: f64,
}

impl Model {
    fn get(&self, key: u8) -> Option<&(Value, f64)> {
        self.map.get(&key).filter(|(_, until)| *until == 0.0 || self.now < *until)
    }

    fn set(&mut self, key: u8, value: &Value, ttl: u8) {
        let until = if ttl == 0 { 0.0 } else { self.now + f64::from(ttl) };
        self.map.insert(key, (value.clone(), until));
    }

    fn incr(&mut self, key: u8, by: i8, init: Option<i8>, ttl: u8) -> Result<f64, &'static str> {
        match (self.get(key).cloned(), init) {
            (Some((Value::Int(int), until)), _) => {
                let sum = int + i64::from(by);
                self.map.insert(key, (Value::Int(sum), until));
                Ok(sum as f64)
            }
            (Some(_), _) => Err(NOT_A_NUMBER),
            (None, Some(init)) => {
                let sum = i64::from(init) + i64::from(by);
                self.set(key, &Value::Int(sum), ttl);
                Ok(sum as f64)
            }
            (None, None) => Err(NOT_FOUND),
        }
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        self.map.keys().filter(|key| self.get(**key).is_some()).map(|key| vec![*key]).collect()
    }
}

proptest! {
    #[test]
    fn as_a_map_when_there_is_room(
        steps in prop::collection::vec(step(), 0..300),
        capacity in prop_oneof![Just(200 * 1024), Just(16 * MIB)],
        seed: u64,
    ) {
        let dict = Dict::with_seed(capacity, seed);
        let mut model = Model::default();
        for step in steps {
            let now = model.now;
            match step {
                Step::Get(k) => {
                    prop_assert_eq!(dict.get(&[k], now), model.get(k).map(|(v, _)| v.clone()));
                }
                Step::Set(k, v, ttl) => {
                    prop_assert_eq!(dict.set(&[k], v.clone(), ttl.into(), now), Ok(()));
                    model.set(k, &v, ttl);
                }
                Step::Add(k, v, ttl) => {
                    let there = model.get(k).is_some();
                    let expected = if there { Err(EXISTS) } else { Ok(()) };
                    prop_assert_eq!(dict.add(&[k], v.clone(), ttl.into(), now), expected);
                    if !there { model.set(k, &v, ttl) }
                }
                Step::Replace(k, v, ttl) => {
                    let there = model.get(k).is_some();
                    let expected = if there { Ok(()) } else { Err(NOT_FOUND) };
                    prop_assert_eq!(dict.replace(&[k], v.clone(), ttl.into(), now), expected);
                    if there { model.set(k, &v, ttl) }
                }
                Step::Incr(k, by, init, ttl) => {
                    let found = dict.incr(&[k], by.into(), init.map(f64::from), ttl.into(), now);
                    prop_assert_eq!(found, model.incr(k, by, init, ttl));
                }
                Step::Delete(k) => {
                    dict.delete(&[k]);
                    model.map.remove(&k);
                }
                Step::Expire(k, ttl) => {
                    let value = model.get(k).map(|(value, _)| value.clone());
                    prop_assert_eq!(dict.expire(&[k], ttl.into(), now), value.is_some());
                    if let Some(value) = value { model.set(k, &value, ttl) }
                }
                Step::Ttl(k) => {
                    let left = model.get(k).map(|(_, u)| if *u == 0.0 { 0.0 } else { u - now });
                    prop_assert_eq!(dict.ttl(&[k], now), left);
                }
                Step::Keys => {
                    let mut keys = dict.keys(0, now);
                    keys.sort_unstable();
                    prop_assert_eq!(keys, model.keys());
                }
                Step::Flush => {
                    dict.flush();
                    model.map.clear();
                }
                Step::Wait(time) => model.now += f64::from(time),
            }
        }
    }

    /// Whatever is evicted: what is there is the newest, and the bytes are kept to.
    #[test]
    fn never_stale_and_never_over(steps in prop::collection::vec(step(), 0..300)) {
        let dict = Dict::new(4096);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Set(k, v, ttl) => {
                    prop_assert_eq!(dict.set(&[k], v.clone(), ttl.into(), model.now), Ok(()));
                    prop_assert_eq!(dict.get(&[k], model.now), Some(v.clone()));
                    model.set(k, &v, ttl);
                }
                Step::Get(k) => {
                    let found = dict.get(&[k], model.now);
                    prop_assert!(found.is_none() || found.as_ref() == model.get(k).map(|(v, _)| v));
                }
                Step::Delete(k) => {
                    dict.delete(&[k]);
                    model.map.remove(&k);
                }
                Step::Wait(time) => model.now += f64::from(time),
                _ => {}
            }
            prop_assert!(dict.used() <= dict.capacity());
        }
    }

    /// Values of one size and no time to live: exactly those used last are there.
    #[test]
    fn the_least_recently_used_goes(uses in prop::collection::vec((0u8..32, any::<bool>()), 0..300)) {
        let dict = Dict::new(4096);
        for key in 0..32 {
            dict.set(&[key], Value::Bytes(vec![key; 150]), 0.0, 0.0).unwrap();
        }
        let room = dict.keys(0, 0.0).len();
        prop_assert!((10..32).contains(&room));
        dict.flush();
        // In the order of use, the newest last.
        let mut order: Vec<u8> = Vec::new();
        for (key, write) in uses {
            let there = order.contains(&key);
            if write {
                dict.set(&[key], Value::Bytes(vec![key; 150]), 0.0, 0.0).unwrap();
            } else {
                prop_assert_eq!(dict.get(&[key], 0.0).is_some(), there);
            }
            if write || there {
                order.retain(|other| *other != key);
                order.push(key);
            }
            if order.len() > room {
                order.remove(0);
            }
            let mut keys = dict.keys(0, 0.0);
            keys.sort_unstable();
            let mut expected: Vec<_> = order.iter().map(|key| vec![*key]).collect();
            expected.sort_unstable();
            prop_assert_eq!(keys, expected);
        }
    }
}
