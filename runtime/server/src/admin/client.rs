//! The other end of the admin interface: `pilotlight reload`, `drain` and `status`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pilotlight_config::manifest::Address;

/// Why the gateway could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens there.
    #[error("no gateway answers at {address}: {error}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// It answered something that is no HTTP.
    #[error("the gateway's answer is malformed")]
    Malformed,
}

/// Longest wait for an answer: a reload may compile modules.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Asks a running gateway; gives the status and the body.
///
/// # Errors
/// When nobody answers.
pub fn ask(address: &Address, method: &str, path: &str) -> Result<(u16, String), AdminError> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let (name, exchanged) = match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).and_then(|s| {
                s.set_read_timeout(Some(TIMEOUT))?;
                Ok(s)
            });
            (format!("unix:{}", path.display()), stream.and_then(|s| exchange(s, &request)))
        }
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).and_then(|s| {
                s.set_read_timeout(Some(TIMEOUT))?;
                Ok(s)
            });
            (address.to_string(), stream.and_then(|s| exchange(s, &request)))
        }
        Address::Inherited(name) => {
            return Err(AdminError::Unreachable {
                address: name.clone(),
                error: std::io::ErrorKind::Unsupported.into(),
            });
        }
    };
    let text = exchanged.map_err(|error| AdminError::Unreachable { address: name, error })?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(AdminError::Malformed)?;
    let status =
        head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or(AdminError::Malformed)?;
    Ok((status, body.to_owned()))
}

fn exchange(mut stream: impl Read + Write, request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
