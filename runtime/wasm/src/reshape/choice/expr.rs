//! Values and conditions, as the code that computes them.

use crate::reshape::{leb, signed};

const CONST: u8 = 0x41;
const GET: u8 = 0x20;
const EQZ: u8 = 0x45;
pub(super) const EQ: u8 = 0x46;
pub(super) const NE: u8 = 0x47;
pub(super) const LT_U: u8 = 0x49;
pub(super) const ADD: u8 = 0x6a;
pub(super) const SUB: u8 = 0x6b;
const AND: u8 = 0x71;
const OR: u8 = 0x72;
pub(super) const SELECT: u8 = 0x1b;

/// What computes a value from what the locals were when the choice began, as code.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Expr {
    pub(super) code: Vec<u8>,
    /// Its last instruction, if that computes.
    last: u8,
    /// What that is of is 0 or 1.
    of_truth: bool,
    pub(super) cost: usize,
}

impl Expr {
    pub(super) fn get(local: u32) -> Expr {
        let mut code = vec![GET];
        leb(&mut code, local);
        Expr::leaf(code)
    }

    pub(super) fn number(value: u32) -> Expr {
        let mut code = vec![CONST];
        signed(&mut code, value as i32);
        Expr::leaf(code)
    }

    pub(super) fn of(how: u8, parts: &[&Expr]) -> Expr {
        let mut code: Vec<u8> = parts.iter().flat_map(|part| &part.code).copied().collect();
        code.push(how);
        let of_truth = parts.iter().all(|part| part.truth());
        let cost = parts.iter().map(|part| part.cost).sum::<usize>() + 1;
        Expr { code, last: how, of_truth, cost }
    }

    pub(super) fn leaf(code: Vec<u8>) -> Expr {
        Expr { code, last: 0, of_truth: false, cost: 0 }
    }

    /// It is 0 or 1.
    pub(super) fn truth(&self) -> bool {
        (EQZ..=0x5a).contains(&self.last) || self.of_truth && matches!(self.last, AND | OR)
    }

    pub(super) fn not(mut self) -> Expr {
        let other = match self.last {
            EQZ if self.of_truth => {
                self.code.pop();
                // It was a conjunction, or the like: what else is turned round.
                return Expr { last: AND, cost: self.cost - 1, ..self };
            }
            EQ => NE,
            NE => EQ,
            0x48 => 0x4e,
            0x49 => 0x4f,
            0x4a => 0x4c,
            0x4b => 0x4d,
            0x4c => 0x4a,
            0x4d => 0x4b,
            0x4e => 0x48,
            0x4f => 0x49,
            _ => return Expr::of(EQZ, &[&self]),
        };
        self.code.pop();
        self.code.push(other);
        Expr { last: other, ..self }
    }
}

/// A condition, 0 or 1.
#[derive(Clone)]
pub(super) enum Truth {
    Never,
    Always,
    If(Expr),
}

impl Truth {
    pub(super) fn not(self) -> Truth {
        match self {
            Truth::Never => Truth::Always,
            Truth::Always => Truth::Never,
            Truth::If(one) => Truth::If(one.not()),
        }
    }

    pub(super) fn and(self, other: Truth) -> Truth {
        match (self, other) {
            (Truth::Never, _) | (_, Truth::Never) => Truth::Never,
            (Truth::Always, one) | (one, Truth::Always) => one,
            (Truth::If(a), Truth::If(b)) => Truth::If(Expr::of(AND, &[&a, &b])),
        }
    }

    pub(super) fn or(self, other: Truth) -> Truth {
        match (self, other) {
            (Truth::Always, _) | (_, Truth::Always) => Truth::Always,
            (Truth::Never, one) | (one, Truth::Never) => one,
            (Truth::If(a), Truth::If(b)) => Truth::If(Expr::of(OR, &[&a, &b])),
        }
    }
}
