//! What an application writes goes to the log, line by line.

use std::os::fd::OwnedFd;
use std::time::Duration;

use pilotlight_filter::host::Level;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use crate::clock::Clock;
use crate::log::Log;

/// Bytes of a line; the rest is the next one.
const LINE: usize = 4096;
/// Lines a second: what is more is counted, so that one application can't drown the others.
const LINES: u32 = 500;

/// Reads until the other end is closed.
pub(super) async fn follow(
    pipe: OwnedFd,
    log: &Log,
    clock: Clock,
    app: &str,
    instance: &str,
    stream: &str,
) {
    let Ok(mut pipe) = Receiver::from_owned_fd(pipe) else { return };
    let mut read = Vec::with_capacity(LINE);
    let mut second = Second { began: clock.elapsed(), lines: 0, lost: 0 };
    let mut tell = |line: &[u8]| {
        let lost = second.room(clock);
        if let Some(lost) = lost.filter(|lost| *lost > 0) {
            let fields = [("upstream", app), ("instance", instance), ("lines", &*lost.to_string())];
            log.event(Level::Warn, "the application wrote too much", &fields);
        }
        if lost.is_some() {
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
            let fields =
                [("upstream", app), ("instance", instance), ("stream", stream), ("line", &*line)];
            log.event(Level::Info, "the application wrote", &fields);
        }
    };
    loop {
        let more = pipe.read_buf(&mut read).await.unwrap_or(0);
        let mut from = 0;
        while let Some(end) = memchr::memchr(b'\n', &read[from..]) {
            tell(&read[from..from + end]);
            from += end + 1;
        }
        read.drain(..from);
        if read.len() >= LINE || more == 0 && !read.is_empty() {
            tell(&read);
            read.clear();
        }
        if more == 0 {
            return;
        }
    }
}

/// Lines within a second.
struct Second {
    began: Duration,
    lines: u32,
    lost: u32,
}

impl Second {
    /// Whether one more has room, and how many had none since the last that had.
    fn room(&mut self, clock: Clock) -> Option<u32> {
        let now = clock.elapsed();
        if now - self.began >= Duration::from_secs(1) {
            (self.began, self.lines) = (now, 0);
        }
        self.lines += 1;
        if self.lines > LINES {
            self.lost = self.lost.saturating_add(1);
            return None;
        }
        Some(std::mem::take(&mut self.lost))
    }
}
