//! The two ends of a connection for data: tasks that read and write, and the threads behind them.

use super::frame::{Frame, Incoming, Malformed};
use crate::cluster::change::Life;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// How long a node has to say who it is, and whom it means.
pub const HELLO: Duration = Duration::from_secs(5);
/// Pieces that may wait between a task and a thread.
pub const PIECES: usize = 8;
/// What is read at once.
const READ: usize = 64 * 1024;
/// As much, of what is known to be small.
const SMALL: usize = 4 * 1024;
/// A peer that takes nothing for this long is given up.
const WRITE: Duration = Duration::from_secs(5);

/// Bytes to and from a peer.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Wire for T {}

fn malformed(_: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a malformed frame")
}

/// Waits for the next frame, and has it looked at.
pub async fn next<R>(
    read: &mut (impl AsyncRead + Unpin),
    incoming: &mut Incoming,
    look: impl FnOnce(&Frame<'_>) -> R,
) -> io::Result<R> {
    let mut look = Some(look);
    loop {
        if let Some((frame, _)) = incoming.frame().map_err(malformed)?
            && let Some(look) = look.take()
        {
            return Ok(look(&frame));
        }
        let mut chunk = vec![0; SMALL];
        let count = read.read(&mut chunk).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        incoming.buffer().extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
}

/// Sends one frame.
pub async fn say(write: &mut (impl AsyncWrite + Unpin), frame: &Frame<'_>) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    write.write_all(&bytes).await?;
    write.flush().await
}

/// Writes what comes, until there is nothing more or the connection is over.
pub async fn write_all(mut write: impl AsyncWrite + Unpin, mut pieces: mpsc::Receiver<Vec<u8>>) {
    while let Some(piece) = pieces.recv().await {
        if !written(&mut write, &piece).await {
            return;
        }
    }
    let _ = write.shutdown().await;
}

/// As [`write_all`], for small pieces of which there may be many.
pub async fn write_replies(
    mut write: impl AsyncWrite + Unpin,
    mut pieces: mpsc::UnboundedReceiver<Vec<u8>>,
) {
    while let Some(mut piece) = pieces.recv().await {
        while let Ok(more) = pieces.try_recv() {
            piece.extend(more);
        }
        if !written(&mut write, &piece).await {
            return;
        }
    }
    let _ = write.shutdown().await;
}

async fn written(write: &mut (impl AsyncWrite + Unpin), piece: &[u8]) -> bool {
    let all = async {
        write.write_all(piece).await?;
        write.flush().await
    };
    matches!(tokio::time::timeout(WRITE, all).await, Ok(Ok(())))
}

/// Hands what comes to a thread, until it ends or the connection is over.
pub async fn read_all(
    mut read: impl AsyncRead + Unpin,
    already: Vec<u8>,
    pieces: mpsc::Sender<Vec<u8>>,
) {
    let mut piece = already;
    loop {
        if !piece.is_empty() {
            // A small one leaves its room for the next.
            let whole = match piece.len() {
                0..=SMALL => piece.clone(),
                _ => std::mem::take(&mut piece),
            };
            if pieces.send(whole).await.is_err() {
                return;
            }
            piece.clear();
        }
        piece.reserve(READ);
        match read.read_buf(&mut piece).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
    }
}

/// What the first frame of an owner says.
#[derive(Clone, Copy, Debug)]
pub struct Hello {
    /// Who sends.
    pub owner: Life,
    /// Who is meant.
    pub to: Life,
    /// Of the owner's map.
    pub epoch: u64,
}
