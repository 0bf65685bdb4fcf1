#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn classes_cover_every_size() {
    for size in 1..=SMALL {
        let class = class_of(size);
        assert!(class < CLASSES, "{size}");
        assert!(class_size(class) >= size, "{size} in {}", class_size(class));
        assert!(class == 0 || class_size(class - 1) < size, "{size}");
    }
    assert_eq!(class_size(CLASSES - 1), SMALL);
}

#[test]
fn pieces_keep_their_bytes_and_all_come_back() {
    let mut arena = Arena::new(8 << 20).unwrap();
    let data = (&raw mut *arena).cast::<c_void>();
    let mut held: Vec<(*mut u8, usize, u8)> = Vec::new();
    let mut seed = 7u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    for round in 0..20_000usize {
        let mark = round as u8;
        let size = if random(10) == 0 { 1 + random(60_000) } else { 1 + random(700) };
        match random(3) {
            0 if !held.is_empty() => {
                let (at, old, mark) = held.swap_remove(random(held.len()));
                // SAFETY: `at` holds `old` bytes of ours.
                unsafe {
                    assert!(std::slice::from_raw_parts(at, old).iter().all(|b| *b == mark));
                    allocate(data, at.cast(), old, 0);
                }
            }
            1 if !held.is_empty() => {
                let index = random(held.len());
                let (at, old, mark) = held[index];
                // SAFETY: as above.
                unsafe {
                    let to = allocate(data, at.cast(), old, size).cast::<u8>();
                    let kept = std::slice::from_raw_parts(to, old.min(size));
                    assert!(kept.iter().all(|b| *b == mark));
                    std::slice::from_raw_parts_mut(to, size).fill(mark);
                    held[index] = (to, size, mark);
                }
            }
            _ if held.len() < 200 => {
                // SAFETY: a fresh piece of `size` bytes.
                unsafe {
                    let at = allocate(data, ptr::null_mut(), 0, size).cast::<u8>();
                    assert!(!at.is_null() && (at as usize) < 1 << 46);
                    std::slice::from_raw_parts_mut(at, size).fill(mark);
                    held.push((at, size, mark));
                }
            }
            _ => {}
        }
    }
    for (at, size, _) in held {
        // SAFETY: as above.
        unsafe { allocate(data, at.cast(), size, 0) };
    }
    assert_eq!(arena.used, 0);
}

/// What is gathered is used again, by pieces of any size; what is held stays.
#[test]
fn runs_that_are_free_become_pages_again() {
    let mut arena = Arena::new(8 << 20).unwrap();
    let data = (&raw mut *arena).cast::<c_void>();
    let sizes = [16, 48, 200, 256, 300, 1000, 4096];
    // SAFETY: fresh pieces, each of its size.
    let make = |size: usize| unsafe {
        let at = allocate(data, ptr::null_mut(), 0, size).cast::<u8>();
        at.write_bytes(size as u8, size);
        (at, size)
    };
    let all: Vec<_> = (0..14_000).map(|at| make(sizes[at % sizes.len()])).collect();
    let top = arena.top;
    let (held, gone): (Vec<_>, Vec<_>) =
        all.into_iter().enumerate().partition(|(at, _)| *at < 7 || at % 4_000 == 0);
    for (_, (at, size)) in gone {
        // SAFETY: made above, with that size.
        unsafe { allocate(data, at.cast(), size, 0) };
    }
    arena.trim();
    let free: u32 = arena.spans.iter().map(|span| span.pages).sum();
    assert!(free as usize * PAGE > top / 10 * 9, "{free} pages of {}", top / PAGE);
    let again: Vec<_> = (0..3_000).map(|at| make(sizes[at % sizes.len()])).collect();
    make(1 << 20);
    assert_eq!(arena.top, top, "there was room");
    for (at, size) in held.into_iter().map(|(_, one)| one).chain(again) {
        // SAFETY: made above, with that size.
        let bytes = unsafe { std::slice::from_raw_parts(at, size) };
        assert!(bytes.iter().all(|byte| *byte == size as u8));
    }
}

/// Of 64 KiB pages, say: what is around the piece stays.
#[test]
fn only_whole_pages_of_the_system_are_given_back() {
    const UNIT: usize = 64 << 10;
    assert_eq!(whole(0, UNIT, UNIT), 0..UNIT);
    assert_eq!(whole(PAGE, 3 * UNIT, UNIT), UNIT..3 * UNIT);
    assert_eq!(whole(UNIT, UNIT + PAGE, UNIT), UNIT..2 * UNIT);
    assert!(whole(PAGE, UNIT, UNIT).is_empty());
    assert!(whole(UNIT - PAGE, UNIT, UNIT).is_empty());
    assert_eq!(whole(3 * PAGE, 5 * PAGE, PAGE), 3 * PAGE..8 * PAGE);
}

/// The next of the same size gets the pages of a small one as they are.
#[test]
fn a_small_arena_is_left_to_the_next() {
    const SIZE: usize = 8 << 20;
    // What an arena of `size` finds where the first piece is; it leaves ones, and has used `more`.
    let found = |size: usize, more: usize| {
        let mut arena = Arena::new(size).unwrap();
        let at = arena.allocate(100);
        // SAFETY: a piece of 100 bytes, of pages that the system has cleared or that were written to.
        let byte = unsafe { at.read() };
        // SAFETY: as above.
        unsafe { at.write_bytes(1, 100) };
        assert!(!arena.allocate(more).is_null());
        arena.give_back();
        byte
    };
    assert_eq!(found(SIZE, LEFT / 2), 0);
    assert_eq!(found(SIZE, LEFT / 2), 1, "of the same size");
    assert_eq!(found(SIZE + PAGE, LEFT / 2), 0, "of another");
    assert_eq!(found(SIZE, LEFT), 0, "the other has replaced it");
    assert_eq!(found(SIZE, LEFT / 2), 0, "a large one leaves nothing");
    clear();
    assert_eq!(found(SIZE, LEFT / 2), 0, "nothing is left");
}
