;; A core module as scripts call it.
(module
  (memory (export "memory") 2)
  (global $top (mut i32) (i32.const 1024))
  (func (export "alloc") (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.add (global.get $top) (local.get $len)))
    (local.get $at))
  (func (export "reset") (global.set $top (i32.const 1024)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
  (func (export "not") (param i32) (result i32) (i32.eqz (local.get 0)))
  ;; A string that is its own tail from the second byte.
  (func (export "tail") (param i32 i32) (result i64)
    (i64.or
      (i64.shl (i64.extend_i32_u (i32.add (local.get 0) (i32.const 1))) (i64.const 32))
      (i64.extend_i32_u (i32.sub (local.get 1) (i32.const 1)))))
  (func (export "outside") (result i64) (i64.const -1))
  (func (export "trap") (unreachable))
  (func (export "spin") (loop $on (br $on)))
  ;; Counts down for a while.
  (func (export "work") (param $n i64) (result i64)
    (loop $on
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $on (i64.gt_s (local.get $n) (i64.const 0))))
    (i64.const 7))
  (func (export "bomb")
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (unreachable)))
