//! The name in a client's certificate.
//!
//! A common name is bytes with a length. Taking it for text that ends at a NUL would let whoever
//! gets a certificate for `admin\0.example.org` in as `admin`, so names are compared as they are,
//! and one with a NUL, for which there is no honest use, is refused.

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// What a certificate's subject says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommonName {
    /// A name; the first if there are several.
    Name(Vec<u8>),
    /// None, or not to be read.
    Missing,
    /// A name with a NUL in it.
    Forged,
}

/// The common name of a certificate whose signature has been verified.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> CommonName {
    let Ok(certificate) = Certificate::from_der(certificate) else {
        return CommonName::Missing;
    };
    let subject = certificate.tbs_certificate().subject();
    let Some(attribute) = subject.iter().find(|attribute| attribute.oid == COMMON_NAME) else {
        return CommonName::Missing;
    };
    let name = attribute.value.value();
    if name.contains(&0) {
        return CommonName::Forged;
    }
    CommonName::Name(name.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn named(names: &[&str]) -> CommonName {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "first");
        for name in names {
            subject.push(DnType::CommonName, *name);
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        let key = KeyPair::generate().expect("a key");
        common_name(params.self_signed(&key).expect("a certificate").der())
    }

    #[test]
    fn names_are_whole() {
        assert_eq!(named(&["admin"]), CommonName::Name(b"admin".to_vec()));
        assert_eq!(named(&["ädmin x"]), CommonName::Name("ädmin x".as_bytes().to_vec()));
        assert_eq!(named(&[]), CommonName::Missing);
        assert_eq!(named(&["admin\0x"]), CommonName::Forged);
        assert_eq!(named(&["admin\0"]), CommonName::Forged);
        assert_eq!(common_name(&CertificateDer::from(vec![0x30, 0x82])), CommonName::Missing);
    }
}
