//! Random types of WIT, values of them, and components that give back what they are given. The
//! tests of the whole gateway use it, too.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]

use std::fmt::Write;

use pilotlight_abi::Value;

/// A type.
#[derive(Debug, Clone)]
pub enum Wit {
    Plain(&'static str),
    List(Box<Wit>),
    Record(Vec<(String, Wit)>),
    Tuple(Vec<Wit>),
    Variant(Vec<(String, Option<Wit>)>),
    Enum(usize),
    Option(Box<Wit>),
    Result(Option<Box<Wit>>, Option<Box<Wit>>),
    Flags(usize),
}

pub const PLAIN: [&str; 13] =
    ["bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string"];

/// Random numbers of a seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, most: usize) -> usize {
        (self.roll() % most as u64) as usize
    }

    /// A whole number of so many bits, often at an end of its range.
    fn whole(&mut self, bits: u32) -> u64 {
        match self.below(4) {
            0 => 0,
            1 => u64::MAX >> (64 - bits),
            2 => 1 << (bits - 1),
            _ => self.roll() >> (64 - bits),
        }
    }

    pub fn ty(&mut self, depth: usize) -> Wit {
        let inner = |dice: &mut Dice| Box::new(dice.ty(depth.saturating_sub(1)));
        let maybe = |dice: &mut Dice| (dice.below(3) > 0).then(|| dice.ty(depth.saturating_sub(1)));
        match self.below(if depth == 0 { 6 } else { 14 }) {
            0..=3 => Wit::Plain(PLAIN[self.below(PLAIN.len())]),
            4 => Wit::Enum(1 + self.below(5)),
            5 => Wit::Flags([1, 3, 8, 9, 16, 17, 32][self.below(7)]),
            6 | 7 => Wit::List(inner(self)),
            8 => {
                let count = 1 + self.below(4);
                Wit::Record((0..count).map(|n| (format!("f-{n}"), *inner(self))).collect())
            }
            9 => {
                let count = 1 + self.below(4);
                Wit::Tuple((0..count).map(|_| *inner(self)).collect())
            }
            10 => {
                let count = 1 + self.below(5);
                Wit::Variant((0..count).map(|n| (format!("c-{n}"), maybe(self))).collect())
            }
            11 | 12 => Wit::Option(inner(self)),
            _ => Wit::Result(maybe(self).map(Box::new), maybe(self).map(Box::new)),
        }
    }

    /// A value, as scripts have it.
    pub fn value(&mut self, ty: &Wit) -> Value {
        self.any(ty, false)
    }

    fn any(&mut self, ty: &Wit, cased: bool) -> Value {
        match ty {
            Wit::Plain(name) => self.plain(name),
            Wit::List(element) => {
                let count = self.below(4);
                match &**element {
                    Wit::Plain("u8") => {
                        Value::Bytes((0..count * 50).map(|_| self.roll() as u8).collect())
                    }
                    element => Value::List((0..count).map(|_| self.value(element)).collect()),
                }
            }
            Wit::Record(fields) => {
                let field = |(name, ty): &(String, Wit)| (name.replace('-', "_"), self.value(ty));
                Value::Map(fields.iter().map(field).collect())
            }
            Wit::Tuple(types) => Value::List(types.iter().map(|ty| self.value(ty)).collect()),
            Wit::Variant(cases) => {
                let (name, ty) = &cases[self.below(cases.len())];
                self.case(&name.replace('-', "_"), ty.as_ref())
            }
            Wit::Enum(count) => Value::from(&*format!("e_{}", self.below(*count))),
            Wit::Option(inner) if cased => match self.below(2) {
                0 => "none".into(),
                _ => self.case("some", Some(inner)),
            },
            Wit::Option(inner) => match self.below(3) {
                0 => Value::Nil,
                _ => self.any(inner, true),
            },
            Wit::Result(ok, err) => match self.below(2) {
                0 => self.case("ok", ok.as_deref()),
                _ => self.case("err", err.as_deref()),
            },
            Wit::Flags(count) => {
                let set = (0..*count).filter(|_| self.roll() & 1 == 0);
                Value::Map(set.map(|n| (format!("g_{n}"), Value::Bool(true))).collect())
            }
        }
    }

    fn case(&mut self, name: &str, ty: Option<&Wit>) -> Value {
        match ty.map(|ty| self.value(ty)) {
            None | Some(Value::Nil) => name.into(),
            Some(held) => Value::Map(vec![(name.into(), held)]),
        }
    }

    fn plain(&mut self, name: &str) -> Value {
        let float = match self.below(4) {
            0 => -0.0,
            1 => f64::INFINITY,
            2 => 0.1,
            _ => self.roll() as i64 as f64 / 1024.0,
        };
        match name {
            "bool" => Value::Bool(self.roll() & 1 == 0),
            "s8" => Value::Int((self.whole(8) as i8).into()),
            "u8" => Value::Int((self.whole(8) as u8).into()),
            "s16" => Value::Int((self.whole(16) as i16).into()),
            "u16" => Value::Int((self.whole(16) as u16).into()),
            "s32" => Value::Int((self.whole(32) as i32).into()),
            "u32" => Value::Int((self.whole(32) as u32).into()),
            "s64" => Value::Int(self.whole(64) as i64),
            "u64" => {
                let whole = self.whole(64);
                i64::try_from(whole).map_or(Value::Uint(whole), Value::Int)
            }
            "f32" => Value::Float((float as f32).into()),
            "f64" => Value::Float(float),
            "char" => Value::from(["a", "\0", "é", "€", "𝄞"][self.below(5)]),
            _ => Value::from(["", "plain", "grüße, 世界 𝄞", "a\0b"][self.below(4)]),
        }
    }
}

