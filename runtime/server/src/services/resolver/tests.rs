use std::future::Future;

use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, RCODE, ResourceRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

fn on_a_worker<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// What a server for a test does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Answers,
    RefusesNames,
    Fails,
    SaysNothing,
    CutsShort,
}

/// A name server on UDP and TCP: its address, and the questions that it has got.
async fn server(way: Way, ttl: u32) -> (SocketAddr, Rc<Cell<usize>>) {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        if let Ok(tcp) = TcpListener::bind(address).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let asked = Rc::<Cell<usize>>::default();
    let count = asked.clone();
    tokio::task::spawn_local(async move {
        let mut question = [0; 512];
        loop {
            let (length, from) = udp.recv_from(&mut question).await.unwrap();
            count.set(count.get() + 1);
            if way != Way::SaysNothing {
                let reply = reply(&question[..length], way, ttl);
                udp.send_to(&reply, from).await.unwrap();
            }
        }
    });
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut question).await.unwrap();
            let reply = reply(&question, Way::Answers, ttl);
            stream.write_u16(reply.len() as u16).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        }
    });
    (address, asked)
}

fn reply(question: &[u8], way: Way, ttl: u32) -> Vec<u8> {
    let asked = Packet::parse(question).unwrap();
    let mut reply = Packet::new_reply(asked.id());
    let name = asked.questions[0].qname.clone();
    reply.questions = asked.questions.clone();
    match way {
        Way::RefusesNames => *reply.rcode_mut() = RCODE::NameError,
        Way::Fails => *reply.rcode_mut() = RCODE::ServerFailure,
        Way::CutsShort => reply.set_flags(PacketFlag::TRUNCATION),
        Way::Answers | Way::SaysNothing => {
            let data = RData::A(A { address: 0x7f00_0007 });
            reply.answers.push(ResourceRecord::new(name, CLASS::IN, ttl, data));
        }
    }
    reply.build_bytes_vec().unwrap()
}

fn resolver(servers: Vec<SocketAddr>, timeout_ms: u64) -> Rc<Resolver> {
    Resolver::new(servers, Duration::from_millis(timeout_ms), false, Clock::new())
}

fn seven() -> Vec<IpAddr> {
    vec![IpAddr::from([127, 0, 0, 7])]
}

#[test]
fn an_answer_is_kept_as_long_as_its_server_says() {
    on_a_worker(async {
        for (ttl, questions) in [(60, 1), (0, 3)] {
            let (address, asked) = server(Way::Answers, ttl).await;
            let resolver = resolver(vec![address], 5000);
            for name in ["a.test", "A.Test", "a.test."] {
                assert_eq!(resolver.clone().resolve(name.into()).await, Ok(seven()));
            }
            assert_eq!(asked.get(), questions, "ttl {ttl}");
        }
    });
}

#[test]
fn all_who_want_a_name_wait_for_one_question() {
    on_a_worker(async {
        let (address, asked) = server(Way::Answers, 0).await;
        let resolver = resolver(vec![address], 5000);
        let waits: Vec<_> = (0..50)
            .map(|_| tokio::task::spawn_local(resolver.clone().resolve("a.test".into())))
            .collect();
        // One who gives up takes nobody's answer away.
        waits[0].abort();
        for wait in waits.into_iter().skip(1) {
            assert_eq!(wait.await.unwrap(), Ok(seven()));
        }
        assert_eq!(asked.get(), 1);
    });
}

#[test]
fn servers_that_do_not_help() {
    on_a_worker(async {
        let (good, _) = server(Way::Answers, 60).await;
        let (fails, _) = server(Way::Fails, 60).await;
        let (refuses, _) = server(Way::RefusesNames, 60).await;
        let (mute, _) = server(Way::SaysNothing, 60).await;
        let (short, _) = server(Way::CutsShort, 60).await;
        let nobody = {
            let unused = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            unused.local_addr().unwrap()
        };
        let refused = |why: &str| Err(format!("a.test could not be resolved ({why})"));
        for (servers, want) in [
            (vec![fails, good], Ok(seven())),
            (vec![nobody, good], Ok(seven())),
            (vec![short], Ok(seven())),
            (vec![refuses, good], refused("3: Host not found")),
            (vec![fails], refused("2: Server failure")),
            (vec![nobody], refused("2: Server failure")),
            (vec![mute], refused("110: Operation timed out")),
        ] {
            let resolver = resolver(servers, 300);
            assert_eq!(resolver.resolve("a.test".into()).await, want);
        }
        let resolver = resolver(vec![good], 300);
        let malformed = Err("a..b could not be resolved (1: Format error)".to_owned());
        assert_eq!(resolver.resolve("a..b".into()).await, malformed);
    });
}

#[test]
fn names_have_bounds() {
    on_a_worker(async {
        let (address, _) = server(Way::Answers, 60).await;
        let resolver = resolver(vec![address], 20_000);
        for name in 0..NAMES_MAX + 10 {
            resolver.clone().resolve(format!("n{name}.test")).await.unwrap();
        }
        assert_eq!(resolver.names.borrow().len(), NAMES_MAX);
        assert!(!resolver.names.borrow().contains_key("n0.test"), "the one that ends first goes");
    });
}

#[test]
fn without_servers_the_system_is_asked() {
    on_a_worker(async {
        let found = by_system("localhost".into()).await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
        let none = by_system("nothing.invalid".into()).await.unwrap_err();
        assert!(none.starts_with("nothing.invalid could not be resolved: "), "{none}");
    });
}
