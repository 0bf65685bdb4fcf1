#![allow(clippy::unwrap_used)]

use super::*;

fn numbers(list: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    list.iter().for_each(|n| frame::put_number(&mut out, *n));
    out
}

#[test]
fn settings_follow_section_7_2_4() {
    let table = [
        ("none", numbers(&[]), Ok(())),
        ("usual", numbers(&[1, 4096, 6, 16384, 7, 100]), Ok(())),
        ("grease", numbers(&[0x21, 7]), Ok(())),
        ("twice", numbers(&[6, 1, 6, 1]), Err(Code::SettingsError)),
        ("ENABLE_PUSH of HTTP/2", numbers(&[2, 0]), Err(Code::SettingsError)),
        ("INITIAL_WINDOW_SIZE of HTTP/2", numbers(&[4, 0]), Err(Code::SettingsError)),
        ("no value", numbers(&[6]), Err(Code::FrameError)),
        ("cut", vec![6, 0x40], Err(Code::FrameError)),
        ("many", numbers(&(100..400).collect::<Vec<u64>>()), Err(Code::ExcessiveLoad)),
    ];
    for (name, payload, wanted) in table {
        assert_eq!(settings(&payload), wanted, "{name}");
    }
}

#[test]
fn the_control_stream_keeps_its_order() {
    let one = |id: u64| numbers(&[id]);
    let none = Vec::new;
    let table = [
        ("first", vec![(frame::GOAWAY, one(0))], Err(Code::MissingSettings)),
        (
            "again",
            vec![(frame::SETTINGS, none()), (frame::SETTINGS, none())],
            Err(Code::FrameUnexpected),
        ),
        (
            "goaway",
            vec![(frame::SETTINGS, none()), (frame::GOAWAY, one(8)), (frame::GOAWAY, one(4))],
            Ok(()),
        ),
        (
            "goaway up",
            vec![(frame::SETTINGS, none()), (frame::GOAWAY, one(4)), (frame::GOAWAY, one(8))],
            Err(Code::IdError),
        ),
        (
            "push id down",
            vec![
                (frame::SETTINGS, none()),
                (frame::MAX_PUSH_ID, one(9)),
                (frame::MAX_PUSH_ID, one(8)),
            ],
            Err(Code::IdError),
        ),
        (
            "cancel",
            vec![(frame::SETTINGS, none()), (frame::CANCEL_PUSH, one(0))],
            Err(Code::IdError),
        ),
        (
            "long",
            vec![(frame::SETTINGS, none()), (frame::GOAWAY, vec![0, 0])],
            Err(Code::FrameError),
        ),
        ("empty", vec![(frame::SETTINGS, none()), (frame::GOAWAY, none())], Err(Code::FrameError)),
    ];
    for (name, frames, wanted) in table {
        let mut known = Known::default();
        let read = frames.iter().try_for_each(|(kind, payload)| known.frame(*kind, payload));
        assert_eq!(read, wanted, "{name}");
    }
}
