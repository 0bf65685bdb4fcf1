//! The numbers of the ABI (proxy-wasm/spec, 0.2.1).

/// What a host call answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    ParseFailure = 4,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
    BrokenConnection = 11,
    Unimplemented = 12,
}

/// What a callback answers: 0 goes on.
pub(crate) const PAUSE: u32 = 1;

/// The root context; stream contexts count up from here.
pub(crate) const ROOT: u32 = 1;

/// Exports that mark a filter and its version, newest first.
pub(crate) const MARKERS: [&str; 4] =
    [HIGRESS, "proxy_abi_version_0_2_1", "proxy_abi_version_0_2_0", OLD];

/// Higress's own version: callbacks answer what filters of Envoy's do, and there are more host calls.
pub(crate) const HIGRESS: &str = "proxy_abi_version_0_2_100";

/// The oldest version.
pub(crate) const OLD: &str = "proxy_abi_version_0_1_0";

/// Exports that give the host memory to write results to, in order of preference.
pub(crate) const ALLOCATORS: [&str; 2] = ["proxy_on_memory_allocate", "malloc"];

/// A buffer's type.
pub(crate) mod buffer {
    /// The request's body; that of the response comes next.
    pub(crate) const REQUEST_BODY: u32 = 0;
    /// The client's bytes, in the context of a connection; those of the upstream come next.
    pub(crate) const DOWNSTREAM_DATA: u32 = 2;
    pub(crate) const HTTP_CALL_BODY: u32 = 4;
    pub(crate) const GRPC_MESSAGE: u32 = 5;
    pub(crate) const VM_CONFIGURATION: u32 = 6;
    pub(crate) const PLUGIN_CONFIGURATION: u32 = 7;
    pub(crate) const FOREIGN_ARGUMENTS: u32 = 8;
    /// Higress's.
    pub(crate) const REDIS_REPLY: u32 = 9;
}

/// A header map's type.
pub(crate) mod map {
    pub(crate) const REQUEST_HEADERS: u32 = 0;
    pub(crate) const REQUEST_TRAILERS: u32 = 1;
    pub(crate) const RESPONSE_HEADERS: u32 = 2;
    pub(crate) const RESPONSE_TRAILERS: u32 = 3;
    pub(crate) const GRPC_INITIAL_METADATA: u32 = 4;
    pub(crate) const GRPC_TRAILING_METADATA: u32 = 5;
    pub(crate) const HTTP_CALL_HEADERS: u32 = 6;
    pub(crate) const HTTP_CALL_TRAILERS: u32 = 7;
}
