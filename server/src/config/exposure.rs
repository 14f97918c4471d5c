//! Protected mode: whether the server would be open to the world.

use std::net::IpAddr;

use super::{Settings, TlsAuthClients};

/// Refuses settings that would serve other machines without a password; `passwordless`: connections
/// begin as a user who needs none.
///
/// # Errors
/// What to do about it, for the operator.
pub fn check_exposure(settings: &Settings, passwordless: bool) -> Result<(), String> {
    if !settings.protected_mode || !passwordless {
        return Ok(());
    }
    // Whoever must show a certificate is no stranger.
    let strangers = settings.tls.auth_clients != TlsAuthClients::Yes;
    let port = match (settings.port, settings.tls.port) {
        (0, 0) => return Ok(()),
        (0, tls) if strangers => tls,
        (0, _) => return Ok(()),
        (port, _) => port,
    };
    let Some(open) = settings.bind.iter().find(|address| !is_loopback(address)) else {
        return Ok(());
    };
    Err(format!(
        "refusing to serve '{open}' without a password: everybody who reaches port {port} could \
         read and change the cache. Set a password with requirepass, bind to 127.0.0.1 and ::1 \
         only, or say protected-mode no (--insecure) if the network is trusted"
    ))
}

/// Whether an address of `bind` can be reached from this machine only.
#[must_use]
pub fn is_loopback(address: &str) -> bool {
    let address = address.strip_prefix('-').unwrap_or(address);
    match address.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        // A name may resolve to anything; only this one is safe to assume.
        Err(_) => address == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_served_without_a_password() {
        let mut settings = Settings::defaults(0);
        assert_eq!(check_exposure(&settings, true), Ok(()));
        for open in ["0.0.0.0", "*", "::*", "-::*", "::", "192.168.1.1", "example.org"] {
            settings.bind = vec!["127.0.0.1".into(), open.into()];
            let why = check_exposure(&settings, true).unwrap_err();
            assert!(why.contains(open) && why.contains("requirepass"), "{why}");
        }
        for closed in ["127.8.8.8", "::1", "-::1", "localhost", "::ffff:127.0.0.1"] {
            settings.bind = vec![closed.into()];
            assert_eq!(check_exposure(&settings, true), Ok(()), "{closed}");
        }
        settings.bind = vec!["*".into()];
        let with = |change: fn(&mut Settings)| {
            let mut settings = settings.clone();
            change(&mut settings);
            check_exposure(&settings, true)
        };
        assert_eq!(check_exposure(&settings, false), Ok(()));
        assert_eq!(with(|s| s.protected_mode = false), Ok(()));
        assert_eq!(with(|s| s.port = 0), Ok(()));
        assert!(with(|s| s.tls.port = 6380).is_err(), "the plain port is still open");
        assert_eq!(
            with(|s| (s.port, s.tls.port) = (0, 6380)),
            Ok(()),
            "certificates are asked for"
        );
        let optional = with(|s| {
            (s.port, s.tls.port) = (0, 6380);
            s.tls.auth_clients = TlsAuthClients::Optional;
        });
        assert!(optional.unwrap_err().contains("port 6380"));
    }
}