/// A component that exports `echo: func(v: list<TYPE>) -> list<TYPE>`.
pub fn echo(ty: &Wit) -> String {
    let mut text = String::from(MEMORY);
    let mut count = 0;
    let name = declare(&mut text, ty, &mut count);
    write!(
        text,
        r#"  (func (export "echo") (param "v" (list {name})) (result (list {name}))
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))
      (post-return (core func $i "reset")))))
"#
    )
    .unwrap();
    text
}

/// A component that exports a function of its own types: `core` is its body's module.
pub const MEMORY: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 1024))
    (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32)
      (result i32) (local $at i32)
      (local.set $at (i32.and
        (i32.sub (i32.add (global.get $top) (local.get $align)) (i32.const 1))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $top (i32.add (local.get $at) (local.get $new)))
      (loop $more
        (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
          (then
            (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
            (br $more))))
      (local.get $at))
    (func (export "reset") (param i32) (global.set $top (i32.const 1024)))
    (func (export "echo") (param $at i32) (param $count i32) (result i32)
      (i32.store (i32.const 16) (local.get $at))
      (i32.store (i32.const 20) (local.get $count))
      (i32.const 16))
    (func (export "same32") (param i32) (result i32) (local.get 0))
    (func (export "same64") (param i64) (result i64) (local.get 0))
    (func (export "samef32") (param f32) (result f32) (local.get 0))
    (func (export "samef64") (param f64) (result f64) (local.get 0))
    (func (export "none"))
    (func (export "nothing") (param i32))
    (func (export "trap") (unreachable))
    (func (export "spin") (loop $on (br $on)))
    (func (export "huge") (result i32)
      (i32.store (i32.const 16) (i32.const 0))
      (i32.store (i32.const 20) (i32.const 65536))
      (i32.const 16))
    (func (export "far") (result i32)
      (i32.store (i32.const 16) (i32.const 65000))
      (i32.store (i32.const 20) (i32.const 5000))
      (i32.const 16))
    (func (export "bomb")
      (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      (unreachable)))
  (core instance $i (instantiate $m))
"#;

/// Declares what must have a name; gives the type as it is written where it is used.
pub fn declare(text: &mut String, ty: &Wit, count: &mut usize) -> String {
    match ty {
        Wit::Plain(name) => (*name).to_owned(),
        Wit::Enum(cases) => {
            let cases: String = (0..*cases).map(|n| format!(" \"e-{n}\"")).collect();
            name(text, &format!("(enum{cases})"), count)
        }
        Wit::Flags(flags) => {
            let flags: String = (0..*flags).map(|n| format!(" \"g-{n}\"")).collect();
            name(text, &format!("(flags{flags})"), count)
        }
        Wit::List(element) => format!("(list {})", declare(text, element, count)),
        Wit::Option(inner) => format!("(option {})", declare(text, inner, count)),
        Wit::Tuple(types) => {
            let types: String =
                types.iter().map(|ty| format!(" {}", declare(text, ty, count))).collect();
            format!("(tuple{types})")
        }
        Wit::Result(ok, err) => {
            let ok = ok.as_ref().map(|ty| format!(" {}", declare(text, ty, count)));
            let err = err.as_ref().map(|ty| format!(" (error {})", declare(text, ty, count)));
            format!("(result{}{})", ok.unwrap_or_default(), err.unwrap_or_default())
        }
        Wit::Record(fields) => {
            let mut body = String::from("(record");
            for (name, ty) in fields {
                let ty = declare(text, ty, count);
                write!(body, " (field \"{name}\" {ty})").unwrap();
            }
            name(text, &(body + ")"), count)
        }
        Wit::Variant(cases) => {
            let mut body = String::from("(variant");
            for (name, ty) in cases {
                let ty = ty.as_ref().map(|ty| declare(text, ty, count)).unwrap_or_default();
                write!(body, " (case \"{name}\" {ty})").unwrap();
            }
            name(text, &(body + ")"), count)
        }
    }
}

fn name(text: &mut String, body: &str, count: &mut usize) -> String {
    *count += 1;
    let n = *count;
    writeln!(text, "  (type $t{n} {body})\n  (export $n{n} \"n{n}\" (type $t{n}))").unwrap();
    format!("$n{n}")
}
