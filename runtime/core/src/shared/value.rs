//! Values as a dictionary keeps them, and what they cost.

use std::collections::VecDeque;
use std::sync::Arc;

use pilotlight_abi::shared::{End, Kept, Scalar};

/// A value.
#[derive(Debug)]
pub(super) enum Stored {
    Bool(bool),
    Number(f64),
    Bytes(Arc<[u8]>),
    /// Never empty but while it is made.
    List(Box<List>),
}

/// Numbers and bytes, in a row.
#[derive(Debug, Default)]
pub(super) struct List {
    items: VecDeque<Stored>,
    cost: usize,
}

/// What an item costs beside its bytes: its place in the list, which grows by doubling.
const ITEM: usize = 2 * size_of::<Stored>();

impl Stored {
    /// Bytes beside the entry itself.
    pub(super) fn cost(&self) -> usize {
        match self {
            Stored::Bool(_) | Stored::Number(_) => 0,
            // An Arc's two counts stand before its bytes.
            Stored::Bytes(bytes) => piece(2 * size_of::<usize>() + bytes.len()),
            Stored::List(list) => piece(size_of::<List>()) + list.cost,
        }
    }

    /// What it is; its bytes are copied by whoever has let go of the lock.
    pub(super) fn look(&self) -> (Kept, Option<Arc<[u8]>>) {
        match self {
            Stored::Bool(bool) => (Kept::Bool(*bool), None),
            Stored::Number(number) => (Kept::Number(*number), None),
            Stored::Bytes(bytes) => (Kept::Text, Some(bytes.clone())),
            Stored::List(_) => (Kept::List, None),
        }
    }
}

impl From<Scalar<'_>> for Stored {
    fn from(scalar: Scalar<'_>) -> Stored {
        match scalar {
            Scalar::Bool(bool) => Stored::Bool(bool),
            Scalar::Number(number) => Stored::Number(number),
            Scalar::Text(bytes) => Stored::Bytes(bytes.into()),
        }
    }
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// What one more item would cost.
    pub(super) fn price(item: &Stored) -> usize {
        ITEM + item.cost()
    }

    pub(super) fn push(&mut self, item: Stored, end: End) {
        self.cost += List::price(&item);
        match end {
            End::Left => self.items.push_front(item),
            End::Right => self.items.push_back(item),
        }
    }

    pub(super) fn pop(&mut self, end: End) -> Option<Stored> {
        let item = match end {
            End::Left => self.items.pop_front(),
            End::Right => self.items.pop_back(),
        }?;
        self.cost -= List::price(&item);
        Some(item)
    }
}

/// What an allocator takes for so many bytes: it has eight sizes between a power of two and the
/// next. Values of nearly one length so cost the same, and one makes room for another.
pub(super) fn piece(len: usize) -> usize {
    let step = match len {
        0..=128 => 16,
        _ => (1 << (len - 1).ilog2()) / 8,
    };
    len.next_multiple_of(step)
}
