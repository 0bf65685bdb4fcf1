//! Choices in leaf loops.

use proptest::prelude::*;

use super::{both, reshape};

/// A loop over what a generator of numbers gives; `body` decides by `$x` what `$a`, `$b` and `$c` become.
fn turns(body: &str) -> String {
    format!(
        r#"(module (func (export "run") (param $n i32) (result i32)
          (local $x i32) (local $seed i32) (local $a i32) (local $b i32) (local $c i32) (local $sum i32)
          (local.set $n (i32.and (local.get $n) (i32.const 255)))
          (loop $again
            (local.set $seed (i32.add (i32.mul (local.get $seed) (i32.const 1103515245)) (i32.const 12345)))
            (local.set $x (i32.and (i32.shr_u (local.get $seed) (i32.const 16)) (i32.const 7)))
            (block $out {body})
            (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31))
              (i32.add (local.get $a) (i32.add (i32.mul (local.get $b) (i32.const 7))
                (i32.mul (local.get $c) (i32.const 13))))))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br_if $again (i32.gt_s (local.get $n) (i32.const 0))))
          (local.get $sum)))"#
    )
}

/// Branches and `if`s of a module.
fn jumps(wasm: &[u8]) -> usize {
    let mut jumps = 0;
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        if let wasmparser::Payload::CodeSectionEntry(body) = payload.unwrap() {
            for operator in body.get_operators_reader().unwrap() {
                use wasmparser::Operator as O;
                jumps += usize::from(matches!(
                    operator.unwrap(),
                    O::BrIf { .. } | O::If { .. } | O::BrTable { .. }
                ));
            }
        }
    }
    jumps
}

#[test]
fn what_a_state_becomes_is_computed() {
    let body = "(block $plain
        (br_if $plain (i32.eqz (local.get $a)))
        (block $quote
          (block $escape
            (br_if $escape (i32.eq (local.get $x) (i32.const 3)))
            (br_if $quote (i32.eq (local.get $x) (i32.const 5)))
            (br $out))
          (local.set $b (i32.const 1))
          (br $out))
        (local.set $a (i32.const 0))
        (br $out))
      (br_if $out (i32.ne (local.get $x) (i32.const 5)))
      (local.set $a (i32.const 1))";
    let text = turns(body);
    both(&text, &[0, 1, 7, 8, 9, 100, 255]);
    let before = wat::parse_str(&text).unwrap();
    // Of four jumps at most one is left beside the loop's own, in each of eight copies.
    assert_eq!(jumps(&before), 5);
    let after = jumps(&reshape(&before).unwrap());
    assert!(after <= 16, "{after}");
}

#[test]
fn what_may_trap_or_is_seen_outside_stays_a_branch() {
    for effect in [
        "(local.set $a (i32.div_u (local.get $a) (local.get $b)))",
        "(local.set $a (i32.load (local.get $b)))",
        "(i32.store (local.get $a) (local.get $b))",
        "(global.set 0 (local.get $a))",
        "unreachable",
    ] {
        let body = format!(
            "(if (i32.eq (local.get $x) (i32.const 9)) (then {effect})
               (else (if (i32.eq (local.get $x) (i32.const 10)) (then {effect}))))"
        );
        let text =
            turns(&body).replace("(module", "(module (memory 1) (global (mut i32) (i32.const 0))");
        both(&text, &[0, 9, 50]);
    }
}

#[test]
fn a_choice_that_ends_an_arm_leaves_the_other_arm_there() {
    let body = "(if (local.get $a) (then (if (i32.const 0) (then) (else))) (else (local.set $a (i32.const 1))))
       (if (i32.const 0) (then (if (i32.const 0) (then)
         (else (local.set $a (i32.const 0)) (local.set $b (i32.const 0))))) (else))";
    both(&turns(body), &[1, 2]);
}

