//! The dictionary against a map that does what its documentation says, without bounds.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Get(u8),
    Stale(u8),
    Put(u8, Value, Mode, bool, u8),
    Incr(u8, i8, Option<i8>, u8),
    Delete(u8),
    Expire(u8, u8),
    Ttl(u8),
    Push(u8, Value, bool),
    Pop(u8, bool),
    Len(u8),
    Keys,
    Flush,
    ExpireAll,
    FlushExpired(u8),
    Wait(u8),
}

fn scalar(value: &Value) -> Scalar<'_> {
    match value {
        Value::Bool(bool) => Scalar::Bool(*bool),
        Value::Number(number) => Scalar::Number(*number),
        Value::Text(text) => Scalar::Text(text),
        Value::List => Scalar::Bool(false),
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(|number| Value::Number(number.into())),
        (0usize..600).prop_map(|len| Value::Text(vec![b'x'; len])),
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![3 => Just(Mode::Set), 1 => Just(Mode::Add), 1 => Just(Mode::Replace)]
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0u8..24;
    let ttl = || prop_oneof![Just(0u8), 1u8..9];
    prop_oneof![
        6 => key().prop_map(Step::Get),
        3 => key().prop_map(Step::Stale),
        9 => (key(), any_value(), mode(), any::<bool>(), ttl())
            .prop_map(|(k, v, m, s, t)| Step::Put(k, v, m, s, t)),
        2 => (key(), any::<i8>(), any::<Option<i8>>(), ttl())
            .prop_map(|(k, by, init, t)| Step::Incr(k, by, init, t)),
        2 => key().prop_map(Step::Delete),
        2 => (key(), ttl()).prop_map(|(k, t)| Step::Expire(k, t)),
        2 => key().prop_map(Step::Ttl),
        5 => (key(), any_value(), any::<bool>()).prop_map(|(k, v, e)| Step::Push(k, v, e)),
        4 => (key(), any::<bool>()).prop_map(|(k, e)| Step::Pop(k, e)),
        2 => key().prop_map(Step::Len),
        1 => Just(Step::Keys),
        1 => Just(Step::Flush),
        1 => Just(Step::ExpireAll),
        1 => (0u8..4).prop_map(Step::FlushExpired),
        3 => (0u8..5).prop_map(Step::Wait),
    ]
}

#[derive(Debug, Clone, PartialEq)]
enum Content {
    One(Value),
    Many(VecDeque<Value>),
}

#[derive(Debug, Clone)]
struct Entry {
    content: Content,
    until: f64,
    flags: i32,
}

#[derive(Default)]
struct Model {
    /// Expired ones too: the dictionary may still have them.
    map: BTreeMap<u8, Entry>,
    now: f64,
}

fn until(ttl: u8, now: f64) -> f64 {
    if ttl == 0 { f64::INFINITY } else { now + f64::from(ttl) }
}

fn end(right: bool) -> End {
    if right { End::Right } else { End::Left }
}

impl Content {
    fn read(&self) -> Value {
        match self {
            Content::One(value) => value.clone(),
            Content::Many(_) => Value::List,
        }
    }
}

impl Model {
    fn live(&mut self, key: u8) -> Option<&mut Entry> {
        let now = self.now;
        self.map.get_mut(&key).filter(|entry| now < entry.until)
    }

    fn set(&mut self, key: u8, content: Content, ttl: u8, flags: i32) {
        let until = until(ttl, self.now);
        self.map.insert(key, Entry { content, until, flags });
    }

