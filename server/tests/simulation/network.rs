//! The simulated network as a transport of links.

use dunlin::cluster::link::{Listener, Stream, Transport};
use dunlin::cluster::meta::Later;
use std::io;
use std::net::SocketAddr;
use turmoil::net::{TcpListener, TcpStream};

/// turmoil's TCP.
pub(crate) struct Simulated;

struct Listening(TcpListener);

impl Transport for Simulated {
    fn connect(&self, address: SocketAddr) -> Later<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move { Ok(Box::new(TcpStream::connect(address).await?) as Box<dyn Stream>) })
    }

    fn listen(&self, address: SocketAddr) -> Later<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let any = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), address.port());
            Ok(Box::new(Listening(TcpListener::bind(any).await?)) as Box<dyn Listener>)
        })
    }
}

impl Listener for Listening {
    fn accept(&self) -> Later<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, address) = self.0.accept().await?;
            Ok((Box::new(stream) as Box<dyn Stream>, address))
        })
    }
}
