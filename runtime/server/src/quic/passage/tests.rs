//! What is the elder's goes to it, and arrives as it was.

use super::*;

fn short(name: &ConnectionId, rest: &[u8]) -> Vec<u8> {
    [&[0x40], &name[..], rest].concat()
}

fn long(name: &[u8]) -> Vec<u8> {
    [&[0xc0, 0, 0, 0, 1, name.len() as u8], name, &[0; 1200]].concat()
}

/// A process before this one had two sockets: names that it has made for both.
fn elder() -> [ConnectionId; 2] {
    let names = [0, 1].map(|socket| keys::ids(socket).generate_cid());
    let mut all = Writer::default();
    keys::keep(&mut all);
    all.bytes(b"begun");
    all.number(1);
    keys::take_back(&mut Reader(&all.0), true).unwrap();
    names
}

async fn arrived(from: &FromHeir, room: &mut [u8]) -> RecvMeta {
    let mut got = [RecvMeta::default()];
    let mut buffers = [IoSliceMut::new(room)];
    let count = std::future::poll_fn(|cx| from.poll_recv(cx, &mut buffers, &mut got)).await;
    assert_eq!(count, 1);
    got[0]
}

#[tokio::test]
async fn each_gets_its_own() {
    let [first, second] = elder();
    let own = keys::ids(2).generate_cid();
    assert_eq!([first, second, own].map(|name| keys::former(&name)), [Some(0), Some(1), None]);
    let before = [Passage::default(), Passage::default()];
    let ends = before.each_ref().map(|passage| Some(passage.open().unwrap()));
    let elders = Elders::new(ends.into_iter());
    // A socket that the elder did not have.
    let after = Passage::new(2, &elders);
    assert!(after.has_elder() && !before[0].has_elder());
    let arriving = before.each_ref().map(|passage| passage.arriving().unwrap());
    // As the kernel joins them: of one length, but for the last.
    let mine = short(&own, b"mine");
    let mut bytes = [&mine[..], &short(&first, b"one1"), &mine, &short(&second, b"2")].concat();
    let meta = RecvMeta {
        addr: "[2001:db8::1]:443".parse().unwrap(),
        len: bytes.len(),
        stride: mine.len(),
        ecn: EcnCodepoint::from_bits(1),
        dst_ip: "192.0.2.1".parse().ok(),
    };
    let mut all = [meta];
    after.sift(&mut [IoSliceMut::new(&mut bytes)], &mut all);
    assert_eq!(bytes[..all[0].len], [&mine[..], &mine].concat());
    for (at, sent) in [short(&first, b"one1"), short(&second, b"2")].into_iter().enumerate() {
        let mut room = [0; 2000];
        let got = arrived(&arriving[at], &mut room).await;
        assert_eq!((got.addr, got.dst_ip, got.ecn), (meta.addr, meta.dst_ip, meta.ecn));
        assert_eq!(room[..got.len], sent);
    }
    // Begun by a client whose name for it the elder has told; and one that it has not.
    assert_eq!(elders_socket(&long(b"begun")), Some(1));
    for none in [&long(b"other")[..], &[], &[0xc0, 0, 0, 0, 1, 200]] {
        assert_eq!(elders_socket(none), None);
    }
    // Once it has left all is for us.
    drop(arriving);
    let late = short(&first, b"late");
    for kept in [0, late.len()] {
        let mut bytes = late.clone();
        let mut all = [RecvMeta { len: bytes.len(), stride: bytes.len(), ..meta }];
        after.sift(&mut [IoSliceMut::new(&mut bytes)], &mut all);
        assert_eq!(all[0].len, kept);
    }
    assert!(!after.has_elder());
}
