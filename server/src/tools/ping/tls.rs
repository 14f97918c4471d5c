//! The probe over TLS.
//!
//! It asks a server of its own machine, whose certificate need not name that machine, so the name is
//! not checked. The password goes only to a server that shows the certificate of `tls-cert-file`.
//! For itself the probe shows that certificate, too; where it does not pass for a client's, the
//! server's alert is its answer.

use crate::config::{Settings, TlsSettings};
use crate::tls::files;
use crate::tools::ping;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, Stream,
};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// [`ping::converse`] after a handshake.
pub(super) fn converse(mut socket: TcpStream, settings: &Settings) -> io::Result<String> {
    let name = ServerName::from(socket.peer_addr()?.ip());
    let own = Arc::new(Own::new(&settings.tls));
    let config = config(&settings.tls, &own).map_err(io::Error::other)?;
    let mut records = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let asked = shake_hands(&mut records, &mut socket).and_then(|()| {
        let password = Some(&settings.requirepass).filter(|_| own.seen.load(Ordering::Acquire));
        ping::converse(Stream::new(&mut records, &mut socket), password)
    });
    asked.or_else(|error| match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) => Ok(format!("-TLS alert {alert:?}")),
        _ => Err(error),
    })
}

fn shake_hands(records: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    while records.is_handshaking() {
        records.complete_io(socket)?;
    }
    Ok(())
}

fn config(settings: &TlsSettings, own: &Arc<Own>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&own.provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(own) as _);
    let key = settings.key_file.as_deref().and_then(|path| files::private_key(path).ok());
    match key.filter(|_| !own.chain.is_empty()) {
        Some(key) => builder.with_client_auth_cert(own.chain.clone(), key),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// The certificate of the configuration, and whether the server has shown it.
#[derive(Debug)]
struct Own {
    chain: Vec<CertificateDer<'static>>,
    seen: AtomicBool,
    provider: Arc<CryptoProvider>,
}

impl Own {
    fn new(settings: &TlsSettings) -> Own {
        let read = |path| files::certificates(path).ok();
        let chain = settings.cert_file.as_deref().and_then(read).unwrap_or_default();
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        Own { chain, seen: AtomicBool::new(false), provider }
    }
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.seen.store(self.chain.first().is_some_and(|own| own == shown), Ordering::Release);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
