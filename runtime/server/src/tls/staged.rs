//! Handshakes that filters take part in: the client's first message is read, the filters have their
//! say and may wait, and then it goes on as they left it.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pilotlight_abi::Phase;
use pilotlight_filter::TlsInfo;
use pilotlight_filter::exchange::Certificates;
use pilotlight_filter::handshake::{Handshake, Hello, Session, Versions};
use rustls::server::{Acceptor, NoServerSessionStorage};
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::asked::Asked;
use super::sessions::Sessions;
use super::shown::Shown;
use super::{Parts, ServerTls, tls_info};
use crate::stream::{Plain, Stream};

/// Who runs the filters.
pub(crate) trait Steps {
    /// What they work on.
    fn handshake(&mut self) -> &mut Handshake;

    /// Whether any filter takes part in a phase.
    fn wants(&self, phase: Phase) -> bool;

    /// Runs a phase; whether the handshake may go on.
    async fn run(&mut self, phase: Phase) -> bool;
}

/// Does a connection's handshake; the caller bounds how long it may take.
///
/// # Errors
/// Those of the socket, alerts of either side, and what filters refuse.
pub(crate) async fn accept(
    tls: &ServerTls,
    plain: Plain,
    steps: &mut impl Steps,
) -> io::Result<(Stream, TlsInfo)> {
    let recorder = Recorder { plain, seen: Vec::new() };
    let start = LazyConfigAcceptor::new(Acceptor::default(), recorder).await?;
    let (accepted, Recorder { mut plain, seen }) = (start.accepted, start.io);
    let hello = Hello::read(&seen).ok_or(ErrorKind::InvalidData)?;
    let random = Box::new(hello.random);
    let suites = tls.parts.provider.cipher_suites.iter();
    let suites = suites.map(|suite| u16::from(suite.suite())).collect();
    *steps.handshake() = Handshake { hello, suites, ..Handshake::default() };
    let planned = match ask(tls, steps).await {
        true => plan(tls, steps),
        false => None,
    };
    let Some(Planned { config, shown, sessions, asked }) = planned else {
        // Whoever has looked at it may not care.
        drop(plain.write_all(&INTERNAL_ERROR).await);
        drop(plain.shutdown().await);
        return Err(ErrorKind::ConnectionAborted.into());
    };
    let start = tokio_rustls::StartHandshake::from_parts(accepted, plain);
    let stream: TlsStream<Plain> = start.into_stream(config).await?;
    let connection = stream.get_ref().1;
    let mut info = tls_info(connection, connection.server_name(), shown);
    info.random = Some(random);
    if let Some(flaw) = asked.and_then(|asked| asked.flaw()) {
        let client = info.client.take();
        info.distrusted = client.map(|client| Box::new((client, flaw.message.into())));
    }
    if let Some((id, value)) = sessions.and_then(|sessions| sessions.made()) {
        steps.handshake().session = Session { id, value: Some(value) };
        // It stands whether or not somebody keeps it.
        steps.run(Phase::SessionStore).await;
    }
    Ok((Stream::TlsServer(Box::new(stream)), info))
}

/// A fatal `internal_error` in clear text (RFC 8446 section 6).
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// Runs what comes before the answer to the client; whether the handshake goes on.
async fn ask(tls: &ServerTls, steps: &mut impl Steps) -> bool {
    if !steps.run(Phase::ClientHello).await {
        return false;
    }
    let handshake = steps.handshake();
    // A ticket needs no one to look for its session.
    if let Some(id) = handshake.offered().filter(|_| tls.parts.tickets.is_none()) {
        handshake.session.id = id.to_vec();
        // Without a session it is a new one.
        steps.run(Phase::SessionFetch).await;
    }
    steps.run(Phase::Certificate).await
}

/// A handshake as it goes on.
struct Planned {
    config: Arc<ServerConfig>,
    shown: Arc<dyn Certificates>,
    sessions: Option<Arc<Sessions>>,
    asked: Option<Arc<Asked>>,
}

/// `None`: the filters left nothing that can be done.
fn plan(tls: &ServerTls, steps: &mut impl Steps) -> Option<Planned> {
    let (base, parts) = (tls.acceptor.config(), &tls.parts);
    let stores = parts.tickets.is_none()
        && (steps.wants(Phase::SessionStore) || steps.wants(Phase::SessionFetch));
    let handshake = steps.handshake();
    // What a client proved to a filter is not proved by coming back.
    let resumes = handshake.trust.is_none() && !handshake.no_session;
    let sessions = (stores && resumes).then(|| {
        let session = std::mem::take(&mut handshake.session);
        Arc::new(Sessions::new(parts.issuers, session))
    });
    let shown = Shown::of(&handshake.credentials, parts);
    let unchanged = handshake.versions == Versions::default() && shown.is_none();
    if unchanged && sessions.is_none() && resumes {
        let (config, shown) = (base.clone(), tls.shown());
        return Some(Planned { config, shown, sessions: None, asked: None });
    }
    let asked = handshake.trust.as_ref().map(|trust| Arc::new(Asked::new(trust, parts)));
    let mut config = build(parts, handshake.versions, asked.clone())?;
    config.alpn_protocols = base.alpn_protocols.clone();
    config.max_early_data_size = 0;
    let shown: Arc<dyn Certificates> = match shown {
        Some(shown) => {
            let shown = Arc::new(shown);
            config.cert_resolver = shown.clone();
            shown
        }
        None => tls.shown(),
    };
    config.session_storage = match &sessions {
        Some(sessions) => sessions.clone(),
        None => Arc::new(NoServerSessionStorage {}),
    };
    let tickets = parts.tickets.clone().filter(|_| resumes);
    config.send_tls13_tickets = usize::from(tickets.is_some() || sessions.is_some());
    if let Some(tickets) = tickets {
        config.ticketer = tickets;
    }
    Some(Planned { config: Arc::new(config), shown, sessions, asked })
}

fn build(parts: &Parts, spoken: Versions, asked: Option<Arc<Asked>>) -> Option<ServerConfig> {
    let all: [(bool, &SupportedProtocolVersion); 2] =
        [(spoken.tls13, &version::TLS13), (spoken.tls12, &version::TLS12)];
    let versions: Vec<_> = all.into_iter().filter(|(on, _)| *on).map(|(_, v)| v).collect();
    let builder = ServerConfig::builder_with_provider(parts.provider.clone());
    let builder = builder.with_protocol_versions(&versions).ok()?;
    let builder = match (asked, &parts.verifier) {
        (Some(asked), _) => builder.with_client_cert_verifier(asked),
        (None, Some(verifier)) => builder.with_client_cert_verifier(verifier.clone()),
        (None, None) => builder.with_no_client_auth(),
    };
    Some(builder.with_cert_resolver(parts.resolver.clone()))
}

/// Keeps what is read, for who wants to see it once more.
struct Recorder {
    plain: Plain,
    seen: Vec<u8>,
}

impl AsyncRead for Recorder {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.plain).poll_read(cx, buffer))?;
        self.seen.extend_from_slice(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.plain).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.plain).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.plain).poll_shutdown(cx)
    }
}
