//! Endpoints that names stand for.

use std::collections::BTreeMap;

use tokio::net::UdpSocket;

use super::*;
use crate::sleep::asleep;
use crate::support::run;
use crate::tcp;

const A: u16 = 1;
const SRV: u16 = 33;

/// The data of records by name and type.
type Says = BTreeMap<(String, u16), Vec<Vec<u8>>>;

/// A name server: what it says can be changed.
struct Names {
    address: SocketAddr,
    says: Arc<Mutex<Says>>,
    /// 0, or a code of failure.
    code: Arc<AtomicU16>,
    asked: Arc<AtomicU16>,
}

impl Names {
    async fn start() -> Names {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let names = Names {
            address: socket.local_addr().unwrap(),
            says: Arc::default(),
            code: Arc::default(),
            asked: Arc::default(),
        };
        let (says, code, asked) = (names.says.clone(), names.code.clone(), names.asked.clone());
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                asked.fetch_add(1, Ordering::Relaxed);
                let code = code.load(Ordering::Relaxed);
                let answer = answer(&question[..length], &says.lock().unwrap(), code);
                let _ = socket.send_to(&answer, from).await;
            }
        });
        names
    }

    fn say(&self, name: &str, kind: u16, records: Vec<Vec<u8>>) {
        self.says.lock().unwrap().insert((name.to_owned(), kind), records);
    }

    fn addresses(&self, name: &str, last: &[u8]) {
        self.say(name, A, last.iter().map(|last| vec![127, 0, 0, *last]).collect());
    }

    fn fail(&self, code: u16) {
        self.code.store(code, Ordering::Relaxed);
    }
}

/// The answer to a question, with a time to live of a second.
fn answer(question: &[u8], says: &Says, code: u16) -> Vec<u8> {
    let (mut name, mut at) = (Vec::new(), 12);
    while question[at] > 0 {
        let label = &question[at + 1..=at + question[at] as usize];
        name.push(String::from_utf8_lossy(label).to_lowercase());
        at += 1 + label.len();
    }
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let records = says.get(&(name.join("."), kind)).cloned().unwrap_or_default();
    let records = if code == 0 { records } else { Vec::new() };
    let mut answer = question[..2].to_vec();
    for word in [0x8180 | code, 1, records.len() as u16, 0, 0] {
        answer.extend(word.to_be_bytes());
    }
    answer.extend(&question[12..at + 5]);
    for data in records {
        // The name is that of the question.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 1]);
        answer.extend((data.len() as u16).to_be_bytes());
        answer.extend(data);
    }
    answer
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Vec<u8> {
    let mut data: Vec<u8> = [priority, weight, port].iter().flat_map(|w| w.to_be_bytes()).collect();
    for label in target.split('.') {
        data.push(label.len() as u8);
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}

/// A server at an address of this machine's own, which says that address's last number.
async fn server(last: u8, port: u16) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, last], port))).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = Vec::new();
                while let Ok(1..) = stream.read_buf(&mut read).await {
                    if read.ends_with(b"\r\n\r\n") {
                        read.clear();
                        let body = last.to_string();
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                }
            });
        }
    });
    address
}

fn sought(names: &Names, endpoint: &str, keys: &str) -> (SocketAddr, Setup) {
    let admin = free_address();
    let mut setup = Setup::new(format!(
        "[[routes]]\nupstream = \"app\"\n[lua]\nresolver = {{ servers = [\"{}\"], ipv6 = false }}\n\
         [upstreams.app]\nendpoints = [{endpoint}]\ntimeouts = {{ connect = \"1s\" }}\n{keys}\n",
        names.address
    ));
    setup.gateway = format!("admin = \"{admin}\"");
    (admin, setup)
}

