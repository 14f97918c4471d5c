//! TCP, unix sockets and TLS behind one type.

use super::output::SENT_AT_ONCE;
use super::tls::TlsStream;
use bytes::BytesMut;
use dunlin_protocol::Reply;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{TcpStream, UnixStream};

/// Segments of one `writev`.
const MAX_SLICES: usize = 64;

/// What to wait for to learn of the peer's end and of nothing else. The runtime counts the end
/// towards urgent data as it does towards readability, but data that nobody reads yet is not
/// urgent; sockets are not even registered for what is.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const CLOSED: Interest = Interest::PRIORITY;
/// Elsewhere only a reset can be told from data.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const CLOSED: Interest = Interest::ERROR;

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
    /// Reads once into the spare room of `room`; 0 = end of stream.
    #[inline(always)]
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        // A pending read holds no state, so it is made anew at each poll.
        match self {
            Stream::Tcp(stream) => pin!(stream.read_buf(room)).poll(cx),
            Stream::Unix(stream) => pin!(stream.read_buf(room)).poll(cx),
            Stream::Tls(stream) => stream.poll_read(cx, room),
        }
    }

    /// Bytes that the kernel holds for us; of a TLS connection at least one, because what is decrypted
    /// already is not among them.
    pub(crate) fn arrived(&self) -> u64 {
        let (waiting, decrypted) = match self {
            Stream::Tcp(stream) => (rustix::io::ioctl_fionread(stream), 0),
            Stream::Unix(stream) => (rustix::io::ioctl_fionread(stream), 0),
            Stream::Tls(stream) => (rustix::io::ioctl_fionread(stream.socket()), 1),
        };
        waiting.unwrap_or(0) + decrypted
    }

    /// Whether there is something to send beside the reply.
    #[inline]
    pub(crate) fn has_unsent(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.has_unsent())
    }

    /// Writes once from `reply`, without waiting.
    pub(crate) fn try_write(&self, reply: &mut Reply) -> io::Result<usize> {
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
        &self,
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

    /// Writes all of `reply` and what is unsent beside it. What has been written is gone, so the
    /// future may be dropped and made anew.
    pub(crate) async fn write_all(&self, reply: &mut Reply) -> io::Result<()> {
        while !reply.is_empty() || self.has_unsent() {
            poll_fn(|cx| self.poll_write(cx, reply)).await?;
            if !reply.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Waits until the peer has closed its side. What it has sent before is neither read nor in
    /// the way, as far as the kernel has taken it: an end that TCP cannot deliver yet, because
    /// the receive window is full, is left to keepalive.
    pub(crate) async fn closed(&self) {
        // An error of the wait itself ends the connection too.
        let _ = match self {
            Stream::Tcp(stream) => stream.ready(CLOSED).await,
            Stream::Unix(stream) => stream.ready(CLOSED).await,
            Stream::Tls(stream) => return stream.closed().await,
        };
    }

    /// Sends FIN.
    pub(crate) fn shutdown(&self) {
        // The peer may be gone already; then there is nothing to tell it.
        let _ = match self {
            Stream::Tcp(stream) => {
                socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)
            }
            Stream::Unix(stream) => {
                socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)
            }
            Stream::Tls(stream) => stream.shutdown(),
        };
    }
}

/// Gives the front of `reply` to `write` and drops from it what was taken: not all at once, because
/// the system takes megabytes in one call.
#[inline]
pub(super) fn send(
    reply: &mut Reply,
    write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<usize> {
    if let Some(bytes) = reply.contiguous() {
        let bytes = &bytes[..bytes.len().min(SENT_AT_ONCE)];
        let sent = write(&[IoSlice::new(bytes)])?;
        reply.advance(sent);
        return Ok(sent);
    }
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    reply.slices(&mut slices, MAX_SLICES);
    let mut total = 0;
    let mut fits = |slice: &IoSlice<'_>| {
        let before = total;
        total += slice.len();
        before < SENT_AT_ONCE
    };
    let count = slices.iter().take_while(|slice| fits(slice)).count();
    let sent = write(&slices[..count])?;
    drop(slices);
    reply.advance(sent);
    Ok(sent)
}
