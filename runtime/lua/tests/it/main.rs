//! The LuaJIT engine through its seam: scripts in files, exchanges by hand, a world that is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]
#![allow(unreachable_pub)]

mod api;
mod attacks;
mod basics;
mod cjson;
mod crypto;
mod encode;
mod libraries;
mod limits;
mod messages;
mod net;
mod patterns;
mod rig;
<<<<<<< HEAD
mod redis;
=======
mod said;
>>>>>>> 96628c5 (lua: tests of codecs, libraries, gateway.crypto and its neighbours)
mod sandbox;
mod sockets;
mod tasks;
mod waits;
