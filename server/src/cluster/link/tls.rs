//! TLS between nodes (`tls-cluster yes`): both sides show a certificate and check the other's against
//! the authorities of `tls-ca-cert-file`. Names are not compared: a certificate of these authorities
//! makes a node, as with Redis.

use super::Stream;
use super::handshake::Refusal;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use std::sync::Arc;

/// Any name will do: it is sent to nobody and compared with nothing.
const NAME: &str = "node.invalid";

/// The two sides' configurations.
#[derive(Clone)]
pub struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// With this certificate and its key, among those whom these authorities have certified.
    ///
    /// # Errors
    /// If they cannot be used together.
    pub fn new(
        provider: &Arc<CryptoProvider>,
        roots: RootCertStore,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Tls, Error> {
        let roots = Arc::new(roots);
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
        let server = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), key.clone_key())?;
        let verifier = Arc::new(AnyName { roots, provider: Arc::clone(provider) });
        let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, key)?;
        client.enable_sni = false;
        Ok(Tls { client: Arc::new(client), server: Arc::new(server) })
    }

    pub(super) async fn connect(
        &self,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, Refusal> {
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.client));
        let name = ServerName::try_from(NAME).map_err(|why| Refusal::Refused(why.to_string()))?;
        Ok(Box::new(connector.connect(name, stream).await?))
    }

    pub(super) async fn accept(&self, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, Refusal> {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&self.server));
        Ok(Box::new(acceptor.accept(stream).await?))
    }
}

/// Checks who has signed a certificate, whatever its name is.
#[derive(Debug)]
struct AnyName {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