#[test]
fn many_choices_in_one_function_grow_by_a_bounded_part() {
    let one = "(loop $again (block $out
        (br_if $out (i32.eq (local.get $n) (i32.const 3)))
        (br_if $out (i32.eq (local.get $n) (i32.const 5)))
        (local.set $n (i32.add (local.get $n) (i32.const 1))))
      (br_if $again (i32.lt_u (local.get $n) (i32.const 3))))";
    let text = format!("(module (func (param $n i32) {}))", one.repeat(20_000));
    let before = wat::parse_str(text).unwrap();
    let after = reshape(&before).unwrap();
    let most = before.len() + before.len() / 4 + (16 << 10) + 1024;
    assert!(after.len() < most, "{} of {}", after.len(), before.len());
    wasmparser::validate(&after).unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Set(usize, Value),
    If(Value, Vec<Step>, Vec<Step>),
    Block(Vec<Step>),
    /// Out of a block so many further out.
    Leave(usize, Option<Value>),
    Switch(Value, Vec<usize>),
}

#[derive(Debug, Clone)]
enum Value {
    Number(i32),
    Local(usize),
    Of(&'static str, Box<Value>, Box<Value>),
    Not(Box<Value>),
}

const LOCALS: [&str; 5] = ["$a", "$b", "$c", "$x", "$sum"];
const HOW: [&str; 12] =
    ["add", "sub", "and", "or", "xor", "eq", "ne", "lt_u", "ge_s", "gt_u", "le_s", "shl"];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![(-1..8).prop_map(Value::Number), (0..5_usize).prop_map(Value::Local)];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (prop::sample::select(&HOW[..]), inner.clone(), inner.clone())
                .prop_map(|(how, a, b)| Value::Of(how, a.into(), b.into())),
            inner.prop_map(|one| Value::Not(one.into())),
        ]
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        4 => (0..3_usize, value()).prop_map(|(local, value)| Step::Set(local, value)),
        1 => (0..4_usize, prop::option::of(value())).prop_map(|(out, test)| Step::Leave(out, test)),
        1 => (value(), prop::collection::vec(0..4_usize, 1..6))
            .prop_map(|(index, labels)| Step::Switch(index, labels)),
    ];
    let step = leaf.prop_recursive(3, 16, 3, |inner| {
        let some = prop::collection::vec(inner, 0..3);
        prop_oneof![
            3 => (value(), some.clone(), some.clone())
                .prop_map(|(test, yes, no)| Step::If(test, yes, no)),
            1 => some.prop_map(Step::Block),
        ]
    });
    prop::collection::vec(step, 1..5)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Number(n) => format!("(i32.const {n})"),
        Value::Local(local) => format!("(local.get {})", LOCALS[*local]),
        Value::Of(how, a, b) => format!("(i32.{how} {} {})", text_of(a), text_of(b)),
        Value::Not(one) => format!("(i32.eqz {})", text_of(one)),
    }
}

/// `depth` blocks are around, the outermost of them where all ways meet.
fn write(steps: &[Step], depth: usize, out: &mut String) {
    let label = |far: usize| far.min(depth - 1);
    for step in steps {
        match step {
            Step::Set(local, value) => {
                out.push_str(&format!("(local.set {} {})", LOCALS[*local], text_of(value)));
            }
            Step::If(test, yes, no) => {
                out.push_str(&format!("(if {} (then ", text_of(test)));
                write(yes, depth + 1, out);
                out.push_str(") (else ");
                write(no, depth + 1, out);
                out.push_str("))");
            }
            Step::Block(steps) => {
                out.push_str("(block ");
                write(steps, depth + 1, out);
                out.push(')');
            }
            Step::Leave(far, None) => out.push_str(&format!("(br {})", label(*far))),
            Step::Leave(far, Some(test)) => {
                out.push_str(&format!("(br_if {} {})", label(*far), text_of(test)));
            }
            Step::Switch(index, labels) => {
                let labels: Vec<_> = labels.iter().map(|far| label(*far).to_string()).collect();
                out.push_str(&format!("(br_table {} {})", labels.join(" "), text_of(index)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn any_choice_means_the_same_before_and_after(steps in steps()) {
        let mut body = String::new();
        write(&steps, 1, &mut body);
        both(&turns(&body), &[1, 40]);
    }
}
