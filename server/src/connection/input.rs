//! What comes in when a big value does.

use super::Stream;
use dunlin_protocol::Decoder;
use dunlin_protocol::limits::BIG_READ;
use std::io;
use std::task::{Context, Poll};

/// Reads on after a chunk of a big value was filled, and the next ones as long as they are filled too. So
/// what arrived goes through a turn, in which there is nothing to run yet, a few times instead of once per
/// chunk. `taken` bytes have come; returns how many are there then. The end of the stream is left for the
/// next read to find.
#[cold]
#[inline(never)]
pub(super) fn read_on(
    cx: &mut Context<'_>,
    stream: &mut Stream,
    decoder: &mut Decoder,
    mut taken: usize,
) -> io::Result<usize> {
    while taken < BIG_READ {
        match stream.poll_read(cx, decoder.read_buf()) {
            Poll::Ready(Ok(0)) | Poll::Pending => break,
            Poll::Ready(Ok(n)) => taken += n,
            Poll::Ready(Err(error)) => return Err(error),
        }
        if !decoder.begin_next_chunk() {
            break;
        }
    }
    Ok(taken)
}