#[test]
fn each_address_is_an_endpoint_and_the_last_good_answer_stays() {
    run(async {
        let names = Names::start().await;
        names.addresses("app.test", &[2, 3]);
        let port = server(2, 0).await.port();
        server(3, port).await;
        server(4, port).await;
        let endpoint = format!("{{ dns = \"app.test:{port}\" }}");
        let (at, setup) = sought(&names, &endpoint, "");
        let gateway = setup.start().await;
        // The first request waits for the answer.
        assert_eq!(who(&gateway, 6).await, "2 3");
        assert!(admin(at, "/status").await.contains(&format!("127.0.0.3:{port}")));
        names.addresses("app.test", &[3, 4]);
        gateway.logged(&["\"endpoints found\"", &format!("127.0.0.4:{port}")]).await.unwrap();
        assert_eq!(who(&gateway, 6).await, "3 4");
        // Nobody listens at one of them: the next one answers.
        names.addresses("app.test", &[3, 4, 9]);
        gateway.logged(&["\"endpoints found\"", &format!("127.0.0.9:{port}")]).await.unwrap();
        assert_eq!(who(&gateway, 9).await, "3 4");
        names.fail(2);
        gateway.logged(&["\"endpoints not found\"", "app.test"]).await.unwrap();
        assert_eq!(who(&gateway, 6).await, "3 4");
        names.fail(3);
        let asked = names.asked.load(Ordering::Relaxed);
        let look = async {
            while names.asked.load(Ordering::Relaxed) == asked {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("another question", look).await;
        assert_eq!(who(&gateway, 6).await, "3 4");
        names.fail(0);
        let found = async {
            while times(&gateway, "endpoints found") < 4 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("an answer again", found).await;
        assert_eq!(times(&gateway, "endpoints not found"), 1);
    });
}

#[test]
fn a_service_has_ports_weights_and_priorities() {
    run(async {
        let names = Names::start().await;
        let (first, second) = (server(5, 0).await, server(6, 0).await);
        let spare = server(7, 0).await;
        for (name, last) in [("one.test", 5), ("two.test", 6), ("spare.test", 7)] {
            names.addresses(name, &[last]);
        }
        let servers = [
            srv(10, 3, first.port(), "one.test"),
            srv(10, 1, second.port(), "two.test"),
            srv(20, 9, spare.port(), "spare.test"),
        ];
        names.say("_http._tcp.test", SRV, servers.to_vec());
        let keys = "health = { interval = \"40ms\", unhealthy = 1 }";
        let (_, setup) = sought(&names, "{ srv = \"_http._tcp.test\" }", keys);
        let gateway = setup.start().await;
        let mut counts = [0; 8];
        for _ in 0..40 {
            counts[get(&gateway).await.text().parse::<usize>().unwrap()] += 1;
        }
        assert_eq!(counts[5..], [30, 10, 0]);
        // A server whose name says nothing stays where it was.
        names.addresses("two.test", &[]);
        gateway.logged(&["\"endpoints not found\"", "two.test"]).await.unwrap();
        assert_eq!(who(&gateway, 9).await, "5 6");
        // Nobody of the first priority is left.
        let gone = free_address().port();
        let servers = [srv(10, 3, gone, "one.test"), srv(20, 9, spare.port(), "spare.test")];
        names.say("_http._tcp.test", SRV, servers.to_vec());
        gateway.logged(&["\"endpoint down\"", &format!("127.0.0.5:{gone}")]).await.unwrap();
        assert_eq!(who(&gateway, 6).await, "7");
    });
}

#[test]
fn without_an_answer_it_is_502_and_addresses_outlive_sleep() {
    run(async {
        let names = Names::start().await;
        names.fail(3);
        let at = server(8, 0).await;
        let endpoint = format!("{{ dns = \"app.test:{}\" }}", at.port());
        let (_, mut setup) = sought(&names, &endpoint, "");
        setup.gateway += "\nidle = { sleep = \"300ms\" }";
        let gateway = setup.start().await;
        let answer = get(&gateway).await;
        answer.assert(502);
        assert!(answer.field("proxy-status").unwrap_or_default().contains("dns_error"));
        names.addresses("app.test", &[8]);
        names.fail(0);
        // It sleeps meanwhile, and looks when it wakes.
        let found = async {
            while !get(&gateway).await.is(200) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon("an answer", found).await;
        names.fail(2);
        asleep(&gateway).await;
        assert_eq!(who(&gateway, 2).await, "8");
        gateway.logged(&["\"endpoints not found\""]).await.unwrap();
        assert_eq!(who(&gateway, 2).await, "8");
    });
}

#[test]
fn connections_go_to_what_a_name_stands_for() {
    run(async {
        let (names, at, echo) = (Names::start().await, free_address(), tcp::echo().await);
        // Nobody listens at the second one.
        names.addresses("echo.test", &[1, 9]);
        let endpoint = format!("{{ dns = \"echo.test:{}\" }}", echo.port());
        let twice = format!("{endpoint}, {endpoint}");
        let (page, mut setup) = sought(&names, &twice, "protocol = \"tcp\"");
        setup.rest = setup.rest.replace("[[routes]]\nupstream = \"app\"\n", "");
        setup.rest += &format!(
            "[[listeners]]\nname = \"raw\"\naddress = \"{at}\"\nprotocols = [\"tcp\"]\nupstream = \"app\"\n"
        );
        let _gateway = setup.start().await;
        for _ in 0..4 {
            let mut stream = tcp::connect(at).await;
            tcp::say(&mut stream, "hello").await;
            tcp::hear(&mut stream, "hello").await;
        }
        let page = admin(page, "/metrics").await;
        let lines = page.lines().filter(|line| line.starts_with("pilotlight_endpoint_up{"));
        assert_eq!(lines.count(), 2, "{page}");
    });
}
