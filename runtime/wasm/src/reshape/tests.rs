#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use wasmtime::{Engine, Instance, Module, Store};

use super::*;

mod choices;

/// Runs `run` of a module as it is and as it becomes; gives the result, which must be the same.
fn both(text: &str, arguments: &[i32]) -> Vec<i32> {
    let before = wat::parse_str(text).unwrap();
    let after = reshape(&before).expect("something to gain");
    let run = |wasm: &[u8], argument: i32| {
        let engine = Engine::default();
        let module = Module::new(&engine, wasm).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        run.call(&mut store, argument).unwrap()
    };
    arguments
        .iter()
        .map(|argument| {
            let result = run(&before, *argument);
            assert_eq!(result, run(&after, *argument), "of {argument}");
            result
        })
        .collect()
}

/// How many loops and switches a module has.
fn census(wasm: &[u8]) -> (usize, usize) {
    let (mut loops, mut switches) = (0, 0);
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.unwrap() {
            for operator in body.get_operators_reader().unwrap() {
                match operator.unwrap() {
                    Operator::Loop { .. } => loops += 1,
                    Operator::BrTable { .. } => switches += 1,
                    _ => {}
                }
            }
        }
    }
    (loops, switches)
}

#[test]
fn a_loop_of_any_number_of_turns_gives_the_same() {
    let text = r#"(module (func (export "run") (param $n i32) (result i32) (local $sum i32)
        (block $out
          (loop $again
            (br_if $out (i32.eqz (local.get $n)))
            (local.set $sum (i32.add (local.get $sum) (local.get $n)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $again)))
        (local.get $sum)))"#;
    assert_eq!(both(text, &[0, 1, 2, 3, 4, 5, 8, 9, 100]), [0, 1, 3, 6, 10, 15, 36, 45, 5050]);
}

#[test]
fn a_loop_that_ends_by_falling_through_does_so_in_every_copy() {
    let text = r#"(module (func (export "run") (param $n i32) (result i32) (local $turns i32)
        (loop $again
          (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $turns) (local.get $n))))
        (local.get $turns)))"#;
    assert_eq!(both(text, &[0, 1, 2, 3, 4, 5, 6, 7]), [1, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn continues_from_deep_inside_and_breaks_to_far_outside_find_their_labels() {
    let text = r#"(module (func (export "run") (param $n i32) (result i32) (local $i i32) (local $sum i32)
        (block $far (result i32)
          (block $near
            (loop $again
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br_if $near (i32.gt_u (local.get $i) (local.get $n)))
              (block $skip
                (block $odd
                  (br_if $odd (i32.and (local.get $i) (i32.const 1)))
                  (drop (br_if $far (i32.const -7) (i32.eq (local.get $i) (i32.const 10))))
                  (br $again))
                (br_if $skip (i32.eq (local.get $i) (i32.const 3)))
                (local.set $sum (i32.add (local.get $sum) (local.get $i))))
              (br $again)))
          (local.get $sum))))"#;
    assert_eq!(both(text, &[0, 1, 2, 3, 5, 7, 9, 10, 11]), [0, 1, 1, 1, 6, 13, 22, -7, -7]);
}

#[test]
fn a_loop_in_a_loop_is_written_out_and_the_outer_one_is_not() {
    let text = r#"(module (func (export "run") (param $n i32) (result i32)
        (local $i i32) (local $k i32) (local $sum i32)
        (loop $outer
          (local.set $k (i32.const 0))
          (loop $inner
            (local.set $sum (i32.add (local.get $sum) (i32.const 1)))
            (local.set $k (i32.add (local.get $k) (i32.const 1)))
            (br_if $inner (i32.lt_u (local.get $k) (local.get $n))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $outer (i32.lt_u (local.get $i) (local.get $n))))
        (local.get $sum)))"#;
    assert_eq!(both(text, &[1, 2, 3, 5, 6]), [1, 4, 9, 25, 36]);
    assert_eq!(census(&reshape(&wat::parse_str(text).unwrap()).unwrap()), (2, 0));
}

