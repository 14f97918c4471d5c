//! Certificates for the tests.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// A certificate and its key.
pub(crate) struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// Who issues certificates.
pub(crate) struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

impl Identity {
    /// Writes `name.pem` and `name.key`.
    pub(crate) fn write(&self, dir: &Path, name: &str) {
        let put = |file: String, text: String| {
            // As tools do it: whole, under its name only when it is complete.
            let temporary = dir.join(format!("{file}.new"));
            fs::write(&temporary, text).expect("the directory takes files");
            fs::rename(temporary, dir.join(file)).expect("the file can be replaced");
        };
        put(format!("{name}.key"), self.key.serialize_pem());
        put(format!("{name}.pem"), self.certificate.pem());
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = subject(name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn write(&self, path: &Path) {
        fs::write(path, self.certificate.pem()).expect("the directory takes files");
    }

    /// A certificate for the server on this machine, or a client called `name`.
    pub(crate) fn issue(&self, name: &str) -> Identity {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = subject(name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { certificate, key }
    }

    /// A client that trusts this authority and shows `identity`.
    pub(crate) fn trusting(&self, identity: Option<Identity>) -> ClientConfig {
        self.trusting_in(identity, &[&TLS12, &TLS13])
    }

    /// The same in these versions.
    pub(crate) fn trusting_in(
        &self,
        identity: Option<Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
                builder.with_client_auth_cert(vec![certificate.der().clone()], key).expect("a pair")
            }
        }
    }
}
