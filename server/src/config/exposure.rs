//! Protected mode: whether the server would be open to the world.

use std::net::IpAddr;

use super::Settings;

/// Refuses settings that would serve other machines without a password.
///
/// # Errors
/// What to do about it, for the operator.
pub fn check_exposure(settings: &Settings) -> Result<(), String> {
    if !settings.protected_mode || !settings.requirepass.is_empty() || settings.port == 0 {
        return Ok(());
    }
    let Some(open) = settings.bind.iter().find(|address| !is_loopback(address)) else {
        return Ok(());
    };
    Err(format!(
        "refusing to serve '{open}' without a password: everybody who reaches port {} could read \
         and change the cache. Set a password with requirepass, bind to 127.0.0.1 and ::1 only, \
         or say protected-mode no (--insecure) if the network is trusted",
        settings.port
    ))
}

fn is_loopback(address: &str) -> bool {
    let address = address.strip_prefix('-').unwrap_or(address);
    match address.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        // A name may resolve to anything; only this one is safe to assume.
        Err(_) => address == "localhost",
    }
}
