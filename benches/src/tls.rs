//! The TLS of loads: a certificate for the servers and clients that trust it.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::Outcome;

/// Names of the files of [`identity`].
pub(crate) const CERT: &str = "cert.pem";
pub(crate) const KEY: &str = "key.pem";

/// Writes [`CERT`] and [`KEY`] to `dir` and gives a client's settings for them.
///
/// An RSA key of 2048 bits: the most common sort, and the one whose handshakes cost a server
/// several times what they cost a client, so that one core of clients can overload one of a server.
/// All servers are offered the same version and suites in the same order, whose first they take.
pub(crate) fn identity(dir: &Path) -> Outcome<Arc<ClientConfig>> {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    std::fs::write(dir.join(KEY), key.serialize_pem())?;
    std::fs::write(dir.join(CERT), certificate.pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone())?;
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Every handshake a full one.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A client about to begin.
pub(crate) fn connection(config: &Arc<ClientConfig>) -> Outcome<ClientConnection> {
    Ok(ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?)
}
