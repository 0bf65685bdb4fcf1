//! What filters may do beyond a phase that ends: with filters written here, over a connection whose
//! every byte is ours.

mod cast;
mod choice;
mod connect;
mod errors;
mod reroute;
mod rig;
mod stream;
mod subrequest;
