//! The LuaJIT engine through its seam: scripts in files, exchanges by hand, a world that is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]
#![allow(unreachable_pub)]

mod api;
mod attacks;
mod basics;
mod bignum;
mod cjson;
mod crypto;
mod datagrams;
mod encode;
mod exports;
mod known;
mod libraries;
mod limits;
mod messages;
mod net;
mod nginx;
mod ngx_re;
mod ngx_shared;
mod odd;
mod panics;
mod patterns;
mod pools;
mod redis;
mod regex;
mod replaced;
mod request_socket;
mod rig;
mod said;
mod sandbox;
mod sockets;
mod stalls;
mod tables;
mod tasks;
mod waits;
