;; x-out becomes the property that x-prop names (its "/" stand for NUL); then sets wasm.seen = yes.
(data (i32.const 256) "x-propx-outx-statuswasm\00seenyes")
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (local $at i32) (local $end i32)
  (drop (call $get (i32.const 0) (i32.const 256) (i32.const 6) (i32.const 0) (i32.const 4)))
  (local.set $at (i32.load (i32.const 0)))
  (local.set $end (i32.add (local.get $at) (i32.load (i32.const 4))))
  (loop $next
    (if (i32.lt_u (local.get $at) (local.get $end))
      (then
        (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 47))
          (then (i32.store8 (local.get $at) (i32.const 0))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next))))
  (if (i32.eqz (call $property (i32.load (i32.const 0)) (i32.load (i32.const 4)) (i32.const 8) (i32.const 12)))
    (then (drop (call $replace (i32.const 0) (i32.const 262) (i32.const 5)
                       (i32.load (i32.const 8)) (i32.load (i32.const 12))))))
  (call $set_property (i32.const 275) (i32.const 9) (i32.const 284) (i32.const 3)))
