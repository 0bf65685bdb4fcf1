//! The heavy transforms of `conf/heavy.lua`, as functions for scripts, and two that do next to nothing.

use std::fmt::Write as _;
use std::rc::Rc;

use pilotlight_sdk::function;
use sha2::{Digest, Sha256};

#[path = "../../../../examples/redact-json/src/redact.rs"]
mod redaction;

/// SHA-256, in hexadecimal.
#[function]
fn sha(text: &[u8]) -> String {
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// JSON without the values of `name`, and without addresses.
#[function]
fn redact(text: &[u8]) -> Vec<u8> {
    let rules = Rc::new(redaction::Rules::new(vec!["name".into()], true, "***"));
    redaction::Redactor::new(&rules).push(text, true).to_vec()
}

/// Points of four bytes, a quarter as wide and as high: the mean of sixteen each.
#[function]
fn quarter(points: &[u8], width: u32) -> Vec<u8> {
    let row = width as usize * 4;
    let mut out = Vec::with_capacity(points.len() / 16);
    for rows in points.chunks_exact(row * 4) {
        for left in (0..row).step_by(16) {
            for channel in 0..4 {
                let mut sum = 0;
                for line in rows.chunks_exact(row) {
                    let four = &line[left + channel..];
                    sum += u32::from(four[0])
                        + u32::from(four[4])
                        + u32::from(four[8])
                        + u32::from(four[12]);
                }
                out.push((sum / 16) as u8);
            }
        }
    }
    out
}

/// A call with two numbers.
#[function]
fn add(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}

/// A call with a string each way.
#[function]
fn echo(text: &[u8]) -> Vec<u8> {
    text.to_vec()
}
