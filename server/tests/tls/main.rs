//! TLS over real sockets: who gets in, what is shown, how it changes, and what happens to those who
//! do not finish. Certificates are made by the tests themselves.

mod authority;
mod clients;
mod handshakes;
mod probe;
mod reload;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod users;

use authority::{Authority, Identity};
use rustls::ClientConfig;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::process::{free_port, scratch_dir};
use support::{Client, Server};

/// A server with a TLS port, and the files it reads.
struct Secure {
    server: Server,
    authority: Authority,
    files: PathBuf,
    port: u16,
}

impl Secure {
    /// With a certificate of an authority of its own, which also certifies clients.
    fn start(args: &[&str]) -> Secure {
        Self::start_with(args, |port, args| {
            let port = port.to_string();
            Server::dunlin(&[&["--tls-port", &port], args].concat())
        })
    }

    /// The same without a plain port.
    fn start_tls_only(args: &[&str]) -> Secure {
        Self::start_with(args, |port, args| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let port = port.to_string();
            let args = [&["--tls-port", &port], args].concat();
            Server::dunlin_without_port(&args, |_| std::net::TcpStream::connect(address).is_ok())
        })
    }

    fn start_with(args: &[&str], start: impl FnOnce(u16, &[&str]) -> Server) -> Secure {
        let files = scratch_dir("tls");
        let authority = Authority::new("Test CA");
        authority.write(&files.join("ca.pem"));
        authority.issue("server").write(&files, "server");
        let path = |name: &str| files.join(name).to_str().expect("a plain path").to_owned();
        let (cert, key, ca) = (path("server.pem"), path("server.key"), path("ca.pem"));
        let given = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
        // So that a machine that is busy with tests does not come too late.
        let patient = ["--tls-handshake-timeout", "60"];
        let port = free_port();
        let server = start(port, &[&given[..], &patient, args].concat());
        Secure { server, authority, files, port }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.join(name)
    }

    /// A client with a certificate of the server's authority.
    #[track_caller]
    fn client(&self) -> Client {
        self.connect(self.authority.trusting(Some(self.authority.issue("somebody"))))
            .expect("the server lets it in")
    }

    fn connect(&self, config: ClientConfig) -> io::Result<Client> {
        Client::tls(self.address(), Arc::new(config))
    }

    /// Whether a client with this certificate gets an answer.
    fn admits(&self, identity: Option<Identity>) -> bool {
        let Ok(mut client) = self.connect(self.authority.trusting(identity)) else {
            return false;
        };
        client.try_recv_after(b"PING\r\n").is_ok()
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.files);
    }
}

/// The text of a path for a command line.
fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
