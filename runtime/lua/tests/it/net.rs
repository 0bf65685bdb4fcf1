//! A network in memory: who listens where, and what they do, step by step.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};

use pilotlight_filter::host::socket::{Secured, SocketOption, StartTls, TlsFailure, TlsSession};
use pilotlight_filter::host::{Connect, Datagram, Names, Remote, Socket, Wait};

/// What a peer does next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Says something.
    Say(&'static str),
    /// Waits for just that.
    Hear(&'static str),
    /// Does nothing for so many polls.
    Pause(u32),
    /// Ends its side.
    End,
    /// Breaks off.
    Reset,
    /// Takes no more bytes.
    Full,
    /// Agrees to TLS, or has a bad certificate.
    Tls(Result<(), (u32, &'static str)>),
}

/// Conversations by address, in the order in which they are opened.
#[derive(Default)]
pub struct Net {
    peers: RefCell<HashMap<String, VecDeque<Vec<Step>>>>,
    /// What was opened, closed and agreed on, and by whom it was closed.
    pub notes: Rc<RefCell<Vec<String>>>,
}

impl Net {
    /// The next who connects to `address` meets this peer.
    pub fn peer(&self, address: &str, steps: &[Step]) {
        self.peers.borrow_mut().entry(address.into()).or_default().push_back(steps.to_vec());
    }

    /// What has happened since this was asked last.
    pub fn noted(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.borrow_mut())
    }

    fn meet(&self, address: &str) -> Option<Line> {
        let steps = self.peers.borrow_mut().get_mut(address)?.pop_front()?;
        self.notes.borrow_mut().push(format!("open {address}"));
        let (steps, notes) = (steps.into(), self.notes.clone());
        Some(Line {
            address: address.into(),
            steps,
            said: 0,
            secured: false,
            notes,
            options: Rc::default(),
        })
    }

    pub fn connect(&self, connect: &Connect) -> Wait<io::Result<Box<dyn Socket>>> {
        let address = match &connect.to {
            Remote::Inet(address) => address.to_string(),
            Remote::Unix(path) => format!("unix:{}", path.display()),
        };
        if let Some(from) = connect.from {
            self.notes.borrow_mut().push(format!("from {from}"));
        }
        let line = self.meet(&address);
        let Some(mut line) = line else {
            let code = if address.ends_with(":9") { 101 } else { 111 };
            return Box::pin(std::future::ready(Err(io::Error::from_raw_os_error(code))));
        };
        // A first pause is the time that it takes.
        let mut polls = match line.steps.front() {
            Some(Step::Pause(polls)) => *polls,
            _ => 0,
        };
        if polls > 0 {
            line.steps.pop_front();
        }
        let mut line = Some(line);
        Box::pin(poll_fn(move |cx| {
            if polls > 0 {
                polls -= 1;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(Box::new(line.take().unwrap()) as Box<dyn Socket>))
        }))
    }

    pub fn datagram(&self, to: &Remote, from: Option<SocketAddr>) -> io::Result<Box<dyn Datagram>> {
        let address = match to {
            Remote::Inet(address) => address.to_string(),
            Remote::Unix(path) => format!("unix:{}", path.display()),
        };
        if let Some(from) = from {
            self.notes.borrow_mut().push(format!("from {from}"));
        }
        let line = self.meet(&address);
        Ok(Box::new(line.ok_or_else(|| io::Error::from_raw_os_error(111))?))
    }

    pub fn resolve(&self, name: &str, who: Names) -> Wait<Result<Vec<IpAddr>, String>> {
        let found = match name {
            "one.test" => Ok(vec![IpAddr::from([192, 0, 2, 1])]),
            "system.test" if who == Names::System => Ok(vec![IpAddr::from([192, 0, 2, 1])]),
            "gone.test" => Err("gone.test could not be resolved (3: Host not found)".to_owned()),
            name => Err(format!("no resolver defined to resolve \"{name}\"")),
        };
        Box::pin(std::future::ready(found))
    }
}

/// A connection with a peer.
struct Line {
    address: String,
    steps: VecDeque<Step>,
    /// Bytes of the first step that were said already.
    said: usize,
    /// It goes on by TLS.
    secured: bool,
    notes: Rc<RefCell<Vec<String>>>,
    options: Rc<RefCell<HashMap<u8, i32>>>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.address.is_empty() {
            self.notes.borrow_mut().push(format!("close {}", self.address));
        }
    }
}

fn broken(code: i32) -> Poll<io::Result<usize>> {
    Poll::Ready(Err(io::Error::from_raw_os_error(code)))
}

impl Line {
    /// Whether the peer does something else for now.
    fn pauses(&mut self, cx: &Context<'_>) -> bool {
        let Some(Step::Pause(left)) = self.steps.front_mut() else { return false };
        *left -= 1;
        if *left == 0 {
            self.steps.pop_front();
        }
        cx.waker().wake_by_ref();
        true
    }
}

impl Socket for Line {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if self.pauses(cx) {
            return Poll::Pending;
        }
        match self.steps.front() {
            Some(Step::Say(text)) => {
                let text = text.as_bytes();
                let upto = text.len().min(self.said + most);
                let read = upto - self.said;
                buffer.extend_from_slice(&text[self.said..upto]);
                self.said = upto;
                if upto == text.len() {
                    self.said = 0;
                    self.steps.pop_front();
                }
                Poll::Ready(Ok(read))
            }
            Some(Step::End) => Poll::Ready(Ok(0)),
            Some(Step::Reset) => broken(104),
            _ => Poll::Pending,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.pauses(cx) {
            return Poll::Pending;
        }
        match self.steps.front_mut() {
            Some(Step::Hear(text)) => {
                let heard = data.len().min(text.len());
                assert_eq!(
                    String::from_utf8_lossy(&data[..heard]),
                    text[..heard],
                    "{}",
                    self.address
                );
                *text = &text[heard..];
                if text.is_empty() {
                    self.steps.pop_front();
                }
                Poll::Ready(Ok(heard))
            }
            Some(Step::Full) => Poll::Pending,
            Some(Step::End) => Poll::Ready(Ok(data.len())),
            Some(Step::Reset) => broken(32),
            other => panic!("{}: {data:?} at {other:?}", self.address),
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn start_tls(mut self: Box<Self>, tls: StartTls) -> Wait<Result<Secured, TlsFailure>> {
        let StartTls { server_name, verify, session, files, client, .. } = &tls;
        let reused = session.as_ref().and_then(|session| session.downcast_ref::<String>());
        let client = client.as_ref().map(|client| (client.chain.len(), client.key.len()));
        self.notes.borrow_mut().push(format!(
            "tls {server_name:?} verify {verify} ca {:?} client {client:?} session {reused:?}",
            files.ca
        ));
        let outcome = match self.steps.pop_front() {
            Some(Step::Tls(Ok(()))) => {
                let name = server_name.clone().unwrap_or_default();
                self.secured = true;
                let session: TlsSession = Rc::new(format!("session of {name}"));
                Ok(Secured { socket: self, session })
            }
            Some(Step::Tls(Err((code, message)))) => {
                let line = format!("lua ssl certificate verify error: ({code}: {message})");
                Err(TlsFailure { code, message: message.into(), line })
            }
            step => {
                self.steps.extend(step);
                return Box::pin(std::future::pending());
            }
        };
        Box::pin(std::future::ready(outcome))
    }

    fn option(&self, option: SocketOption) -> io::Result<i32> {
        Ok(self.options.borrow().get(&(option as u8)).copied().unwrap_or_default())
    }

    fn set_option(&self, option: SocketOption, value: i32) -> io::Result<()> {
        if value < 0 {
            return Err(io::Error::from_raw_os_error(22));
        }
        self.options.borrow_mut().insert(option as u8, value);
        Ok(())
    }

    fn descriptor(&self) -> Option<i32> {
        Some(7)
    }

    fn peer_certificates(&self) -> Vec<Vec<u8>> {
        self.secured.then(|| b"no DER".to_vec()).into_iter().collect()
    }
}

impl Datagram for Line {
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Socket::poll_write(self, cx, data)
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let whole = Socket::poll_read(self, cx, buffer, usize::MAX);
        buffer.truncate(most);
        whole
    }
}
