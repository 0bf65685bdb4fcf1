use super::*;

/// Takes everything out, `step` bytes a write.
fn drain(wire: &mut Wire, step: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while wire.pending() > 0 {
        let mut part = wire.gather(|slices| slices.concat_bytes());
        part.truncate(step);
        wire.advance(part.len());
        all.extend_from_slice(&part);
    }
    all
}

trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl Concat for [IoSlice<'_>] {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|slice| slice.iter().copied()).collect()
    }
}

#[test]
fn bytes_leave_in_the_order_they_came() {
    for step in [97, 1000, 5000, usize::MAX] {
        let (mut wire, mut wanted) = (Wire::default(), Vec::new());
        for round in 0..80u8 {
            let own = vec![round; 1 + usize::from(round)];
            wire.put(|out| out.extend_from_slice(&own));
            let slice = vec![round ^ 0xff; if round % 3 == 0 { 2000 } else { 10 }];
            wire.slice(slice.clone().into());
            wanted.extend([own, slice].concat());
        }
        assert_eq!(wire.pending(), wanted.len());
        assert!(drain(&mut wire, step) == wanted, "step {step}");
        assert_eq!(wire.own.capacity() + wire.slices.capacity(), 0, "an empty wire holds memory");
    }
}

#[test]
fn what_is_sent_does_not_pile_up() {
    let mut wire = Wire::default();
    wire.put(|out| out.resize(1000, 0));
    for _ in 0..1000 {
        wire.put(|out| out.resize(out.len() + 100, 0));
        wire.slice(vec![1; 2000].into());
        wire.advance(2100);
    }
    assert!(wire.own.capacity() < 32 * 1024);
    assert_eq!(wire.pending(), 1000);
}

#[test]
fn a_flag_is_added_until_the_frame_leaves() {
    let mut wire = Wire::default();
    let first = wire.block(1, 0, |out| out.push(0x88));
    let second = wire.block(3, 0, |out| out.push(0x88));
    wire.advance(11);
    assert!(!wire.flag(first, frame::END_STREAM));
    assert!(wire.flag(second, frame::END_STREAM));
    let rest = drain(&mut wire, 100);
    assert_eq!(rest[4], frame::END_STREAM | frame::END_HEADERS);
    assert!(!wire.flag(second, frame::END_STREAM));
    // One size update, before the first block of all.
    assert_eq!(rest.len(), HEADER + 1);
    let third = wire.block(5, 0, |out| out.push(0x88));
    assert!(wire.flag(third, frame::END_STREAM));
}
