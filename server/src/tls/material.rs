//! From the directives and their files to what rustls works with.

use super::{files, sessions::Sessions, suites};
use crate::cluster::link::Tls;
use crate::config::{TlsAuthClients, TlsSettings};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;

/// Sessions kept when the directive says 0; OpenSSL then has no limit, and everything here has one.
const DEFAULT_SESSIONS: usize = 20 * 1024;

/// Builds the server's side of TLS.
pub(super) fn server_config(settings: &TlsSettings) -> Result<ServerConfig, String> {
    if !settings.key_file_pass.is_empty() {
        return Err("tls-key-file-pass: encrypted keys cannot be read; decrypt the key with \
                    'openssl pkey' and protect the file by its permissions"
            .into());
    }
    let cert_file = settings.cert_file.as_deref().ok_or("no tls-cert-file configured")?;
    let key_file = settings.key_file.as_deref().ok_or("no tls-key-file configured")?;
    let provider = Arc::new(suites::provider(&settings.ciphers, &settings.ciphersuites)?);
    let versions = suites::versions(&settings.protocols)?;
    let verifier = verifier(settings, &provider)?;
    let chain = files::certificates(cert_file)?;
    let key = files::private_key(key_file)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| format!("tls-protocols, tls-ciphers, tls-ciphersuites: {error}"))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| format!("{} and {}: {error}", cert_file.display(), key_file.display()))?;
    config.ignore_client_order = settings.prefer_server_ciphers;
    keep_sessions(&mut config, settings);
    Ok(config)
}

/// Builds both sides of TLS between nodes.
pub(crate) fn between_nodes(settings: &TlsSettings) -> Result<Tls, String> {
    let cert_file =
        settings.cert_file.as_deref().ok_or("tls-cluster: no tls-cert-file configured")?;
    let key_file = settings.key_file.as_deref().ok_or("tls-cluster: no tls-key-file configured")?;
    let provider = Arc::new(suites::provider(&settings.ciphers, &settings.ciphersuites)?);
    let (chain, key) = (files::certificates(cert_file)?, files::private_key(key_file)?);
    Tls::new(&provider, authorities(settings)?, chain, key)
        .map_err(|error| format!("{} and {}: {error}", cert_file.display(), key_file.display()))
}

fn keep_sessions(config: &mut ServerConfig, settings: &TlsSettings) {
    if !settings.session_caching {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        return;
    }
    let size = match usize::try_from(settings.session_cache_size) {
        Ok(0) | Err(_) => DEFAULT_SESSIONS,
        Ok(size) => size,
    };
    config.session_storage = Arc::new(Sessions::new(size, settings.session_cache_timeout));
}

/// Who may connect.
fn verifier(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    if settings.auth_clients == TlsAuthClients::No {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let roots = Arc::new(authorities(settings)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    let builder = match settings.auth_clients {
        TlsAuthClients::Optional => builder.allow_unauthenticated(),
        TlsAuthClients::Yes | TlsAuthClients::No => builder,
    };
    builder.build().map_err(|error| format!("tls-ca-cert-file, tls-ca-cert-dir: {error}"))
}

fn authorities(settings: &TlsSettings) -> Result<RootCertStore, String> {
    let mut list = Vec::new();
    if let Some(file) = &settings.ca_cert_file {
        list.extend(files::certificates(file)?);
    }
    if let Some(dir) = &settings.ca_cert_dir {
        list.extend(files::directory(dir)?);
    }
    if list.is_empty() {
        return Err("either tls-ca-cert-file or tls-ca-cert-dir must be specified when \
                    tls-auth-clients is yes or optional, or tls-cluster yes"
            .into());
    }
    let mut roots = RootCertStore::empty();
    let (usable, unusable) = roots.add_parsable_certificates(list);
    if usable == 0 {
        return Err(
            "tls-ca-cert-file, tls-ca-cert-dir: none of the certificates can be used".into()
        );
    }
    if unusable > 0 {
        tracing::warn!(unusable, "TLS: certificates of authorities that cannot be used");
    }
    Ok(roots)
}
