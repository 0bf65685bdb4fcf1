//! Real clients against the real binary: curl, aioquic, WebSocket and gRPC.

mod aioquic;
mod curl;
mod grpc;
mod websocket;
