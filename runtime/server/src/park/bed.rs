//! Falling asleep: the plan is written, and the process becomes its parked form.

use std::ffi::{CString, OsString, c_char};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use socket2::Socket;

use super::plan::{ARGUMENTS_MAX, Answer, Head, Kind, MAGIC, Place, Plan, Span};
use super::woken::{self, Woken};
use super::{PARKED, VARIABLE};
use crate::clock;

/// The program that a form of the gateway becomes.
pub struct Program {
    /// Where it is, also when it is replaced.
    pub path: PathBuf,
    /// Its arguments, its name among them.
    pub arguments: Vec<OsString>,
    /// Its environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// What a gateway that goes to sleep leaves behind: to be given to [`Bed::lie_down`].
pub struct Bed {
    pub(super) sockets: Vec<Held>,
    answers: Vec<Canned>,
    /// What clients are told while it can't wake.
    refusal: Vec<u8>,
    /// What outlives sleep.
    pub(super) state: Option<OwnedFd>,
    /// When it is to wake without being asked: on the kernel's clock, or 0.
    alarm: u64,
    /// The other end of what it says to the process that hands over.
    pub(super) elder: Option<OwnedFd>,
}

/// A socket that stays open.
pub(crate) struct Held {
    pub(crate) socket: Socket,
    pub(crate) kind: Kind,
    /// It speaks HTTP/1 in clear text.
    pub(crate) plain: bool,
    pub(crate) worker: usize,
    /// Its listener.
    pub(crate) key: String,
}

/// An answer that needs no gateway.
pub(crate) struct Canned {
    pub(crate) kind: Kind,
    /// It says that all is well.
    pub(crate) well: bool,
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

impl Bed {
    pub(crate) fn new(sockets: Vec<Held>, answers: Vec<Canned>, refusal: &[u8]) -> Bed {
        Bed { sockets, answers, refusal: refusal.to_vec(), state: None, alarm: 0, elder: None }
    }

    /// What outlives sleep.
    pub(crate) fn keep(&mut self, state: Option<OwnedFd>) {
        self.state = state;
    }

    /// It is to wake after so long, whoever comes or not.
    pub(crate) fn wake_after(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.alarm = clock::monotonic().saturating_add(nanos).max(1);
    }

    /// Becomes the parked form: same process, same descriptors. Returns when the system refuses,
    /// with what the gateway can begin anew from.
    ///
    /// # Errors
    /// As the system says, when not even that is there.
    pub fn lie_down(self, program: &Program) -> io::Result<Woken> {
        let (file, plan) = self.plan(program)?;
        let environment = program.environment(PARKED, &plan);
        woken::block_signals(true);
        if program.arguments.len() <= ARGUMENTS_MAX {
            plan.turn(pointers(&environment).as_ptr());
        }
        woken::block_signals(false);
        // Refused: the plan's descriptors have new owners.
        let _ = file.into_raw_fd();
        for held in self.sockets {
            let _ = held.socket.into_raw_fd();
        }
        let _ = self.state.map(IntoRawFd::into_raw_fd);
        Ok(Woken::of(plan))
    }

    /// The plan, and the file that it is in.
    pub(super) fn plan(&self, program: &Program) -> io::Result<(OwnedFd, Plan)> {
        let file = memory_file(c"pilotlight-sleep", &self.written(program))?;
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let plan = Plan::open(file.as_raw_fd()).ok_or_else(broken)?;
        Ok((file, plan))
    }

    fn written(&self, program: &Program) -> Vec<u8> {
        let head = size_of::<Head>();
        let (places, answers) = (size_of::<Place>(), size_of::<Answer>());
        let fixed = head + places * self.sockets.len() + answers * self.answers.len();
        let mut texts = Texts { fixed, bytes: Vec::new() };
        let line = |text: Vec<u8>| [text, vec![0]].concat();
        let words = program.arguments.iter().take(ARGUMENTS_MAX);
        let words: Vec<u8> = words.flat_map(|one| line(one.as_bytes().to_vec())).collect();
        let own = Head {
            magic: MAGIC,
            places: self.sockets.len() as u32,
            answers: self.answers.len() as u32,
            program: texts.put(&line(program.path.as_os_str().as_bytes().to_vec())),
            arguments: texts.put(&words),
            refusal: texts.put(&self.refusal),
            state: self.state.as_ref().map_or(-1, woken::number).into(),
            carried: (-1).into(),
            by: (-1).into(),
            elder: self.elder.as_ref().map_or(-1, woken::number).into(),
            slept: clock::monotonic().into(),
            alarm: self.alarm,
            ..Head::default()
        };
        let mut out = raw(&own).to_vec();
        for held in &self.sockets {
            let place = Place {
                fd: woken::number(&held.socket),
                kind: held.kind as u8,
                plain: u8::from(held.plain),
                worker: held.worker as u16,
                key: texts.put(held.key.as_bytes()),
            };
            out.extend_from_slice(raw(&place));
        }
        for canned in &self.answers {
            let answer = Answer {
                kind: canned.kind as u32,
                well: u32::from(canned.well),
                path: texts.put(canned.path.as_bytes()),
                bytes: texts.put(&canned.bytes),
            };
            out.extend_from_slice(raw(&answer));
        }
        out.extend(texts.bytes);
        out
    }
}

impl Program {
    /// The environment of one of its forms, with that plan.
    pub(super) fn environment(&self, form: u8, plan: &Plan) -> Vec<CString> {
        let marker = format!("{VARIABLE}={}{}", char::from(form), plan.fd);
        let others = self.environment.iter().filter(|(name, _)| name != VARIABLE);
        let entry = |(name, value): &(OsString, OsString)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        };
        others.filter_map(entry).chain(CString::new(marker)).collect()
    }
}

/// A list of texts as the kernel takes it.
pub(super) fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|one| one.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Texts behind what is fixed.
struct Texts {
    fixed: usize,
    bytes: Vec<u8>,
}

impl Texts {
    fn put(&mut self, text: &[u8]) -> Span {
        let at = self.fixed + self.bytes.len();
        self.bytes.extend_from_slice(text);
        Span { at: at as u32, length: text.len() as u32 }
    }
}

/// A record of the plan as bytes: integers without gaps between them.
fn raw<T>(record: &T) -> &[u8] {
    // SAFETY: the plan's records have no padding and no pointers.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast(), size_of::<T>()) }
}

/// A file in memory with these bytes.
///
/// # Errors
/// As the system says.
pub(crate) fn memory_file(name: &std::ffi::CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: the name ends with a zero.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and ours.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(bytes)?;
    Ok(file.into())
}

const _: () = assert!(size_of::<Place>() == 16 && size_of::<Answer>() == 24);
const _: () = assert!(size_of::<Head>() == 96);
