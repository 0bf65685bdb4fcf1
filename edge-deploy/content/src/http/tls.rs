//! TLS below the client, judged by a time that a wrong clock does not move.
//!
//! A node's clock may be decades off when it has just got power. What has been signed says that a time is past
//! ([`Floor`]): certificates are judged by the later of both. Where the clock is behind it, it is known to be wrong,
//! and any later moment may be now: a certificate that begins later is fine, one that ended before the floor is not.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pilotlight_fleet::release::BUILT;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use super::Settings;
use crate::Error;

/// Certificates of one chain that may begin later than a clock has it.
const CHAIN: usize = 8;

/// A time that is past, whatever the clock says; shared by all clients of a process.
#[derive(Debug, Clone)]
pub struct Floor(Arc<AtomicI64>);

impl Default for Floor {
    fn default() -> Floor {
        Floor(Arc::new(AtomicI64::new(BUILT)))
    }
}

impl Floor {
    /// It is at least so late, in seconds after 1970.
    pub fn raise(&self, time: i64) {
        self.0.fetch_max(time, Ordering::Relaxed);
    }

    /// In seconds after 1970.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A client's side of TLS.
///
/// Errors: the authorities or the identity cannot be read.
pub(super) fn config(settings: &Settings) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let refused = |error: rustls::Error| Error::Refused(error.to_string());
    let verifier = WebPkiServerVerifier::builder_with_provider(
        Arc::new(authorities(settings)?),
        provider.clone(),
    );
    let inner = verifier.build().map_err(|error| Error::Refused(error.to_string()))?;
    let judge = Arc::new(Judge { inner, floor: settings.floor.clone() });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(judge);
    let config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let unfit = || Error::Refused("the identity is no certificate with its key".into());
            let (chain, key) = (certificates(pem)?, PrivateKeyDer::from_pem_slice(pem));
            let key = key.map_err(|_| unfit())?;
            if chain.is_empty() {
                return Err(unfit());
            }
            builder.with_client_auth_cert(chain, key).map_err(refused)?
        }
    };
    Ok(Arc::new(config))
}

fn authorities(settings: &Settings) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    match &settings.ca {
        // What an operator has named is read whole.
        Some(pem) => {
            for certificate in certificates(pem)? {
                store.add(certificate).map_err(|error| Error::Refused(format!("ca: {error}")))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    match store.is_empty() {
        true => Err(Error::Refused("there are no certificates of authorities".into())),
        false => Ok(store),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<_, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.map_err(|error| Error::Refused(format!("a certificate cannot be read: {error}")))
}

/// Judges certificates.
#[derive(Debug)]
struct Judge {
    inner: Arc<WebPkiServerVerifier>,
    floor: Floor,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let floor = u64::try_from(self.floor.get()).unwrap_or(0);
        let is_wrong = now.as_secs() < floor;
        let mut now = now.as_secs().max(floor);
        let mut tries = 0;
        loop {
            let at = UnixTime::since_unix_epoch(Duration::from_secs(now));
            let verified = self.inner.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                at,
            );
            match verified {
                Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
                    not_before,
                    ..
                })) if is_wrong && not_before.as_secs() > now && tries < CHAIN => {
                    // Then it is at least so late.
                    now = not_before.as_secs();
                    tries += 1;
                }
                verified => return verified,
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Wraps connections to `https://` in TLS.
#[derive(Debug)]
pub(super) struct Secure(pub(super) Option<Arc<ClientConfig>>);

impl<In: Transport> Connector<In> for Secure {
    type Out = Either<In, Wrapped>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let config = self.0.clone().ok_or(ureq::Error::Tls("a redirect from http to https"))?;
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host)
            .map_err(|_| ureq::Error::Tls("the host cannot be a server's name"))?;
        let mut conn = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut sock = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        sock.set_timeout(details.timeout);
        conn.complete_io(&mut sock)?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Either::B(Wrapped { buffers, stream: StreamOwned { conn, sock } })))
    }
}

/// A connection in TLS.
pub(super) struct Wrapped {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped").field("stream", &self.stream.conn).finish()
    }
}

impl Transport for Wrapped {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    /// A server's certificate, good for these days after some day in 2030.
    fn judged(clock: i64, floor: i64, (from, to): (i64, i64)) -> Result<(), rustls::Error> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let date = |days: i64| {
            rcgen::date_time_ymd(2030, 1, 1)
                + Duration::from_secs(u64::try_from(days * DAY).unwrap())
        };
        (params.not_before, params.not_after) = (date(from), date(to));
        let certificate = params.self_signed(&key).unwrap();
        let settings = Settings { ca: Some(certificate.pem().into_bytes()), ..Settings::default() };
        settings.floor.raise(floor);
        let mut store = authorities(&settings).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(
            Arc::new(std::mem::replace(&mut store, RootCertStore::empty())),
            provider,
        )
        .build()
        .unwrap();
        let judge = Judge { inner, floor: settings.floor };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(clock).unwrap()));
        let name = ServerName::try_from("localhost").unwrap();
        judge.verify_server_cert(certificate.der(), &[], &name, &[], now).map(drop)
    }

    #[test]
    fn certificates_are_judged_by_the_floor_when_a_clock_is_behind_it() {
        // 2030-01-01.
        let begin = 1_893_456_000;
        let day = |days: i64| begin + days * DAY;
        // A clock that is right.
        assert!(judged(day(5), day(0), (1, 9)).is_ok());
        assert!(judged(day(0), 0, (1, 9)).is_err());
        assert!(judged(day(10), 0, (1, 9)).is_err());
        // One in 1970: within the floor's day, before it, after it.
        assert!(judged(0, day(5), (1, 9)).is_ok());
        assert!(judged(0, day(0), (1, 9)).is_ok());
        assert!(judged(0, day(10), (1, 9)).is_err());
        // A floor that is past does not make a clock wrong that is later.
        assert!(judged(day(2), day(1), (3, 9)).is_err());
    }

    #[test]
    fn what_an_operator_names_is_read_whole_or_not_at_all() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (good, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let armoured = |inner: &str| {
            format!("{good}-----BEGIN CERTIFICATE-----\n{inner}\n-----END CERTIFICATE-----\n")
        };
        let ca = |pem: &str| Settings { ca: Some(pem.into()), ..Settings::default() };
        let identity = |pem: &str| Settings { identity: Some(pem.into()), ..ca(&good) };
        for (settings, wrong) in [
            (ca(&good), ""),
            (ca(""), "no certificates of authorities"),
            (ca(&armoured("!")), "a certificate cannot be read"),
            (ca(&armoured("AAAA")), "ca: "),
            (identity(&format!("{good}{key}")), ""),
            (identity(&good), "no certificate with its key"),
            (identity(&format!("{}{key}", armoured("!"))), "a certificate cannot be read"),
        ] {
            let said = config(&settings).err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(said.is_empty(), wrong.is_empty(), "{said}");
            assert!(said.contains(wrong), "{said}");
        }
    }
}
