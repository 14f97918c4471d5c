//! TCP, unix sockets and TLS behind one type.

use super::tls::TlsStream;
use bytes::BytesMut;
use dunlin_protocol::Reply;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{TcpStream, UnixStream};

/// Segments of one `writev`.
const MAX_SLICES: usize = 64;

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// Unix socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Reads once into the spare room of `room`; 0 = end of stream. The pending future holds no
    /// state, so it may be dropped and made anew at each poll.
    pub(crate) async fn read_buf(&mut self, room: &mut BytesMut) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read_buf(room).await,
            Stream::Unix(stream) => stream.read_buf(room).await,
            Stream::Tls(stream) => poll_fn(|cx| stream.poll_read(cx, room)).await,
        }
    }

    /// Reads what is there, without waiting.
    pub(crate) fn try_read(&mut self, room: &mut BytesMut) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_read_buf(room),
            Stream::Unix(stream) => stream.try_read_buf(room),
            Stream::Tls(stream) => stream.try_read(room),
        }
    }

    /// Whether there is something to send beside the reply.
    #[inline]
    pub(crate) fn has_unsent(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.has_unsent())
    }

    /// Writes once from `reply`, without waiting.
    pub(crate) fn try_write(&mut self, reply: &mut Reply) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => send(reply, |slices| match slices {
                [one] => stream.try_write(one),
                many => stream.try_write_vectored(many),
            }),
            Stream::Unix(stream) => send(reply, |slices| match slices {
                [one] => stream.try_write(one),
                many => stream.try_write_vectored(many),
            }),
            Stream::Tls(stream) => stream.try_write(reply),
        }
    }

    /// Writes once from `reply`, or registers for writability.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        reply: &mut Reply,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(reply) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            match self {
                Stream::Tcp(stream) => ready!(stream.poll_write_ready(cx))?,
                Stream::Unix(stream) => ready!(stream.poll_write_ready(cx))?,
                Stream::Tls(stream) => return stream.poll_write(cx, reply),
            }
        }
    }

    /// Ready once the peer has closed its side. Received data does not end the wait: it is left
    /// where it is.
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut probe = [0; 1];
        let mut probe = tokio::io::ReadBuf::new(&mut probe);
        let closed = match self {
            Stream::Tcp(stream) => match ready!(stream.poll_peek(cx, &mut probe)) {
                Ok(n) => n == 0,
                Err(_) => true,
            },
            Stream::Tls(stream) => return stream.poll_closed(cx),
            Stream::Unix(stream) => loop {
                if ready!(stream.poll_read_ready(cx)).is_err() {
                    break true;
                }
                let mut byte = [MaybeUninit::uninit()];
                let peek = || socket2::SockRef::from(&*stream).peek(&mut byte);
                match stream.try_io(Interest::READABLE, peek) {
                    // No longer readable: asks again, to be woken.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(n) => break n == 0,
                    Err(_) => break true,
                }
            },
        };
        if closed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Sends FIN.
    pub(crate) fn shutdown(&mut self) {
        // The peer may be gone already; then there is nothing to tell it.
        let _ = match self {
            Stream::Tcp(stream) => {
                socket2::SockRef::from(&*stream).shutdown(std::net::Shutdown::Write)
            }
            Stream::Unix(stream) => {
                socket2::SockRef::from(&*stream).shutdown(std::net::Shutdown::Write)
            }
            Stream::Tls(stream) => stream.shutdown(),
        };
    }
}

/// Gives the front of `reply` to `write` and drops from it what was taken.
#[inline]
pub(super) fn send(
    reply: &mut Reply,
    write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    reply.slices(&mut slices, MAX_SLICES);
    let sent = write(&slices)?;
    drop(slices);
    reply.advance(sent);
    Ok(sent)
}
