//! Frames: what requests and replies are on the wire.
//!
//! ```text
//!   0        2         3      4             8            12
//!   +--------+---------+------+-------------+------------+--------------------+
//!   | "Dn"   | version | what | number u32  | length u32 | body: length bytes |
//!   +--------+---------+------+-------------+------------+--------------------+
//! ```
//!
//! Numbers are big-endian. A reply has its request's number. The body's memory grows as its bytes
//! arrive; a length above [`MAX_BODY`] ends the connection.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest body.
pub const MAX_BODY: usize = 16 * 1024 * 1024;
/// Version of the frames.
pub const VERSION: u8 = 1;

const MAGIC: [u8; 2] = *b"Dn";
const HEADER: usize = 12;
/// So much of a body goes with the header, in one piece; what is longer is not copied for that.
const PIECE: usize = 16 * 1024;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A request.
    Request,
    /// A reply.
    Reply,
}

/// A frame. What is sent may belong to others as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<B = Vec<u8>> {
    /// What it is.
    pub what: What,
    /// Which request it is, or is the reply to.
    pub number: u32,
    /// What it says.
    pub body: B,
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads a frame; none if the connection has ended between two of them.
///
/// # Errors
/// If the connection fails or ends within a frame, or what comes is none.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut header = [0; HEADER];
    let first = stream.read(&mut header).await?;
    if first == 0 {
        return Ok(None);
    }
    let rest = header.get_mut(first..).unwrap_or_default();
    stream.read_exact(rest).await?;
    let [m0, m1, version, what, n0, n1, n2, n3, l0, l1, l2, l3] = header;
    if [m0, m1] != MAGIC {
        return Err(invalid("no frame".to_owned()));
    }
    if version != VERSION {
        return Err(invalid(format!("a frame of version {version}, not {VERSION}")));
    }
    let what = match what {
        0 => What::Request,
        1 => What::Reply,
        other => return Err(invalid(format!("a frame of the unknown kind {other}"))),
    };
    let length = u64::from(u32::from_be_bytes([l0, l1, l2, l3]));
    if length > MAX_BODY as u64 {
        return Err(invalid(format!("a frame of {length} bytes")));
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body).await?;
    if body.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(Frame { what, number: u32::from_be_bytes([n0, n1, n2, n3]), body }))
}

/// Writes a frame.
///
/// # Errors
/// If the connection fails, or the body is too long for a frame.
pub async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    frame: &Frame<impl AsRef<[u8]>>,
) -> io::Result<()> {
    let body = frame.body.as_ref();
    if body.len() > MAX_BODY {
        return Err(invalid(format!("a frame of {} bytes", body.len())));
    }
    let length = u32::try_from(body.len()).map_err(|_| invalid("a frame".to_owned()))?;
    let (first, rest) = body.split_at(body.len().min(PIECE));
    let mut bytes = Vec::with_capacity(HEADER + first.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[VERSION, u8::from(frame.what == What::Reply)]);
    bytes.extend_from_slice(&frame.number.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(first);
    stream.write_all(&bytes).await?;
    stream.write_all(rest).await?;
    stream.flush().await
}
