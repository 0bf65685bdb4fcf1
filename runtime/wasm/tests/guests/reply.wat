;; Answers 403 with a field and a body, unless there is an x-key.
(data (i32.const 256) "x-keydenied\n")
(data (i32.const 300) "\01\00\00\00\08\00\00\00\04\00\00\00x-reason\00none\00")
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (if (result i32) (call $first (i32.const 0) (i32.const 256) (i32.const 5))
    (then (i32.const 0))
    (else (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0)
                  (i32.const 261) (i32.const 7) (i32.const 300) (i32.const 26) (i32.const -1)))
          (i32.const 1))))
