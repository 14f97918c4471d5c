//! The simulated network as a transport of links.
//!
//! ```text
//!   node's process -- connect, bytes --> kernel: a host of the simulation -- TCP of turmoil --> others
//! ```
//!
//! A node is a process with time of its own ([`super::process`]), and what a kernel does for a process
//! is done beside it: connections are taken, and bytes too as far as there is room, also while the
//! process stands still. When it is killed, both end.

use super::node::PORT;
use dunlin::cluster::link::{Listener, Stream, Transport};
use dunlin::cluster::meta::Later;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::DuplexStream;
use tokio::sync::{Mutex as Turn, mpsc, oneshot};
use turmoil::net::{TcpListener, TcpStream};

/// Bytes that wait in a kernel for a process, per connection and direction.
const BUFFER: usize = 1 << 16;

type Accepted = (DuplexStream, SocketAddr);

struct Connect(SocketAddr, oneshot::Sender<io::Result<DuplexStream>>);

/// The network as a process sees it.
pub(crate) struct Simulated {
    connects: mpsc::UnboundedSender<Connect>,
    accepted: Mutex<Option<mpsc::UnboundedReceiver<Accepted>>>,
}

/// The kernel's ends.
pub(crate) struct Kernel {
    connects: mpsc::UnboundedReceiver<Connect>,
    accepted: mpsc::UnboundedSender<Accepted>,
}

/// Where a host that begins finds what it is to be.
pub(crate) type Slot = Arc<Mutex<Option<Kernel>>>;

/// A process's network, and the kernel for it.
pub(crate) fn network() -> (Simulated, Kernel) {
    let (connect, connects) = mpsc::unbounded_channel();
    let (accept, accepted) = mpsc::unbounded_channel();
    let simulated = Simulated { connects: connect, accepted: Mutex::new(Some(accepted)) };
    (simulated, Kernel { connects, accepted: accept })
}

impl Kernel {
    /// Runs for ever, on a host of the simulation.
    pub(crate) async fn run(mut self) -> turmoil::Result {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT);
        let listener = TcpListener::bind(any).await?;
        loop {
            tokio::select! {
                biased;
                accepted = listener.accept() => {
                    let (stream, address) = accepted?;
                    let _ = self.accepted.send((attach(stream), address));
                }
                connect = self.connects.recv() => match connect {
                    Some(Connect(address, done)) => drop(tokio::spawn(async move {
                        let stream = TcpStream::connect(address).await;
                        let _ = done.send(stream.map(attach));
                    })),
                    // The process is over, and this host with it.
                    None => std::future::pending().await,
                }
            }
        }
    }
}

/// The process's end of a connection.
fn attach(mut stream: TcpStream) -> DuplexStream {
    let (mut kernel, process) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        // Either side may end it.
        let _ = tokio::io::copy_bidirectional(&mut kernel, &mut stream).await;
    });
    process
}

fn gone<T>(_: T) -> io::Error {
    io::Error::other("there is no network")
}

impl Transport for Simulated {
    fn connect(&self, address: SocketAddr) -> Later<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let (done, stream) = oneshot::channel();
            self.connects.send(Connect(address, done)).map_err(gone)?;
            Ok(Box::new(stream.await.map_err(gone)??) as Box<dyn Stream>)
        })
    }

    fn listen(&self, _: SocketAddr) -> Later<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let accepted = self.accepted.lock().unwrap().take().ok_or_else(|| gone(()))?;
            Ok(Box::new(Listening(Turn::new(accepted))) as Box<dyn Listener>)
        })
    }
}

struct Listening(Turn<mpsc::UnboundedReceiver<Accepted>>);

impl Listener for Listening {
    fn accept(&self) -> Later<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, address) = self.0.lock().await.recv().await.ok_or_else(|| gone(()))?;
            Ok((Box::new(stream) as Box<dyn Stream>, address))
        })
    }
}
