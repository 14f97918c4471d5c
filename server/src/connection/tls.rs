//! A TLS connection after its handshake: rustls's state machine between the session's buffers and
//! the socket.
//!
//! ```text
//!   decoder <- plaintext <- rustls <- records <- socket
//!   reply   -> plaintext -> rustls -> records -> socket
//! ```
//!
//! rustls does no I/O, so reading and writing keep the form they have for plain sockets: once,
//! without waiting, or registered with a waker. Two things differ. Records which rustls holds and
//! the socket did not take are output too, although the reply is empty ([`TlsStream::has_unsent`];
//! at most 64 KiB). And what the peer sent may be decrypted before anybody wants it: a blocked
//! client's end is announced by a record, which has to be read to be seen.

use super::stream::send;
use bytes::BytesMut;
use dunlin_protocol::Reply;
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use std::io::{self, BufRead as _, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

/// A TCP connection with TLS on it.
#[derive(Debug)]
pub(crate) struct TlsStream {
    socket: TcpStream,
    records: ServerConnection,
    /// The peer has said that it sends no more.
    ended: bool,
}

impl TlsStream {
    /// Takes over after the handshake.
    pub(crate) fn new(socket: TcpStream, records: ServerConnection) -> TlsStream {
        TlsStream { socket, records, ended: false }
    }

    /// The certificate the client has shown.
    pub(crate) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.records.peer_certificates()?.first()
    }

    /// Whether records wait for the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        self.records.wants_write()
    }

    /// Reads into the spare room of `room`, at least once and as often as there is something; 0 =
    /// end of stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let spare = (room.capacity() - room.len()).max(1);
        let mut total = 0;
        loop {
            total += self.take(room, spare - total);
            if total == spare || self.ended {
                return Poll::Ready(Ok(total));
            }
            match self.poll_receive(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(total)),
                // What came before the failure is delivered first; the failure stays.
                Poll::Ready(Err(_)) | Poll::Pending if total > 0 => return Poll::Ready(Ok(total)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// [`TlsStream::poll_read`] without waiting.
    pub(crate) fn try_read(&mut self, room: &mut BytesMut) -> io::Result<usize> {
        match self.poll_read(&mut Context::from_waker(Waker::noop()), room) {
            Poll::Ready(done) => done,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Moves at most `max` decrypted bytes to `room`.
    fn take(&mut self, room: &mut BytesMut, max: usize) -> usize {
        let mut taken = 0;
        while taken < max {
            let mut reader = self.records.reader();
            // An error means that nothing is there; an end without notice shows in the socket.
            let Ok(chunk) = reader.fill_buf() else { break };
            if chunk.is_empty() {
                self.ended = true;
                break;
            }
            let n = chunk.len().min(max - taken);
            room.extend_from_slice(&chunk[..n]);
            reader.consume(n);
            taken += n;
        }
        taken
    }

    /// Takes records from the socket and decrypts them; false: the socket has ended.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let received = match poll_pull(&mut self.records, &mut self.socket, cx) {
            Poll::Ready(received) => received? > 0,
            Poll::Pending => {
                // Answers to the peer's control messages must not wait for the next reply.
                if let Poll::Ready(Err(error)) = self.poll_push(cx) {
                    return Poll::Ready(Err(error));
                }
                return Poll::Pending;
            }
        };
        let processed = self.records.process_new_packets();
        if processed.is_err() {
            // The alert tells the peer why; whether it arrives makes no difference here.
            let _ = push(&mut self.records, &self.socket);
        }
        Poll::Ready(processed.map(|_| received).map_err(invalid))
    }

    /// Writes once from `reply`, without waiting. With an empty reply it sends what is unsent.
    pub(crate) fn try_write(&mut self, reply: &mut Reply) -> io::Result<usize> {
        let blocked = !self.push_some()?;
        let taken = send(reply, |slices| self.records.writer().write_vectored(slices))?;
        if !blocked {
            self.push_some()?;
        }
        if taken == 0 && self.has_unsent() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
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
            ready!(self.socket.poll_write_ready(cx))?;
        }
    }

    /// Sends what the socket takes; whether that was all.
    fn push_some(&mut self) -> io::Result<bool> {
        match push(&mut self.records, &self.socket) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_push(&mut self.records, &self.socket, cx)
    }

    /// Ready once the peer has closed its side. Received data does not end the wait: it is kept.
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // With decrypted data waiting rustls takes no more; then only the socket's end shows.
        while self.records.wants_read() {
            match ready!(self.poll_receive(cx)) {
                Ok(true) => {}
                Ok(false) | Err(_) => return Poll::Ready(()),
            }
        }
        let mut reader = self.records.reader();
        if matches!(reader.fill_buf(), Ok([])) {
            return Poll::Ready(());
        }
        let mut probe = [0; 1];
        match ready!(self.socket.poll_peek(cx, &mut ReadBuf::new(&mut probe))) {
            Ok(0) | Err(_) => Poll::Ready(()),
            Ok(_) => Poll::Pending,
        }
    }

    /// Says that nothing more comes, then sends FIN.
    pub(crate) fn shutdown(&mut self) -> io::Result<()> {
        self.records.send_close_notify();
        push(&mut self.records, &self.socket)?;
        socket2::SockRef::from(&self.socket).shutdown(std::net::Shutdown::Write)
    }
}

/// A peer that breaks the protocol.
pub(crate) fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Takes what one read of the socket gives, still encrypted; 0: the peer has ended.
pub(crate) fn poll_pull(
    records: &mut ServerConnection,
    socket: &mut TcpStream,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    match records.read_tls(&mut Source { socket, cx }) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
    }
}

/// Sends all records, or as many as the socket takes.
pub(crate) fn push(records: &mut ServerConnection, socket: &TcpStream) -> io::Result<()> {
    while records.wants_write() {
        if records.write_tls(&mut Sink(socket))? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// [`push`], or registers for writability.
pub(crate) fn poll_push(
    records: &mut ServerConnection,
    socket: &TcpStream,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        match push(records, socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
        ready!(socket.poll_write_ready(cx))?;
    }
}

/// The socket as rustls reads it. Polling instead of trying spares the read that would only find
/// the socket empty: after a short read tokio knows that it is.
struct Source<'s, 'c, 'w> {
    socket: &'s mut TcpStream,
    cx: &'c mut Context<'w>,
}

impl Read for Source<'_, '_, '_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut room = ReadBuf::new(room);
        match Pin::new(&mut *self.socket).poll_read(self.cx, &mut room) {
            Poll::Ready(done) => done.map(|()| room.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// The socket as rustls writes it.
struct Sink<'s>(&'s TcpStream);

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
