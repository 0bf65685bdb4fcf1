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