#[test]
fn a_switch_of_few_runs_becomes_comparisons() {
    let text = r#"(module (func (export "run") (param $x i32) (result i32)
        (block $c (block $b (block $a
          (br_table $a $b $b $b $c $a (local.get $x)))
          (return (i32.const 1)))
          (return (i32.const 2)))
        (i32.const 3)))"#;
    assert_eq!(both(text, &[0, 1, 2, 3, 4, 5, 6, -1, i32::MIN]), [1, 2, 2, 2, 3, 1, 1, 1, 1]);
    assert_eq!(census(&reshape(&wat::parse_str(text).unwrap()).unwrap()), (0, 0));
}

#[test]
fn a_switch_hands_on_what_its_labels_take() {
    let text = r#"(module (func (export "run") (param $x i32) (result i32)
        (block $b (result i32)
          (block $a (result i32)
            (br_table $a $b (i32.const 40) (local.get $x)))
          (i32.add (i32.const 2)))))"#;
    assert_eq!(both(text, &[0, 1, 2, -1]), [42, 40, 40, 40]);
}

#[test]
fn a_switch_within_a_loop_that_goes_on_and_out() {
    let text = r#"(module (func (export "run") (param $n i32) (result i32) (local $i i32) (local $sum i32)
        (block $out
          (loop $again
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (local.set $sum (i32.add (local.get $sum) (local.get $i)))
            (br_table $again $again $out $again (i32.sub (local.get $n) (local.get $i)))))
        (local.get $sum)))"#;
    assert_eq!(both(text, &[3, 4, 5, 8]), [1, 3, 6, 21]);
}

#[test]
fn a_switch_of_many_runs_stays() {
    let text = r#"(module (func (export "run") (param $x i32) (result i32)
        (block $b (block $a
          (br_table $a $b $a $b $a $b $a $b (local.get $x)))
          (return (i32.const 1)))
        (i32.const 2)))"#;
    assert_eq!(reshape(&wat::parse_str(text).unwrap()), None);
}

#[test]
fn loops_with_calls_and_long_ones_stay() {
    let call = r#"(module (func $f) (func (export "run") (param $n i32)
        (loop $again (call $f) (br_if $again (local.get $n)))))"#;
    assert_eq!(reshape(&wat::parse_str(call).unwrap()), None);
    let work = "(local.set $n (i32.add (local.get $n) (i32.const 1000000)))".repeat(100);
    let long = format!(
        r#"(module (func (param $n i32) (loop $again {work} (br_if $again (local.get $n)))))"#
    );
    assert_eq!(reshape(&wat::parse_str(long).unwrap()), None);
}

#[test]
fn a_module_grows_by_a_bounded_part() {
    let one = "(func (param $n i32) (loop $again (local.set $n (i32.add (local.get $n) (i32.const 1))) \
               (br_if $again (local.get $n))))";
    let before = wat::parse_str(format!("(module {})", one.repeat(20_000))).unwrap();
    let after = reshape(&before).unwrap();
    let most = before.len() + before.len() / GROWTH.0 + GROWTH.1 + 1024;
    assert!(
        after.len() > before.len() && after.len() < most,
        "{} of {}",
        after.len(),
        before.len()
    );
    wasmparser::validate(&after).unwrap();
}

#[test]
fn modules_within_components_are_reshaped() {
    let text = r#"(component (component (core module
        (func (param $n i32) (loop $again (br_if $again (local.get $n)))))))"#;
    let after = reshape(&wat::parse_str(text).unwrap()).unwrap();
    wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all())
        .validate_all(&after)
        .unwrap();
}

#[test]
fn what_is_no_module_is_left_to_the_compiler() {
    for bytes in [
        &b""[..],
        b"\0asm",
        b"\0asm\x01\0\0\0\x0a\xff\xff\xff\xff\x0f",
        b"\0asm\x0d\0\x01\0\x01\x09",
    ] {
        assert_eq!(reshape(bytes), None);
    }
}

