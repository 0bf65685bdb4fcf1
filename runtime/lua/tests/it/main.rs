//! The LuaJIT engine through its seam: scripts in files, exchanges by hand, a world that is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]
#![allow(unreachable_pub)]

mod api;
mod attacks;
mod basics;
mod limits;
mod messages;
mod net;
mod patterns;
mod pools;
mod rig;
mod redis;
mod sandbox;
mod sockets;
mod tasks;
mod waits;
