#![allow(clippy::unwrap_used)]

mod model;

use pilotlight_abi::shared::{End, Found, Kept, Mode, Put, Scalar};

use super::{Dict, EXISTS, NO_MEMORY, NOT_A_LIST, NOT_A_NUMBER, NOT_FOUND};

const MIB: u64 = 1024 * 1024;

/// What a reader gets.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Bool(bool),
    Number(f64),
    Text(Vec<u8>),
    List,
}

fn value(kept: Kept, text: &[u8]) -> Value {
    match kept {
        Kept::Bool(bool) => Value::Bool(bool),
        Kept::Number(number) => Value::Number(number),
        Kept::Text => Value::Text(text.to_vec()),
        Kept::List => Value::List,
    }
}

fn read(found: Option<Found>, text: &[u8]) -> Option<(Value, i32, bool)> {
    found.map(|found| (value(found.kept, text), found.flags, found.stale))
}

fn get(dict: &Dict, key: &[u8], now: f64) -> Option<Value> {
    let mut text = Vec::new();
    read(dict.get(key, &mut text, now), &text).map(|found| found.0)
}

fn stale(dict: &Dict, key: &[u8], now: f64) -> Option<(Value, i32, bool)> {
    let mut text = Vec::new();
    read(dict.get_stale(key, &mut text, now), &text)
}

fn pop(dict: &Dict, key: &[u8], end: End, now: f64) -> Result<Option<Value>, &'static str> {
    let mut text = Vec::new();
    let popped = dict.pop(key, end, &mut text, now)?;
    Ok(popped.map(|kept| value(kept, &text)))
}

fn put(mode: Mode, ttl: f64) -> Put {
    Put { mode, ttl, ..Put::default() }
}

fn set(
    dict: &Dict,
    key: &[u8],
    value: Scalar<'_>,
    ttl: f64,
    now: f64,
) -> Result<bool, &'static str> {
    dict.put(key, value, put(Mode::Set, ttl), now)
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn values_come_back_as_they_were() {
    let dict = Dict::new(MIB);
    for (scalar, value) in [
        (Scalar::Bool(true), Value::Bool(true)),
        (Scalar::Bool(false), Value::Bool(false)),
        (Scalar::Number(-7.0), Value::Number(-7.0)),
        (Scalar::Number(0.5), Value::Number(0.5)),
        (Scalar::Text(b"x"), text("x")),
        (Scalar::Text(b""), text("")),
    ] {
        assert_eq!(set(&dict, b"k", scalar, 0.0, 0.0), Ok(false));
        assert_eq!(get(&dict, b"k", 1e9), Some(value));
    }
    assert_eq!(get(&dict, b"", 0.0), None);
    set(&dict, b"", Scalar::Number(1.0), 0.0, 0.0).unwrap();
    assert_eq!(get(&dict, b"", 0.0), Some(Value::Number(1.0)));
}

#[test]
fn add_replace_delete_flush() {
    let dict = Dict::new(MIB);
    let one = |mode, number, ttl, now| dict.put(b"k", Scalar::Number(number), put(mode, ttl), now);
    assert_eq!(one(Mode::Replace, 1.0, 0.0, 0.0), Err(NOT_FOUND));
    assert_eq!(one(Mode::Add, 1.0, 5.0, 0.0), Ok(false));
    assert_eq!(one(Mode::Add, 2.0, 0.0, 4.0), Err(EXISTS));
    assert_eq!(one(Mode::Replace, 3.0, 5.0, 4.0), Ok(false));
    assert_eq!(get(&dict, b"k", 8.0), Some(Value::Number(3.0)));
    assert_eq!(one(Mode::Replace, 4.0, 0.0, 9.0), Err(NOT_FOUND));
    assert_eq!(one(Mode::Add, 4.0, 0.0, 9.0), Ok(false));
    dict.delete(b"k");
    dict.delete(b"k");
    assert_eq!(get(&dict, b"k", 9.0), None);
    set(&dict, b"a", Scalar::Number(1.0), 0.0, 9.0).unwrap();
    dict.flush();
    assert_eq!((get(&dict, b"a", 9.0), dict.used()), (None, 0));
}

