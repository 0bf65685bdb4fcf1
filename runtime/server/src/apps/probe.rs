//! Whether an instance takes requests.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use pilotlight_config::manifest::{Endpoint, Ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::app::Settings;
use super::{moment, owner};
use crate::stream::Plain;
use crate::stream::Stream;
use crate::tls::ClientTls;
use crate::upstream::connect::plain;

/// While nobody listens, which costs nobody much to find out, this share of the time so far lies between two
/// looks: clients wait for no more than that beyond what the start itself takes.
const SHARE: u32 = 512;
const SOON: Duration = Duration::from_micros(250);
const LATE: Duration = Duration::from_millis(20);
/// The waits between two looks at one that listens and is not ready, in milliseconds; the last one repeats.
const PACE: [u64; 6] = [2, 5, 10, 20, 50, 100];
/// A connection to the same machine is there at once, or not.
const CONNECT: Duration = Duration::from_millis(500);
/// For an answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Of a response's head, as much as is looked at.
const HEAD: usize = 16;
/// Of a message to `NOTIFY_SOCKET`.
const MESSAGE: usize = 4096;

/// Waits until it is ready; for how long is the caller's matter.
///
/// # Errors
/// Somebody else listens where it should.
pub(super) async fn ready(
    settings: &Settings,
    endpoint: &Endpoint,
    mailbox: Option<&UnixDatagram>,
    mine: Option<(u32, u16)>,
) -> Result<(), String> {
    match (&settings.meant.ready, mailbox) {
        (Ready::Notify, Some(mailbox)) => told(mailbox).await.map_err(|error| error.to_string())?,
        _ => {
            let mut waited = Duration::ZERO;
            let mut pace = PACE.iter();
            let mut wait = &PACE[0];
            loop {
                let pause = match look(settings, endpoint).await {
                    Sight::Ready => break,
                    Sight::Nobody => (waited / SHARE).clamp(SOON, LATE),
                    Sight::Busy => {
                        wait = pace.next().unwrap_or(wait);
                        Duration::from_millis(*wait)
                    }
                };
                moment::sleep(pause).await;
                waited += pause;
            }
        }
    }
    if let Some((leader, port)) = mine
        && owner::is_foreign(leader, port)
    {
        return Err(format!("another process listens at its port {port}"));
    }
    Ok(())
}

/// What a look at an instance shows.
#[derive(PartialEq)]
pub(super) enum Sight {
    Nobody,
    /// Somebody listens who is not ready.
    Busy,
    Ready,
}

/// One look.
pub(super) async fn look(settings: &Settings, endpoint: &Endpoint) -> Sight {
    let plain = match timeout(CONNECT, plain(endpoint)).await {
        Ok(Ok(plain)) => plain,
        Ok(Err(_)) => return Sight::Nobody,
        Err(_) => return Sight::Busy,
    };
    match answers(settings, endpoint, plain).await {
        true => Sight::Ready,
        false => Sight::Busy,
    }
}

async fn answers(settings: &Settings, endpoint: &Endpoint, plain: Plain) -> bool {
    let secured = timeout(CONNECT, secure(settings, endpoint, plain)).await;
    let Ok(Some((mut stream, second))) = secured else { return false };
    let Ready::Path(path) = &settings.meant.ready else { return true };
    let host = if endpoint.unix.is_some() { "localhost" } else { &endpoint.host };
    // Who speaks HTTP/2 by ALPN has shown that it is there.
    second
        || timeout(ANSWER, ask(&mut stream, path, host))
            .await
            .is_ok_and(|status| matches!(status, Some(200..400)))
}

/// With TLS where it is asked for, and whether HTTP/2 was agreed on.
async fn secure(settings: &Settings, endpoint: &Endpoint, plain: Plain) -> Option<(Stream, bool)> {
    let Some(tls) = settings.tls.clone().filter(|_| endpoint.tls) else {
        return Some((Stream::from(plain), false));
    };
    let name = settings.server_name.as_deref().unwrap_or(&endpoint.host);
    let (stream, alpn) = ClientTls::connect(tls, name, plain).await.ok()?;
    Some((stream, alpn.as_deref() == Some(b"h2")))
}

/// The status of its answer, in HTTP/1.
pub(crate) async fn ask(stream: &mut Stream, path: &str, host: &str) -> Option<u16> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: pilotlight-probe\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = [0; HEAD];
    let mut read = 0;
    while read < b"HTTP/1.1 200".len() {
        match stream.read(&mut head[read..]).await.ok()? {
            0 => return None,
            more => read += more,
        }
    }
    let status = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

/// Waits until it says so.
async fn told(mailbox: &UnixDatagram) -> io::Result<()> {
    let mailbox = tokio::net::UnixDatagram::from_std(mailbox.try_clone()?)?;
    let mut message = vec![0; MESSAGE];
    loop {
        let length = mailbox.recv(&mut message).await?;
        if message[..length].split(|b| *b == b'\n').any(|line| line == b"READY=1") {
            return Ok(());
        }
    }
}
