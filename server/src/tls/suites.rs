//! Versions of TLS and cipher suites, by the names that Redis's directives use (OpenSSL's).
//!
//! rustls has the suites that nobody needs to exclude, so lists here only choose among good ones.
//! What a list names and rustls lacks is an error at the start instead of a weaker or stronger
//! server than the operator asked for. In `tls-ciphers` a class of old suites may be excluded
//! (`DEFAULT:!MEDIUM`), as none of them is there.

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion};

/// OpenSSL's names.
const NAMES: &[(CipherSuite, &str)] = &[
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305"),
];

/// Words of an OpenSSL list that stand for all suites there are here.
const ALL: &[&str] = &["ALL", "DEFAULT", "HIGH", "SECURE", "COMPLEMENTOFDEFAULT"];

/// Classes of suites of which none is here: excluding them changes nothing.
const ABSENT: &[&str] = &[
    "3DES", "ADH", "AECDH", "ARIA", "CAMELLIA", "CBC", "DES", "DSS", "EXP", "EXPORT", "IDEA",
    "LOW", "MD5", "MEDIUM", "NULL", "PSK", "RC2", "RC4", "SEED", "SHA", "SHA1", "SRP", "SSLv3",
    "TLSv1", "aNULL", "eNULL", "kRSA",
];

/// The versions named by `tls-protocols`; both if it names none.
pub(super) fn versions(list: &str) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let mut versions = Vec::new();
    for word in list.split_whitespace() {
        match word.to_ascii_lowercase().as_str() {
            "tlsv1.2" => versions.push(&TLS12),
            "tlsv1.3" => versions.push(&TLS13),
            "tlsv1" | "tlsv1.1" => {
                return Err(format!("tls-protocols: {word} is broken and not supported"));
            }
            _ => return Err("tls-protocols: use a combination of 'TLSv1.2' and 'TLSv1.3'".into()),
        }
    }
    Ok(if versions.is_empty() { vec![&TLS12, &TLS13] } else { versions })
}

/// The cryptography with the suites that `tls-ciphers` and `tls-ciphersuites` allow.
pub(super) fn provider(ciphers: &str, ciphersuites: &str) -> Result<CryptoProvider, String> {
    let mut provider = aws_lc_rs::default_provider();
    let (newer, older): (Vec<_>, Vec<_>) =
        provider.cipher_suites.iter().copied().partition(|suite| suite.tls13().is_some());
    provider.cipher_suites = choose(&newer, "tls-ciphersuites", ciphersuites)?;
    provider.cipher_suites.extend(choose(&older, "tls-ciphers", ciphers)?);
    Ok(provider)
}

/// The suites among `there` that a list allows, in the list's order.
fn choose(
    there: &[SupportedCipherSuite],
    directive: &str,
    list: &str,
) -> Result<Vec<SupportedCipherSuite>, String> {
    let words = || list.split([':', ',', ' ']).filter(|word| !word.is_empty());
    let (mut chosen, mut excluded) = (Vec::new(), Vec::new());
    let unknown = |word: &str| {
        let known: Vec<&str> = there.iter().filter_map(|suite| name(*suite)).collect();
        format!("{directive}: '{word}' is not supported; there are {}", known.join(", "))
    };
    for word in words() {
        if let Some(class) = word.strip_prefix('!').or_else(|| word.strip_prefix('-')) {
            match by_name(there, class) {
                Some(suite) => excluded.push(suite.suite()),
                None if ABSENT.iter().any(|absent| absent.eq_ignore_ascii_case(class)) => {}
                None => return Err(unknown(word)),
            }
        } else if ALL.contains(&word) || word.starts_with("@SECLEVEL=") || word == "@STRENGTH" {
            chosen.extend(there.iter().copied());
        } else {
            chosen.push(by_name(there, word).ok_or_else(|| unknown(word))?);
        }
    }
    if words().next().is_none() {
        return Ok(there.to_vec());
    }
    let mut list: Vec<SupportedCipherSuite> = Vec::new();
    for suite in chosen {
        let known = list.iter().any(|other| other.suite() == suite.suite());
        if !known && !excluded.contains(&suite.suite()) {
            list.push(suite);
        }
    }
    if list.is_empty() { Err(format!("{directive}: no suite is left")) } else { Ok(list) }
}

fn name(suite: SupportedCipherSuite) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == suite.suite()).map(|(_, name)| *name)
}

/// By OpenSSL's name or the registered one.
fn by_name(there: &[SupportedCipherSuite], wanted: &str) -> Option<SupportedCipherSuite> {
    there.iter().copied().find(|suite| {
        let registered = format!("{:?}", suite.suite());
        registered == wanted || name(*suite).is_some_and(|name| name.eq_ignore_ascii_case(wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ciphers: &str, ciphersuites: &str) -> Result<Vec<&'static str>, String> {
        let provider = provider(ciphers, ciphersuites)?;
        Ok(provider.cipher_suites.into_iter().map(|suite| name(suite).expect("named")).collect())
    }

    #[test]
    fn every_suite_there_is_has_openssl_s_name() {
        assert_eq!(names("", "").map(|list| list.len()), Ok(NAMES.len()));
    }

    #[test]
    fn lists_choose_and_order() {
        let chosen = names(
            "ECDHE-RSA-AES256-GCM-SHA384:ecdhe-rsa-aes128-gcm-sha256",
            "TLS_CHACHA20_POLY1305_SHA256",
        );
        let expected = [
            "TLS_CHACHA20_POLY1305_SHA256",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES128-GCM-SHA256",
        ];
        assert_eq!(chosen, Ok(expected.to_vec()));
        // The example of redis.conf.
        assert_eq!(names("DEFAULT:!MEDIUM", ""), names("", ""));
        let fewer = names("HIGH:!aNULL:!ECDHE-RSA-CHACHA20-POLY1305", "").expect("a list");
        assert_eq!(fewer.len(), NAMES.len() - 1);
        assert!(!fewer.contains(&"ECDHE-RSA-CHACHA20-POLY1305"));
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        for (ciphers, suites) in [
            ("AES256-SHA", ""),
            ("DEFAULT:!ECDHE", ""),
            ("", "TLS_AES_128_CCM_SHA256"),
            ("TLS_AES_128_GCM_SHA256", ""),
            ("!MEDIUM", ""),
        ] {
            let error = names(ciphers, suites).expect_err(ciphers);
            assert!(error.starts_with("tls-ciphers"), "{error}");
        }
    }

    #[test]
    fn versions_by_name() {
        let count = |list| versions(list).map(|versions| versions.len());
        assert_eq!(count(""), Ok(2));
        assert_eq!(count("TLSv1.3"), Ok(1));
        assert_eq!(count("TLSv1.2 tlsv1.3"), Ok(2));
        assert!(count("TLSv1.1 TLSv1.2").expect_err("old").contains("TLSv1.1"));
        assert!(count("SSLv3").is_err());
    }
}