/// A program that ends: every loop counts its turns first.
#[derive(Debug, Clone)]
enum Step {
    /// `sum = sum * 31 + n`
    Mix(i32),
    /// At most so many turns. What `Leave` and `Again` mean in it is this loop.
    Loop(i32, Vec<Step>),
    /// One of its arms, by `sum`; cases name arms, the last of all is the rest.
    Switch(Vec<usize>, Vec<Vec<Step>>),
    /// Out of the loop so many further out, or on with it, if `sum & mask == 0`.
    Leave(usize, i32),
    Again(usize, i32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(Step::Mix),
        (0..3_usize, 1..8_i32).prop_map(|(out, mask)| Step::Leave(out, mask)),
        (0..3_usize, 1..8_i32).prop_map(|(out, mask)| Step::Again(out, mask)),
    ];
    let step = leaf.prop_recursive(4, 48, 4, |inner| {
        let block = prop::collection::vec(inner, 1..4);
        prop_oneof![
            (0..12, block.clone()).prop_map(|(turns, body)| Step::Loop(turns, body)),
            (prop::collection::vec(0..3_usize, 0..8), prop::collection::vec(block, 3))
                .prop_map(|(cases, arms)| Step::Switch(cases, arms)),
        ]
    });
    prop::collection::vec(step, 1..5)
}

/// Writes a program as text; `loops` are the counters of the loops around it.
fn write(steps: &[Step], loops: &mut Vec<usize>, counters: &mut usize, out: &mut String) {
    for step in steps {
        match step {
            Step::Mix(n) => out.push_str(&format!(
                "(local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (i32.const {n})))"
            )),
            Step::Loop(turns, body) => {
                let own = *counters;
                *counters += 1;
                out.push_str(&format!(
                    "(local.set $c{own} (i32.const {turns})) (block $b{own} (loop $l{own} \
                     (br_if $b{own} (i32.eqz (local.get $c{own}))) \
                     (local.set $c{own} (i32.sub (local.get $c{own}) (i32.const 1)))"
                ));
                loops.push(own);
                write(body, loops, counters, out);
                loops.pop();
                out.push_str(&format!("(br $l{own})))"));
            }
            Step::Switch(cases, arms) => {
                let own = *counters;
                *counters += 1;
                let labels: Vec<String> =
                    cases.iter().chain([&2]).map(|arm| format!("$s{own}a{arm}")).collect();
                out.push_str(&format!(
                    "(block $s{own} (block $s{own}a2 (block $s{own}a1 (block $s{own}a0 \
                     (br_table {} (i32.and (local.get $sum) (i32.const 7))))",
                    labels.join(" ")
                ));
                for arm in arms {
                    write(arm, loops, counters, out);
                    out.push_str(&format!("(br $s{own}))"));
                }
            }
            Step::Leave(far, mask) | Step::Again(far, mask) => {
                let Some(own) = loops.iter().rev().nth(*far) else { continue };
                let kind = if matches!(step, Step::Leave(..)) { 'b' } else { 'l' };
                out.push_str(&format!(
                    "(br_if ${kind}{own} (i32.eqz (i32.and (local.get $sum) (i32.const {mask}))))"
                ));
            }
        }
    }
}

proptest! {
    #[test]
    fn any_program_means_the_same_before_and_after(steps in steps(), start in any::<i32>()) {
        let (mut body, mut counters) = (String::new(), 0);
        write(&steps, &mut Vec::new(), &mut counters, &mut body);
        let locals: String = (0..counters).map(|n| format!("(local $c{n} i32)")).collect();
        let text = format!(
            r#"(module (func (export "run") (param $sum i32) (result i32) {locals} {body} (local.get $sum)))"#
        );
        if reshape(&wat::parse_str(&text).unwrap()).is_some() {
            both(&text, &[start, 0, 1]);
        }
    }
}

proptest! {
    #[test]
    fn hostile_bytes_are_no_panic_and_never_make_a_valid_module_invalid(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let text = r#"(module (import "a" "b" (func (param i64))) (memory 1) (func (param i32 i64) (local f32)
            (block (loop (br_table 0 1 1 0 (local.get 0)))) (loop (br_if 0 (local.get 0)))))"#;
        let mut wasm = wat::parse_str(text).unwrap();
        for (place, byte) in changes {
            *place.get_mut(&mut wasm) = byte;
        }
        let end = cut.index(wasm.len() * 4).min(wasm.len());
        wasm.truncate(end);
        let after = reshape(&wasm);
        if let (Some(after), Ok(_)) = (after, wasmparser::validate(&wasm)) {
            wasmparser::validate(&after).unwrap();
        }
    }
}
