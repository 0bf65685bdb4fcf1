//! Real clients against the real binary: curl, aioquic, WebSocket and gRPC.

mod aioquic;
mod curl;
pub mod grpc;
mod websocket;
