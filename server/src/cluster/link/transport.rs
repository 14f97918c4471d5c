//! Where connections come from.

use super::super::meta::Later;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A connection's bytes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static> Stream for T {}

/// Takes connections.
pub trait Listener: Send + Sync {
    /// The next one.
    fn accept(&self) -> Later<'_, io::Result<(Box<dyn Stream>, SocketAddr)>>;
}

/// A network.
pub trait Transport: Send + Sync {
    /// Connects.
    fn connect(&self, address: SocketAddr) -> Later<'_, io::Result<Box<dyn Stream>>>;

    /// Listens.
    fn listen(&self, address: SocketAddr) -> Later<'_, io::Result<Box<dyn Listener>>>;
}

/// What is small is sent at once, and what is lost again and again after the same time: twice as long each
/// time would be longer than a lease after four of them.
fn hurry(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Not every system knows it, and it goes without.
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_thin_linear_timeouts(true);
    Ok(())
}

/// TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Transport for Tcp {
    fn connect(&self, address: SocketAddr) -> Later<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            hurry(&stream)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn listen(&self, address: SocketAddr) -> Later<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }
}

impl Listener for TcpListener {
    fn accept(&self) -> Later<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, address) = TcpListener::accept(self).await?;
            hurry(&stream)?;
            Ok((Box::new(stream) as Box<dyn Stream>, address))
        })
    }
}
