//! The guests that the repository ships: built with the SDK, committed as they run.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use pilotlight_filter::abi::Phase;

fn shipped(path: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A grey PNG, its pixels stored without compression.
fn png(width: u32, height: u32) -> Vec<u8> {
    let row = [&[0][..], &vec![128; width as usize]].concat();
    let pixels = row.repeat(height as usize);
    let mut data = vec![0x78, 1];
    let blocks = pixels.chunks(65_535).count();
    for (index, block) in pixels.chunks(65_535).enumerate() {
        let len = block.len() as u16;
        data.push(u8::from(index + 1 == blocks));
        data.extend([len.to_le_bytes(), (!len).to_le_bytes()].concat());
        data.extend(block);
    }
    let (low, high) = pixels.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    data.extend((high << 16 | low).to_be_bytes());
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in
        [(b"IHDR", [&size[..], &[8, 0, 0, 0, 0]].concat()), (b"IDAT", data), (b"IEND", Vec::new())]
    {
        let body = [&kind[..], &data].concat();
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(&body);
        out.extend(crc(&body).to_be_bytes());
    }
    out
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

#[test]
fn the_thumbnail_filter_makes_pictures_smaller() {
    let wasm = shipped("examples/quickstart/filters/thumbnail.wasm");
    let rig = rig(&wasm, |spec| {
        spec.cpu = Duration::from_secs(20);
        spec.memory = Some(128 << 20);
    });
    let picture = png(800, 600);
    let fetch = |fields: &[(&str, &str)], status, kind| -> Bytes {
        let mut exchange = exchange("/p.png", fields);
        let mut filter = rig.realm.start(0);
        run(&mut *filter, Phase::Request, &mut exchange).unwrap();
        assert_eq!(header(&exchange, "x-width"), None);
        respond(&mut exchange, status, &[("content-type", kind)], &picture);
        run(&mut *filter, Phase::Response, &mut exchange).unwrap();
        let (one, two) = picture.split_at(1000);
        let mut out =
            pass(&mut *filter, Phase::ResponseBody, &mut exchange, one, false).unwrap().to_vec();
        out.extend(pass(&mut *filter, Phase::ResponseBody, &mut exchange, two, true).unwrap());
        run(&mut *filter, Phase::Log, &mut exchange).unwrap();
        out.into()
    };
    for _ in 0..2 {
        let small = fetch(&[("x-width", "80")], 200, "image/png");
        assert_eq!(&small[16..24], [0, 0, 0, 80, 0, 0, 0, 60], "{:?}", rig.world.lines());
    }
    for (fields, status, kind) in [
        (&[][..], 200, "image/png"),
        (&[("x-width", "80")][..], 404, "image/png"),
        (&[("x-width", "80")][..], 200, "text/html"),
        (&[("x-width", "wide")][..], 200, "text/html"),
    ] {
        assert!(fetch(fields, status, kind) == picture, "{fields:?} {status} {kind}");
    }
}

#[test]
fn the_filter_of_the_benchmarks_works() {
    let rig = rig(&shipped("tests/bench/filter/filter.wasm"), |_| ());
    for _ in 0..10_000 {
        let mut exchange = exchange("/", &[("x-a", "abc")]);
        run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
        assert_eq!(header(&exchange, "x-b"), Some("14"));
    }
}
