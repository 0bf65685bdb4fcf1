//! Which runs of pieces are free as a whole: a VM has held more than it holds, and what it let go of lies
//! in lists of pieces, whose pages nobody else could use.

use std::ptr;

use super::{Arena, CLASSES, Free, PAGE, class_size, run_pages};

/// Where in its run each page is.
#[derive(Default)]
pub(super) struct Runs(Vec<u8>);

impl Runs {
    /// These pages are a run from now on.
    pub(super) fn begin(&mut self, page: u32, pages: u32) {
        let (from, to) = (page as usize, (page + pages) as usize);
        if self.0.len() < to {
            self.0.resize(to, 0);
        }
        self.0[from..to].iter_mut().zip(0..).for_each(|(place, at)| *place = at);
    }

    /// The first page of the run that a page is in.
    fn first(&self, page: usize) -> usize {
        page - usize::from(self.0[page])
    }
}

impl Arena {
    /// Makes free spans of the runs that are free as a whole.
    pub(super) fn gather(&mut self) {
        // Free pieces, by the first page of their run; zero again after each class.
        let mut free = vec![0u16; self.top / PAGE];
        for class in 0..CLASSES {
            let pages = run_pages(class);
            let whole = (pages as usize * PAGE / class_size(class)) as u16;
            let run =
                |piece: *mut Free| self.runs.first((piece as usize - self.base as usize) / PAGE);
            each(self.free[class], |piece| free[run(piece)] += 1);
            let (mut kept, mut gone) = (ptr::null_mut::<Free>(), Vec::new());
            each(self.free[class], |piece| {
                let first = run(piece);
                if free[first] < whole {
                    // SAFETY: a free piece of ours, whose own link was read before.
                    unsafe { (*piece).next = kept };
                    kept = piece;
                } else if free[first] == whole {
                    free[first] += 1;
                    gone.push(first as u32);
                }
            });
            let mut piece = kept;
            while !piece.is_null() {
                free[run(piece)] = 0;
                // SAFETY: the list that was made above.
                piece = unsafe { (*piece).next };
            }
            self.free[class] = kept;
            // In order, neighbours become one span as they are given.
            gone.sort_unstable();
            for first in gone {
                free[first as usize] = 0;
                self.give(first, pages);
            }
        }
    }
}

/// Each piece of a list; what is done to a piece may change its link.
fn each(first: *mut Free, mut what: impl FnMut(*mut Free)) {
    let mut piece = first;
    while !piece.is_null() {
        // SAFETY: free lists hold pieces of ours that nobody else does; `release` wrote their links.
        let next = unsafe { (*piece).next };
        what(piece);
        piece = next;
    }
}
