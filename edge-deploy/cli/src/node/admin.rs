//! The gateway's admin interface, from the node's side.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pilotlight_agent::{Counters, Observation};

/// A page of metrics is not larger.
const LARGEST: u64 = 16 << 20;
/// For everything but a reload, which may compile modules.
const SOON: Duration = Duration::from_secs(2);
const RELOAD: Duration = Duration::from_secs(120);

/// Where it is.
#[derive(Debug, Clone)]
pub(super) enum Admin {
    Unix(PathBuf),
    Tcp(String),
}

impl Admin {
    /// `unix:PATH` or `HOST:PORT`.
    pub(super) fn parse(text: &str, folder: &Path) -> Admin {
        match text.strip_prefix("unix:") {
            Some(path) => Admin::Unix(folder.join(path)),
            None => Admin::Tcp(text.to_owned()),
        }
    }

    /// The folder of its socket.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        match self {
            Admin::Unix(path) => path.parent().map(Path::to_path_buf),
            Admin::Tcp(_) => None,
        }
    }

    fn ask(&self, method: &str, path: &str, most: Duration) -> io::Result<(u16, String)> {
        match self {
            Admin::Unix(socket) => {
                let stream = UnixStream::connect(socket)?;
                stream.set_read_timeout(Some(most))?;
                stream.set_write_timeout(Some(most))?;
                exchange(stream, method, path)
            }
            Admin::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(most))?;
                stream.set_write_timeout(Some(most))?;
                exchange(stream, method, path)
            }
        }
    }

    /// Loads the manifest anew.
    ///
    /// Errors: why the gateway did not.
    pub(super) fn reload(&self) -> Result<(), String> {
        match self.ask("POST", "/reload", RELOAD) {
            Ok((200, _)) => Ok(()),
            Ok((status, body)) => {
                let told: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
                let detail = told["detail"].as_str().unwrap_or(&body).trim();
                Err(format!("the reload was answered with {status}: {detail}"))
            }
            Err(error) => Err(format!("no gateway answers: {error}")),
        }
    }

    /// How the gateway does.
    pub(super) fn observe(&self) -> Observation {
        let ready = self.ask("GET", "/readyz", SOON).is_ok_and(|(status, _)| status == 200);
        let page = self.ask("GET", "/metrics", SOON).ok().filter(|(status, _)| *status == 200);
        Observation { ready, counters: page.map(|(_, page)| count(&page)) }
    }
}

fn exchange(mut stream: impl Read + Write, method: &str, path: &str) -> io::Result<(u16, String)> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.take(LARGEST).read_to_string(&mut text)?;
    let wrong = || io::Error::other("the answer is malformed");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(wrong)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(wrong)?, body.to_owned()))
}

/// Sums of a page of metrics.
fn count(page: &str) -> Counters {
    let mut counters = Counters::default();
    for line in page.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        // They are whole, and far from where a float is not.
        let value = value as u64;
        if series.starts_with("pilotlight_requests_total") {
            counters.requests += value;
            if series.contains("status=\"5") {
                counters.errors += value;
            }
        } else if series.starts_with("pilotlight_filter_errors_total") {
            counters.filter_errors += value;
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed() {
        let page = "# TYPE pilotlight_requests counter\n\
            pilotlight_requests_total{listener=\"a\",route=\"r\",protocol=\"1.1\",status=\"200\"} 7\n\
            pilotlight_requests_total{listener=\"a\",route=\"r\",protocol=\"1.1\",status=\"500\"} 2\n\
            pilotlight_filter_errors_total{filter=\"x\",kind=\"script\"} 3\n\
            pilotlight_request_duration_seconds_count{route=\"r\"} 9\n";
        assert_eq!(count(page), Counters { requests: 9, errors: 2, filter_errors: 3 });
    }
}