    fn put(&mut self, key: u8, value: &Value, mode: Mode, ttl: u8) -> Result<bool, &'static str> {
        match (mode, self.live(key).is_some()) {
            (Mode::Add, true) => return Err(EXISTS),
            (Mode::Replace, false) => return Err(NOT_FOUND),
            _ => self.set(key, Content::One(value.clone()), ttl, ttl.into()),
        }
        Ok(false)
    }

    fn incr(&mut self, key: u8, by: i8, init: Option<i8>, ttl: u8) -> Result<f64, &'static str> {
        let by = f64::from(by);
        if let Some(entry) = self.live(key) {
            let Content::One(Value::Number(number)) = &mut entry.content else {
                return Err(NOT_A_NUMBER);
            };
            *number += by;
            return Ok(*number);
        }
        let sum = f64::from(init.ok_or(NOT_FOUND)?) + by;
        self.set(key, Content::One(Value::Number(sum)), ttl, 0);
        Ok(sum)
    }

    fn push(&mut self, key: u8, value: &Value, right: bool) -> Result<usize, &'static str> {
        if self.live(key).is_none() {
            self.set(key, Content::Many(VecDeque::new()), 0, 0);
        }
        let entry = self.live(key).unwrap();
        let Content::Many(list) = &mut entry.content else { return Err(NOT_A_LIST) };
        if right {
            list.push_back(value.clone())
        } else {
            list.push_front(value.clone())
        }
        Ok(list.len())
    }

    fn pop(&mut self, key: u8, right: bool) -> Result<Option<Value>, &'static str> {
        let Some(entry) = self.live(key) else { return Ok(None) };
        let Content::Many(list) = &mut entry.content else { return Err(NOT_A_LIST) };
        let popped = if right { list.pop_back() } else { list.pop_front() };
        if list.is_empty() {
            self.map.remove(&key);
        }
        Ok(popped)
    }

    fn len(&mut self, key: u8) -> Result<usize, &'static str> {
        match self.live(key).map(|entry| &entry.content) {
            None => Ok(0),
            Some(Content::Many(list)) => Ok(list.len()),
            Some(Content::One(_)) => Err(NOT_A_LIST),
        }
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        let live = self.map.iter().filter(|(_, entry)| self.now < entry.until);
        live.map(|(key, _)| vec![*key]).collect()
    }
}