#[test]
fn times_to_live() {
    let dict = Dict::new(MIB);
    set(&dict, b"k", Scalar::Number(1.0), 0.0, 10.0).unwrap();
    assert_eq!(dict.ttl(b"k", 10.0), Some(f64::INFINITY));
    assert!(dict.expire(b"k", 2.5, false, 10.0));
    assert_eq!(dict.ttl(b"k", 11.0), Some(1.5));
    assert_eq!(get(&dict, b"k", 12.4), Some(Value::Number(1.0)));
    assert_eq!(dict.ttl(b"k", 13.0), Some(-0.5));
    assert_eq!(get(&dict, b"k", 12.5), None);
    assert_eq!(dict.ttl(b"k", 12.5), None);
    set(&dict, b"k", Scalar::Number(1.0), 1.0, 0.0).unwrap();
    assert!(dict.expire(b"k", 0.0, false, 0.5));
    assert_eq!(get(&dict, b"k", 1e9), Some(Value::Number(1.0)));
    set(&dict, b"k", Scalar::Number(1.0), -1.0, 0.0).unwrap();
    assert_eq!(get(&dict, b"k", 0.0), None);
}

#[test]
fn what_has_expired_stands_there_for_a_while() {
    let dict = Dict::new(MIB);
    let with = Put { ttl: 1.0, flags: 7, ..Put::default() };
    dict.put(b"k", Scalar::Text(b"old"), with, 0.0).unwrap();
    assert_eq!(stale(&dict, b"k", 0.5), Some((text("old"), 7, false)));
    assert_eq!(stale(&dict, b"k", 2.0), Some((text("old"), 7, true)));
    assert!(!dict.expire(b"k", 5.0, false, 2.0));
    assert!(dict.expire(b"k", 5.0, true, 2.0));
    assert_eq!(stale(&dict, b"k", 2.0), Some((text("old"), 7, false)));
    // The oldest that has expired goes with the next call; another stays behind one that lives.
    set(&dict, b"lives", Scalar::Bool(true), 0.0, 2.0).unwrap();
    set(&dict, b"later", Scalar::Bool(true), 1.0, 2.0).unwrap();
    assert_eq!(get(&dict, b"other", 9.0), None);
    assert_eq!(stale(&dict, b"k", 9.0), None);
    assert_eq!(stale(&dict, b"later", 9.0), Some((Value::Bool(true), 0, true)));
    assert_eq!((dict.flush_expired(0, 9.0), dict.flush_expired(0, 9.0)), (1, 0));
    assert_eq!(dict.keys(0, 9.0), [b"lives"]);
}

#[test]
fn all_expire_at_once_and_go_in_time() {
    let dict = Dict::new(MIB);
    for key in 0..10u8 {
        set(&dict, &[key], Scalar::Number(1.0), 0.0, 0.0).unwrap();
    }
    dict.expire_all(5.0);
    assert_eq!(dict.keys(0, 5.0).len(), 0);
    assert_eq!(stale(&dict, &[9], 5.0), Some((Value::Number(1.0), 0, true)));
    assert_eq!((dict.flush_expired(4, 5.0), dict.flush_expired(0, 5.0)), (4, 6));
    assert_eq!(dict.used(), 0);
}

