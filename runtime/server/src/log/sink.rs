//! The thread that writes log lines. Workers hand lines over and go on.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::metrics::Registry;

/// Where a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Stdout,
    Stderr,
    File,
}

enum Job {
    Line(Target, Vec<u8>),
    Open(PathBuf),
    Flush(SyncSender<()>),
}

/// Lines that wait for a slow sink; more are dropped and counted.
const QUEUE: usize = 8192;

/// The workers' end.
pub(super) struct Sink {
    jobs: SyncSender<Job>,
    metrics: Arc<Registry>,
}

impl Sink {
    pub(super) fn start(metrics: Arc<Registry>) -> Sink {
        let (jobs, queue) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("log".into()).stack_size(64 * 1024);
        // Without a thread the channel closes and every line is counted as dropped.
        drop(thread.spawn(move || write(&queue)));
        Sink { jobs, metrics }
    }

    pub(super) fn write(&self, target: Target, line: Vec<u8>) {
        if self.jobs.try_send(Job::Line(target, line)).is_err() {
            self.metrics.log_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn open(&self, path: PathBuf) {
        drop(self.jobs.send(Job::Open(path)));
    }

    pub(super) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        match self.jobs.try_send(Job::Flush(done)) {
            Ok(()) => drop(wait.recv_timeout(std::time::Duration::from_secs(2))),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Bytes gathered before a write.
const BATCH: usize = 64 * 1024;

fn write(queue: &Receiver<Job>) {
    let mut file: Option<File> = None;
    let mut batch: Vec<u8> = Vec::new();
    let mut at = Target::Stderr;
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Line(target, line) => {
                    if target != at || batch.len() > BATCH {
                        put(at, &mut batch, file.as_mut());
                        at = target;
                    }
                    batch.extend_from_slice(&line);
                }
                Job::Open(path) => {
                    put(at, &mut batch, file.as_mut());
                    file = File::options().create(true).append(true).open(path).ok();
                }
                Job::Flush(done) => {
                    put(at, &mut batch, file.as_mut());
                    let _ = done.send(());
                }
            }
            next = queue.try_recv().ok();
        }
        put(at, &mut batch, file.as_mut());
        if batch.capacity() > BATCH {
            batch = Vec::new();
        }
    }
}

/// A sink that fails (a full disk, a closed pipe) loses lines, never requests.
fn put(target: Target, batch: &mut Vec<u8>, file: Option<&mut File>) {
    let written = match (target, file) {
        (Target::Stdout, _) => std::io::stdout().write_all(batch),
        (Target::Stderr, _) => std::io::stderr().write_all(batch),
        (Target::File, Some(file)) => file.write_all(batch),
        (Target::File, None) => Ok(()),
    };
    drop(written);
    batch.clear();
}
