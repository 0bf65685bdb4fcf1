//! The words of `wasi:http`: methods, schemes, and what goes wrong.

use pilotlight_filter::host::FetchError;
use wasmtime::component::{ComponentType, Lift, Lower};

macro_rules! methods {
    ($($method:ident $name:tt $text:tt,)*) => {
        #[derive(ComponentType, Lift, Lower, Clone)]
        #[component(variant)]
        pub(super) enum Method {
            $(#[component(name = $name)] $method,)*
            #[component(name = "other")] Other(String),
        }

        impl Method {
            pub(super) fn of(text: &[u8]) -> Method {
                match text {
                    $($text => Method::$method,)*
                    other => Method::Other(String::from_utf8_lossy(other).into_owned()),
                }
            }

            pub(super) fn text(&self) -> &[u8] {
                match self {
                    $(Method::$method => $text,)*
                    Method::Other(name) => name.as_bytes(),
                }
            }
        }
    };
}

methods! {
    Get "get" b"GET",
    Head "head" b"HEAD",
    Post "post" b"POST",
    Put "put" b"PUT",
    Delete "delete" b"DELETE",
    Connect "connect" b"CONNECT",
    Options "options" b"OPTIONS",
    Trace "trace" b"TRACE",
    Patch "patch" b"PATCH",
}

#[derive(ComponentType, Lift, Lower, Clone)]
#[component(variant)]
#[rustfmt::skip]
pub(super) enum Scheme {
    #[component(name = "HTTP")] Http,
    #[component(name = "HTTPS")] Https,
    #[component(name = "other")] Other(String),
}

#[derive(ComponentType, Lift, Lower, Debug)]
#[component(record)]
pub(super) struct DnsError {
    rcode: Option<String>,
    #[component(name = "info-code")]
    info: Option<u16>,
}

#[derive(ComponentType, Lift, Lower, Debug)]
#[component(record)]
pub(super) struct TlsAlert {
    #[component(name = "alert-id")]
    id: Option<u8>,
    #[component(name = "alert-message")]
    message: Option<String>,
}

#[derive(ComponentType, Lift, Lower, Debug)]
#[component(record)]
pub(super) struct FieldSize {
    #[component(name = "field-name")]
    name: Option<String>,
    #[component(name = "field-size")]
    size: Option<u32>,
}

/// Why there is no message. The host gives a few of them; a guest may give any.
#[derive(ComponentType, Lift, Lower, Debug)]
#[component(variant)]
#[rustfmt::skip]
pub(super) enum ErrorCode {
    #[component(name = "DNS-timeout")] DnsTimeout,
    #[component(name = "DNS-error")] DnsError(DnsError),
    #[component(name = "destination-not-found")] DestinationNotFound,
    #[component(name = "destination-unavailable")] DestinationUnavailable,
    #[component(name = "destination-IP-prohibited")] DestinationIpProhibited,
    #[component(name = "destination-IP-unroutable")] DestinationIpUnroutable,
    #[component(name = "connection-refused")] ConnectionRefused,
    #[component(name = "connection-terminated")] ConnectionTerminated,
    #[component(name = "connection-timeout")] ConnectionTimeout,
    #[component(name = "connection-read-timeout")] ConnectionReadTimeout,
    #[component(name = "connection-write-timeout")] ConnectionWriteTimeout,
    #[component(name = "connection-limit-reached")] ConnectionLimitReached,
    #[component(name = "TLS-protocol-error")] TlsProtocolError,
    #[component(name = "TLS-certificate-error")] TlsCertificateError,
    #[component(name = "TLS-alert-received")] TlsAlertReceived(TlsAlert),
    #[component(name = "HTTP-request-denied")] RequestDenied,
    #[component(name = "HTTP-request-length-required")] RequestLengthRequired,
    #[component(name = "HTTP-request-body-size")] RequestBodySize(Option<u64>),
    #[component(name = "HTTP-request-method-invalid")] RequestMethodInvalid,
    #[component(name = "HTTP-request-URI-invalid")] RequestUriInvalid,
    #[component(name = "HTTP-request-URI-too-long")] RequestUriTooLong,
    #[component(name = "HTTP-request-header-section-size")] RequestHeaderSectionSize(Option<u32>),
    #[component(name = "HTTP-request-header-size")] RequestHeaderSize(Option<FieldSize>),
    #[component(name = "HTTP-request-trailer-section-size")] RequestTrailerSectionSize(Option<u32>),
    #[component(name = "HTTP-request-trailer-size")] RequestTrailerSize(FieldSize),
    #[component(name = "HTTP-response-incomplete")] ResponseIncomplete,
    #[component(name = "HTTP-response-header-section-size")] ResponseHeaderSectionSize(Option<u32>),
    #[component(name = "HTTP-response-header-size")] ResponseHeaderSize(FieldSize),
    #[component(name = "HTTP-response-body-size")] ResponseBodySize(Option<u64>),
    #[component(name = "HTTP-response-trailer-section-size")] ResponseTrailerSectionSize(Option<u32>),
    #[component(name = "HTTP-response-trailer-size")] ResponseTrailerSize(FieldSize),
    #[component(name = "HTTP-response-transfer-coding")] ResponseTransferCoding(Option<String>),
    #[component(name = "HTTP-response-content-coding")] ResponseContentCoding(Option<String>),
    #[component(name = "HTTP-response-timeout")] ResponseTimeout,
    #[component(name = "HTTP-upgrade-failed")] UpgradeFailed,
    #[component(name = "HTTP-protocol-error")] ProtocolError,
    #[component(name = "loop-detected")] LoopDetected,
    #[component(name = "configuration-error")] ConfigurationError,
    #[component(name = "internal-error")] InternalError(Option<String>),
}

impl From<FetchError> for ErrorCode {
    /// Both are of RFC 9209's making.
    fn from(FetchError(name): FetchError) -> ErrorCode {
        match &*name {
            "dns_error" => ErrorCode::DnsError(DnsError { rcode: None, info: None }),
            "destination_unavailable" => ErrorCode::DestinationUnavailable,
            "connection_refused" => ErrorCode::ConnectionRefused,
            "connection_terminated" => ErrorCode::ConnectionTerminated,
            "connection_timeout" => ErrorCode::ConnectionTimeout,
            "connection_limit_reached" => ErrorCode::ConnectionLimitReached,
            "tls_protocol_error" => ErrorCode::TlsProtocolError,
            "tls_certificate_error" => ErrorCode::TlsCertificateError,
            "http_request_denied" => ErrorCode::RequestDenied,
            "http_response_header_section_size" => ErrorCode::ResponseHeaderSectionSize(None),
            "http_response_timeout" => ErrorCode::ResponseTimeout,
            "http_protocol_error" => ErrorCode::ProtocolError,
            _ => ErrorCode::InternalError(Some(name)),
        }
    }
}
