//! TLS to a server.

use super::node::Access;
use crate::tls::files;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

/// Makes sure that the server is the one that is meant, and shows the own certificate if there is one.
pub(super) fn shake_hands(
    mut socket: TcpStream,
    host: &str,
    access: &Access,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let config = config(access).map_err(io::Error::other)?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut records = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while records.is_handshaking() {
        records.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(records, socket))
}

fn config(access: &Access) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let ca = access.ca.as_deref().ok_or("--tls wants --cacert: whom to trust")?;
    for certificate in files::certificates(ca)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", ca.display()))?;
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    match (&access.cert, &access.key) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(files::certificates(cert)?, files::private_key(key)?)
            .map_err(|error| error.to_string()),
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err("--cert and --key belong together".to_owned()),
    }
}