#[test]
fn numbers() {
    let dict = Dict::new(MIB);
    assert_eq!(dict.incr(b"n", 1.0, None, 0.0, 0.0), Err(NOT_FOUND));
    assert_eq!(dict.incr(b"n", 2.0, Some(10.0), 5.0, 0.0), Ok((12.0, false)));
    assert_eq!(dict.incr(b"n", -20.0, Some(10.0), 50.0, 1.0), Ok((-8.0, false)));
    assert_eq!(dict.ttl(b"n", 1.0), Some(4.0));
    assert_eq!(dict.incr(b"n", 0.5, None, 0.0, 1.0), Ok((-7.5, false)));
    assert_eq!(dict.incr(b"n", 1.0, Some(1.0), 0.0, 9.0), Ok((2.0, false)));
    for scalar in [Scalar::Text(b"7"), Scalar::Bool(true)] {
        set(&dict, b"s", scalar, 0.0, 0.0).unwrap();
        assert_eq!(dict.incr(b"s", 1.0, Some(0.0), 0.0, 0.0), Err(NOT_A_NUMBER));
    }
    assert_eq!(Dict::new(0).incr(b"k", 1.0, Some(0.0), 0.0, 0.0), Err(NO_MEMORY));
}

#[test]
fn lists() {
    let dict = Dict::new(MIB);
    assert_eq!((dict.len(b"l", 0.0), pop(&dict, b"l", End::Left, 0.0)), (Ok(0), Ok(None)));
    assert_eq!(dict.push(b"l", Scalar::Text(b"b"), End::Left, 0.0), Ok(1));
    assert_eq!(dict.push(b"l", Scalar::Text(b"a"), End::Left, 0.0), Ok(2));
    assert_eq!(dict.push(b"l", Scalar::Number(3.0), End::Right, 0.0), Ok(3));
    assert_eq!((get(&dict, b"l", 0.0), dict.len(b"l", 0.0)), (Some(Value::List), Ok(3)));
    assert_eq!(dict.incr(b"l", 1.0, None, 0.0, 0.0), Err(NOT_A_NUMBER));
    assert_eq!(pop(&dict, b"l", End::Right, 0.0), Ok(Some(Value::Number(3.0))));
    assert_eq!(pop(&dict, b"l", End::Left, 0.0), Ok(Some(text("a"))));
    assert_eq!(pop(&dict, b"l", End::Left, 0.0), Ok(Some(text("b"))));
    assert_eq!((dict.used(), pop(&dict, b"l", End::Left, 0.0)), (0, Ok(None)));
    set(&dict, b"s", Scalar::Bool(true), 0.0, 0.0).unwrap();
    assert_eq!(dict.push(b"s", Scalar::Bool(true), End::Left, 0.0), Err(NOT_A_LIST));
    assert_eq!(pop(&dict, b"s", End::Left, 0.0), Err(NOT_A_LIST));
    assert_eq!(dict.len(b"s", 0.0), Err(NOT_A_LIST));
    // An expired list begins anew.
    dict.push(b"l", Scalar::Number(1.0), End::Left, 0.0).unwrap();
    dict.expire(b"l", 1.0, false, 0.0);
    assert_eq!(dict.push(b"l", Scalar::Number(2.0), End::Left, 5.0), Ok(1));
    assert_eq!(dict.ttl(b"l", 5.0), Some(f64::INFINITY));
}

#[test]
fn what_is_too_large_is_refused_and_the_old_value_stays() {
    for (capacity, largest) in [(4096, 3500), (MIB, 900_000), (4 * MIB, 900_000)] {
        let dict = Dict::new(capacity);
        let old = set(&dict, b"k", Scalar::Number(1.0), 0.0, 0.0);
        assert_eq!(old, Ok(false));
        let large = vec![0; capacity as usize];
        let large = Scalar::Text(&large);
        assert_eq!(set(&dict, b"k", large, 0.0, 0.0), Err(NO_MEMORY));
        assert_eq!(dict.put(b"l", large, put(Mode::Add, 0.0), 0.0), Err(NO_MEMORY));
        assert_eq!(dict.put(b"k", large, put(Mode::Replace, 0.0), 0.0), Err(NO_MEMORY));
        assert_eq!(dict.push(b"l", large, End::Left, 0.0), Err(NO_MEMORY));
        assert_eq!(get(&dict, b"k", 0.0), Some(Value::Number(1.0)));
        assert_eq!(set(&dict, b"k", Scalar::Text(&vec![0; largest]), 0.0, 0.0), Ok(false));
    }
}

