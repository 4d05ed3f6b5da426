;; Skips the contents of JSON strings, 16 bytes at a time. `make generate` assembles it.
(module
  ;; 64 KB of text, and the table.
  (memory (export "memory") 2)

  ;; Returns the first position in [at, to) that needs a look: a closing quote, a control character,
  ;; or a backslash that does not begin a complete escape of two bytes; `to` if there is none.
  ;; Escapes of two bytes are skipped. The table of their second bytes follows the text.
  (func (export "skip") (param $at i32) (param $to i32) (result i32)
    (local $bytes v128)
    (local $found i32)
    (local $byte i32)
    (loop $next
      ;; Whole vectors.
      (block $stop
        (loop $vectors
          (br_if $stop (i32.gt_u (i32.add (local.get $at) (i32.const 16)) (local.get $to)))
          (local.set $bytes (v128.load (local.get $at)))
          (local.set $found
            (i8x16.bitmask
              (v128.or
                (v128.or
                  (i8x16.eq (local.get $bytes) (v128.const i8x16 34 34 34 34 34 34 34 34 34 34 34 34 34 34 34 34))
                  (i8x16.eq (local.get $bytes) (v128.const i8x16 92 92 92 92 92 92 92 92 92 92 92 92 92 92 92 92)))
                (i8x16.lt_u (local.get $bytes) (v128.const i8x16 32 32 32 32 32 32 32 32 32 32 32 32 32 32 32 32)))))
          (if (local.get $found)
            (then
              (local.set $at (i32.add (local.get $at) (i32.ctz (local.get $found))))
              (br $stop)))
          (local.set $at (i32.add (local.get $at) (i32.const 16)))
          (br $vectors)))
      ;; The rest, byte by byte.
      (if (i32.ge_u (local.get $at) (local.get $to)) (then (return (local.get $to))))
      (local.set $byte (i32.load8_u (local.get $at)))
      (if (i32.eq (local.get $byte) (i32.const 92))
        (then
          (if (i32.ge_u (i32.add (local.get $at) (i32.const 1)) (local.get $to)) (then (return (local.get $at))))
          (if (i32.load8_u offset=65536 (i32.load8_u offset=1 (local.get $at)))
            (then
              (local.set $at (i32.add (local.get $at) (i32.const 2)))
              (br $next)))
          (return (local.get $at))))
      (if (i32.or (i32.eq (local.get $byte) (i32.const 34)) (i32.lt_u (local.get $byte) (i32.const 32)))
        (then (return (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; 1 for each byte that ends an escape of two bytes: " / \ b f n r t
  (data (i32.const 65570) "\01")
  (data (i32.const 65583) "\01")
  (data (i32.const 65628) "\01")
  (data (i32.const 65634) "\01")
  (data (i32.const 65638) "\01")
  (data (i32.const 65646) "\01")
  (data (i32.const 65650) "\01")
  (data (i32.const 65652) "\01"))
