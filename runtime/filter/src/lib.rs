//! What a filter is, and the exchange it works on. No I/O, no clock, no engine.
//!
//! An [`Engine`] loads a [`Library`] once per generation; each worker opens a [`Realm`] of it
//! (its VM, its instances); a realm starts a [`Filter`] for each exchange. A [`Chain`] runs the
//! filters of one exchange, phase by phase. What filters ask of the world is [`Services`].

pub mod body;
pub mod chain;
pub mod engine;
pub mod exchange;
pub mod fault;
pub mod fields;
pub mod filter;
pub mod flow;
pub mod handshake;
pub mod head;
pub mod host;
pub mod name;

pub use body::{Body, BodyError, Frame, Source};
pub use chain::{Chain, Filtered, Link, Observer, Passed, Stopped};
pub use engine::{Engine, Library, LoadError, Plan, ProxySpec, Realm, Spec};
pub use exchange::{Exchange, Failure, Origin, Parent, Peer, Pick, Taken, Takeover, TlsInfo};
pub use fault::{Fault, FaultKind};
pub use fields::{BadField, Fields, Span};
pub use filter::{Call, Chunk, End, Filter, OnError, Pull, Verdict};
pub use flow::{Closed, Flow, Side};
pub use handshake::Handshake;
pub use head::{Method, RequestHead, ResponseHead, Scheme, Version};
pub use host::Services;
pub use name::Name;
pub use pilotlight_abi as abi;