/// Fills a dictionary with values of one size; the number of the first that did not fit as it is.
fn fill(dict: &Dict, put: Put) -> (usize, Result<bool, &'static str>) {
    for number in 0.. {
        let key = format!("{number:05}");
        match dict.put(key.as_bytes(), Scalar::Text(&[b'x'; 60]), put, 0.0) {
            Ok(false) => {}
            full => return (number, full),
        }
    }
    unreachable!("it has no end")
}

#[test]
fn a_full_dictionary_makes_room_of_what_was_used_longest_ago_or_says_so() {
    let dict = Dict::new(100 * 1024);
    let safe = Put { safe: true, ..Put::default() };
    let (full, last) = fill(&dict, safe);
    assert_eq!(last, Err(NO_MEMORY));
    assert!((400..800).contains(&full), "{full}");
    // Others of this size: each makes room for one.
    assert_eq!(get(&dict, b"00000", 0.0), Some(Value::Text(vec![b'x'; 60])));
    assert_eq!(set(&dict, b"other", Scalar::Text(&[b'y'; 60]), 0.0, 0.0), Ok(true));
    assert_eq!((get(&dict, b"00001", 0.0), dict.keys(0, 0.0).len()), (None, full));
    assert!(get(&dict, b"00000", 0.0).is_some() && get(&dict, b"00002", 0.0).is_some());
    // What is there already needs no room.
    assert_eq!(dict.put(b"other", Scalar::Text(&[b'z'; 60]), safe, 0.0), Ok(false));
    // Where one goes there is room for one, and a new number evicts as a new text does.
    dict.delete(b"other");
    assert_eq!(dict.incr(b"count", 1.0, Some(0.0), 0.0, 0.0), Ok((1.0, false)));
    assert_eq!(fill(&dict, Put::default()).1, Ok(true));
    // Lists take what is free, and what has expired.
    assert_eq!(dict.push(b"list", Scalar::Text(&[0; 200]), End::Left, 0.0), Err(NO_MEMORY));
    dict.expire_all(1.0);
    let mut pushed = 0;
    while dict.push(b"list", Scalar::Text(&[0; 200]), End::Left, 1.0).is_ok() {
        pushed += 1;
    }
    assert!(pushed > 300, "{pushed}");
    assert_eq!(dict.len(b"list", 1.0), Ok(pushed));
    assert!(dict.used() <= dict.capacity());
}

#[test]
fn keys_are_those_alive_at_most_so_many() {
    let dict = Dict::new(16 * MIB);
    for index in 0..100 {
        let ttl = if index < 50 { 1.0 } else { 0.0 };
        set(&dict, format!("{index}").as_bytes(), Scalar::Number(0.0), ttl, 0.0).unwrap();
    }
    assert_eq!(dict.keys(0, 0.5).len(), 100);
    assert_eq!(dict.keys(0, 2.0).len(), 50);
    assert_eq!(dict.keys(7, 2.0).len(), 7);
}

#[test]
fn calls_sweep_away_what_nobody_reads_any_more() {
    let dict = Dict::new(256 * 1024);
    for index in 0..200 {
        set(&dict, format!("{index}").as_bytes(), Scalar::Text(b"gone soon"), 1.0, 0.0).unwrap();
    }
    let before = dict.used();
    for _ in 0..100 {
        set(&dict, b"other", Scalar::Number(0.0), 0.0, 2.0).unwrap();
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
    let counts = (0..8u8).map(|key| get(&dict, &[key], 0.0));
    assert!(counts.into_iter().all(|count| count == Some(Value::Number(1000.0))));
}
