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

use super::stream::{CLOSED, send};
use bytes::BytesMut;
use dunlin_protocol::Reply;
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use std::cell::RefCell;
use std::future::pending;
use std::io::{self, BufRead as _, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

/// A TCP connection with TLS on it.
#[derive(Debug)]
pub(crate) struct TlsStream {
    socket: TcpStream,
    /// In a cell because a blocked client is written to while its socket's end is waited for;
    /// never borrowed across a wait.
    records: RefCell<ServerConnection>,
    /// The peer has said that it sends no more.
    ended: bool,
}

impl TlsStream {
    /// Takes over after the handshake.
    pub(crate) fn new(socket: TcpStream, records: ServerConnection) -> TlsStream {
        TlsStream { socket, records: RefCell::new(records), ended: false }
    }

    /// What it is made of, to leave this thread.
    pub(crate) fn into_parts(self) -> (TcpStream, ServerConnection, bool) {
        (self.socket, self.records.into_inner(), self.ended)
    }

    /// Puts the parts together again.
    pub(crate) fn from_parts(socket: TcpStream, records: ServerConnection, ended: bool) -> Self {
        TlsStream { socket, records: RefCell::new(records), ended }
    }

    /// The certificate the client has shown.
    pub(crate) fn peer_certificate(&self) -> Option<CertificateDer<'static>> {
        self.records.borrow().peer_certificates()?.first().cloned()
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether records wait for the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        self.records.borrow().wants_write()
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

    /// Moves at most `max` decrypted bytes to `room`.
    fn take(&mut self, room: &mut BytesMut, max: usize) -> usize {
        let mut taken = 0;
        while taken < max {
            let mut reader = self.records.get_mut().reader();
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
        let received = match poll_pull(self.records.get_mut(), &mut self.socket, cx) {
            Poll::Ready(received) => received? > 0,
            Poll::Pending => {
                // Answers to the peer's control messages must not wait for the next reply.
                if let Poll::Ready(Err(error)) = self.poll_push(cx) {
                    return Poll::Ready(Err(error));
                }
                return Poll::Pending;
            }
        };
        let processed = self.records.get_mut().process_new_packets();
        if processed.is_err() {
            // The alert tells the peer why; whether it arrives makes no difference here.
            let _ = push(self.records.get_mut(), &self.socket);
        }
        Poll::Ready(processed.map(|_| received).map_err(invalid))
    }

    /// Writes once from `reply`, without waiting. With an empty reply it sends what is unsent.
    pub(crate) fn try_write(&self, reply: &mut Reply) -> io::Result<usize> {
        let blocked = !self.push_some()?;
        let taken =
            send(reply, |slices| self.records.borrow_mut().writer().write_vectored(slices))?;
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
        &self,
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
    fn push_some(&self) -> io::Result<bool> {
        match push(&mut self.records.borrow_mut(), &self.socket) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_push(self.records.get_mut(), &self.socket, cx)
    }

    /// Waits until the peer has closed its side: in TLS's words, or by the end of the socket.
    pub(crate) async fn closed(&self) {
        tokio::select! {
            biased;
            // An error of the wait itself ends the connection too.
            _ = self.socket.ready(CLOSED) => {}
            () = self.farewell() => {}
        }
    }

    /// Waits for the record that announces the end, and keeps what comes before it. With such data
    /// waiting rustls takes no more; then only the socket's end shows.
    async fn farewell(&self) {
        while self.records.borrow().wants_read() {
            if self.socket.readable().await.is_err() {
                return;
            }
            let mut records = self.records.borrow_mut();
            match records.read_tls(&mut Trying(&self.socket)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let processed = records.process_new_packets().is_ok();
            // Answers must not wait for the next reply; what the socket does not take does.
            let _ = push(&mut records, &self.socket);
            if !processed {
                return;
            }
        }
        if !matches!(self.records.borrow_mut().reader().fill_buf(), Ok([])) {
            pending::<()>().await;
        }
    }

    /// Says that nothing more comes, then sends FIN.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        let mut records = self.records.borrow_mut();
        records.send_close_notify();
        push(&mut records, &self.socket)?;
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
        if records.write_tls(&mut Trying(socket))? == 0 {
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

/// The socket as rustls reads and writes it where nobody is to be woken.
struct Trying<'s>(&'s TcpStream);

impl Read for Trying<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(room)
    }
}

impl Write for Trying<'_> {
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
