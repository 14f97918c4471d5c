//! The connection to the other server: every step with a limit of time.

use super::{CHUNK, Kept};
use dunlin_storage::Millis;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The longest reply that is read. Errors are shorter.
const MAX_LINE: u64 = 64 * 1024;

/// Why there is no going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Time is over.
    Late,
    /// There is no way to it.
    Nowhere,
    /// It has refused or ended the connection.
    Closed,
}

/// A connection in use.
pub(super) struct Line {
    host: String,
    port: u16,
    /// The database that is selected there, if that is known.
    pub(super) db: Option<i64>,
    stream: BufReader<TcpStream>,
}

async fn within<T>(
    limit: Duration,
    step: impl Future<Output = io::Result<T>>,
) -> Result<T, Broken> {
    match tokio::time::timeout(limit, step).await {
        Ok(result) => result.map_err(|_| Broken::Closed),
        Err(_elapsed) => Err(Broken::Late),
    }
}

impl Line {
    pub(super) async fn open(host: &str, port: u16, limit: Duration) -> Result<Line, Broken> {
        let connected = tokio::time::timeout(limit, TcpStream::connect((host, port))).await;
        let stream = connected.map_err(|_elapsed| Broken::Late)?.map_err(|error| {
            use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
            match error.kind() {
                ConnectionRefused | ConnectionReset | ConnectionAborted => Broken::Closed,
                _ => Broken::Nowhere,
            }
        })?;
        // Without it the last part of what is sent might wait for an acknowledgement.
        stream.set_nodelay(true).map_err(|_| Broken::Closed)?;
        Ok(Line { host: host.to_owned(), port, db: None, stream: BufReader::new(stream) })
    }

    /// Goes on with a connection that was kept, on whichever thread.
    pub(super) fn reopen(kept: Kept) -> Result<Line, Broken> {
        let Kept { host, port, db, stream, .. } = kept;
        let stream = TcpStream::from_std(stream).map_err(|_| Broken::Closed)?;
        Ok(Line { host, port, db, stream: BufReader::new(stream) })
    }

    /// The connection for the next delivery, unless something is left in it.
    pub(super) fn close(self, since: Millis) -> Option<Kept> {
        let Line { host, port, db, stream } = self;
        if !stream.buffer().is_empty() {
            return None;
        }
        let stream = stream.into_inner().into_std().ok()?;
        Some(Kept { host, port, db, stream, since })
    }

    pub(super) async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Broken> {
        for chunk in bytes.chunks(CHUNK) {
            within(limit, self.stream.write_all(chunk)).await?;
        }
        Ok(())
    }

    /// A reply of one line, without its end.
    pub(super) async fn read_line(&mut self, limit: Duration) -> Result<Vec<u8>, Broken> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(MAX_LINE);
        within(limit, bounded.read_until(b'\n', &mut line)).await?;
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(text.to_vec()),
            None => Err(Broken::Closed),
        }
    }
}
