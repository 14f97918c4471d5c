//! TLS: what the server shows, whom it trusts, and how both change while it runs.
//!
//! **Material.** A [`rustls::ServerConfig`] is built from the `tls-*` directives and the files they
//! name ([`material`], [`suites`], [`files`]), as a whole or not at all, and published behind an
//! `Arc`. A connection takes the current one when its handshake begins and keeps it.
//!
//! **Reload.** `CONFIG SET` of any `tls-*` directive (setting a file's path to what it is reads the
//! file again), SIGHUP, and every `tls-auto-reload-interval` seconds a look at the files: when one
//! of them is another than at the last reading, all are read. What cannot be used is logged and
//! changes nothing: new connections get the old certificate. A session cannot be resumed after a
//! reload, so that an authority which is no longer trusted lets nobody in.
//!
//! **Handshakes** run before there is a client ([`handshake`]); after that a connection reads and
//! writes through `connection::tls`.
//!
//! **Users.** With `tls-auth-clients-user CN` the common name of a client's certificate logs it in
//! as the user of that name ([`names`]).

pub(crate) mod files;
pub(crate) mod handshake;
mod material;
pub(crate) mod names;
mod sessions;
mod suites;

use crate::acl::Login;
use crate::config::{Applied, Settings, TlsSettings};
use crate::server::Server;
use files::Fingerprint;
pub(crate) use material::between_nodes;
use names::CommonName;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

/// What CONFIG SET answers when the new values cannot be used; the log says why.
const NOT_UPDATED: &str = "Unable to update TLS configuration. Check server logs.";

/// The TLS state of the process.
#[derive(Debug, Default)]
pub struct Tls {
    /// `None` without a TLS port.
    current: RwLock<Option<Arc<ServerConfig>>>,
    /// The files as they were when they were last read, whether or not they could be used.
    seen: Mutex<Fingerprint>,
    /// Certificates whose common name is no enabled user's (`tls-auth-clients-user`).
    pub denied: AtomicU64,
}

impl Tls {
    /// What the next handshake uses.
    pub fn config(&self) -> Option<Arc<ServerConfig>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files and publishes what they hold. Without a TLS port there is nothing to do.
    ///
    /// # Errors
    /// Why they cannot be used, for the operator; then nothing has changed.
    pub fn load(&self, settings: &TlsSettings) -> Result<(), String> {
        if settings.port == 0 {
            return Ok(());
        }
        // Before the reading: what changes meanwhile is seen by the next look.
        let fingerprint = Fingerprint::take(settings);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = fingerprint;
        let config = material::server_config(settings)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(config));
        Ok(())
    }

    /// The side effect of a CONFIG SET, in the form that [`crate::config::Config::set_with`] takes.
    ///
    /// # Errors
    /// The directive and the text for the client.
    pub fn apply(&self, new: &Settings, changed: &[Applied]) -> Result<(), (Applied, String)> {
        let Some(name) = changed.iter().find(|name| name.starts_with("tls-")) else {
            return Ok(());
        };
        self.load(&new.tls).map_err(|why| {
            warn!("TLS: {why}");
            (*name, NOT_UPDATED.to_owned())
        })
    }

    fn has_changed(&self, settings: &TlsSettings) -> bool {
        if settings.port == 0 {
            return false;
        }
        let now = Fingerprint::take(settings);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != now
    }
}

/// Who a client is by its certificate: the user whose name is the certificate's common name, if
/// `tls-auth-clients-user` says so and there is such a user who is not disabled.
///
/// # Errors
/// A name that nobody honest has: the connection is to be refused.
pub(crate) fn login_of(
    server: &Server,
    certificate: Option<&CertificateDer<'_>>,
) -> io::Result<Option<Login>> {
    let Some(certificate) = certificate.filter(|_| server.settings().tls.user_from_cn) else {
        return Ok(None);
    };
    let name = match names::common_name(certificate) {
        CommonName::Name(name) => name,
        CommonName::Missing => return Ok(None),
        CommonName::Forged => {
            server.tls.denied.fetch_add(1, Ordering::Relaxed);
            warn!("refused a TLS client: there is a NUL in its certificate's common name");
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    };
    let login = server.acl.find(&name).filter(|login| login.user.is_enabled());
    if login.is_none() {
        server.tls.denied.fetch_add(1, Ordering::Relaxed);
    }
    Ok(login)
}

/// Reads the files again at SIGHUP and when they have changed, as long as the process runs. Without
/// TLS the signal is ignored, as in Redis.
pub fn keep_current(server: &'static Server) -> io::Result<impl Future<Output = ()> + 'static> {
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            let interval = server.settings().tls.auto_reload_interval;
            let patience = Duration::from_secs(u64::from(if interval == 0 { 1 } else { interval }));
            match tokio::time::timeout(patience, hangup.recv()).await {
                Ok(_) => reload(server, "SIGHUP").await,
                Err(_elapsed) if interval == 0 => {}
                Err(_elapsed) => {
                    if server.tls.has_changed(&server.settings().tls) {
                        reload(server, "the files have changed").await;
                    }
                }
            }
        }
    })
}

async fn reload(server: &'static Server, why: &'static str) {
    let settings = server.settings();
    if settings.tls.port == 0 {
        info!(why, "nothing to reload: there is no TLS port");
        return;
    }
    // Parsing and checking keys takes milliseconds; connections should not wait for it.
    let loaded = tokio::task::spawn_blocking(move || server.tls.load(&settings.tls)).await;
    match loaded {
        Ok(Ok(())) => info!(why, "TLS certificates reloaded"),
        Ok(Err(error)) => warn!(why, "TLS certificates not reloaded: {error}"),
        Err(error) => warn!(why, %error, "TLS certificates not reloaded"),
    }
}