proptest! {
    #[test]
    fn as_a_map_when_there_is_room(
        steps in prop::collection::vec(step(), 0..300),
        capacity in prop_oneof![Just(900 * 1024), Just(16 * MIB)],
        seed: u64,
    ) {
        let dict = Dict::with_seed(capacity, seed);
        let mut model = Model::default();
        for step in steps {
            let now = model.now;
            match step {
                Step::Get(k) => {
                    let wanted = model.live(k).map(|entry| entry.content.read());
                    prop_assert_eq!(get(&dict, &[k], now), wanted);
                }
                Step::Stale(k) => {
                    let read = |entry: &Entry| {
                        (entry.content.read(), entry.flags, now >= entry.until)
                    };
                    let (found, wanted) = (stale(&dict, &[k], now), model.map.get(&k).map(read));
                    // One that has expired may be gone.
                    let may_be_gone = wanted.as_ref().is_none_or(|wanted| wanted.2);
                    prop_assert!(found == wanted || found.is_none() && may_be_gone);
                }
                Step::Put(k, v, mode, safe, ttl) => {
                    let put = Put { mode, safe, ttl: ttl.into(), flags: ttl.into() };
                    let done = dict.put(&[k], scalar(&v), put, now);
                    prop_assert_eq!(done, model.put(k, &v, mode, ttl));
                }
                Step::Incr(k, by, init, ttl) => {
                    let sum = dict.incr(&[k], by.into(), init.map(f64::from), ttl.into(), now);
                    let wanted = model.incr(k, by, init, ttl).map(|sum| (sum, false));
                    prop_assert_eq!(sum, wanted);
                }
                Step::Delete(k) => {
                    dict.delete(&[k]);
                    model.map.remove(&k);
                }
                Step::Expire(k, ttl) => {
                    let there = dict.expire(&[k], ttl.into(), false, now);
                    let entry = model.live(k);
                    prop_assert_eq!(there, entry.is_some());
                    if let Some(entry) = entry {
                        entry.until = until(ttl, now);
                    }
                }
                Step::Ttl(k) => {
                    let left = dict.ttl(&[k], now).filter(|left| *left > 0.0);
                    prop_assert_eq!(left, model.live(k).map(|entry| entry.until - now));
                }
                Step::Push(k, v, right) => {
                    let pushed = dict.push(&[k], scalar(&v), end(right), now);
                    prop_assert_eq!(pushed, model.push(k, &v, right));
                }
                Step::Pop(k, right) => {
                    prop_assert_eq!(pop(&dict, &[k], end(right), now), model.pop(k, right));
                }
                Step::Len(k) => prop_assert_eq!(dict.len(&[k], now), model.len(k)),
                Step::Keys => {
                    let mut keys = dict.keys(0, now);
                    keys.sort_unstable();
                    prop_assert_eq!(keys, model.keys());
                }
                Step::Flush => {
                    dict.flush();
                    model.map.clear();
                    prop_assert_eq!(dict.used(), 0);
                }
                Step::ExpireAll => {
                    dict.expire_all(now);
                    model.map.values_mut().for_each(|entry| entry.until = entry.until.min(now));
                }
                Step::FlushExpired(most) => {
                    let expired = model.map.values().filter(|entry| now >= entry.until).count();
                    let gone = dict.flush_expired(most.into(), now);
                    prop_assert!(gone <= expired && (most == 0 || gone <= most.into()));
                    if most == 0 {
                        model.map.retain(|_, entry| now < entry.until);
                        prop_assert!(!model.map.is_empty() || dict.used() == 0);
                    }
                }
                Step::Wait(time) => model.now += f64::from(time),
            }
        }
    }

    /// Whatever is evicted: what is there is the newest, and the bytes are kept to.
    #[test]
    fn never_old_and_never_over(steps in prop::collection::vec(step(), 0..300)) {
        let dict = Dict::new(4096);
        let mut model = Model::default();
        for step in steps {
            let now = model.now;
            match step {
                Step::Put(k, v, _, safe, ttl) => {
                    let put = Put { safe, ttl: ttl.into(), ..Put::default() };
                    match dict.put(&[k], scalar(&v), put, now) {
                        Ok(forced) => {
                            prop_assert!(!(safe && forced));
                            prop_assert_eq!(get(&dict, &[k], now), Some(v.clone()));
                            model.set(k, Content::One(v), ttl, 0);
                        }
                        Err(error) => prop_assert!(safe && error == NO_MEMORY),
                    }
                }
                Step::Get(k) => {
                    let found = get(&dict, &[k], now);
                    let known = model.live(k).map(|entry| entry.content.read());
                    prop_assert!(found.is_none() || found == known);
                }
                Step::Push(k, v, right) => {
                    let before = dict.len(&[k], now);
                    if let Ok(length) = dict.push(&[k], scalar(&v), end(right), now) {
                        prop_assert_eq!(before.map(|before| before + 1), Ok(length));
                        model.set(k, Content::Many(VecDeque::new()), 0, 0);
                    }
                }
                Step::Pop(k, right) => {
                    let _ = pop(&dict, &[k], end(right), now);
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
        let write = |key: u8| {
            set(&dict, &[key], Scalar::Text(&[key; 150]), 0.0, 0.0).unwrap();
        };
        (0..32).for_each(write);
        let room = dict.keys(0, 0.0).len();
        prop_assert!((10..32).contains(&room));
        dict.flush();
        // In the order of use, the newest last: the order of the keys too.
        let mut order: Vec<u8> = Vec::new();
        for (key, writes) in uses {
            let there = order.contains(&key);
            if writes {
                write(key);
            } else {
                prop_assert_eq!(get(&dict, &[key], 0.0).is_some(), there);
            }
            if writes || there {
                order.retain(|other| *other != key);
                order.push(key);
            }
            if order.len() > room {
                order.remove(0);
            }
            let expected: Vec<_> = order.iter().map(|key| vec![*key]).collect();
            prop_assert_eq!(dict.keys(0, 0.0), expected);
        }
    }
}
