//! The fleet's controller: it holds what each node should run, tells those who ask, and drives rollouts by what
//! they report.
//!
//! ```text
//! serve (TLS, HTTP) ─▶ keeper (one thread, batches) ─▶ core: ask(request, now) ─▶ answers
//!                                                        └─▶ writes ─▶ store, before an answer leaves
//! ```
//! [`core`] decides and holds all in memory; it opens nothing and reads no clock. [`store`] makes it last: what is
//! written is written before anyone hears of it, many requests in one go. A controller that is killed reads its
//! journals again and goes on. It has no key that signs releases, so it can choose among releases, and invent none.

pub mod core;
mod keeper;
pub mod pem;
pub mod serve;
pub mod store;
