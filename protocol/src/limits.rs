//! Every limit of the protocol, with its origin.
//!
//! Nothing is ever allocated because a header announces it: memory grows with the bytes that
//! arrive, so the limits below bound what a peer may announce and keep, not what it costs to say.

/// Bulk strings of at least this size are collected in chunks instead of the receive buffer.
pub const BIG_BULK: usize = 32 * 1024;

/// Size of one chunk of a big bulk string; the last one may be shorter.
pub const CHUNK: usize = 32 * 1024;

/// Bytes of a big bulk string that are read in a row before what has come is parsed: about 25 us.
pub const BIG_READ: usize = 4 * CHUNK;

/// Largest bulk string accepted by default (`proto-max-bulk-len`).
pub const MAX_BULK: usize = 512 * 1024 * 1024;

/// Largest number of arguments a multibulk header may announce: the protocol's 32-bit integer.
pub const MAX_ARGS: usize = i32::MAX as usize;

/// Longest inline command, and longest length header, without its line end.
pub const MAX_LINE: usize = 64 * 1024;

/// Largest bulk string of a connection that has not authenticated.
pub const UNAUTHENTICATED_MAX_BULK: usize = 16 * 1024;

/// Largest number of arguments of a connection that has not authenticated.
pub const UNAUTHENTICATED_MAX_ARGS: usize = 10;

/// Most bytes one command may occupy in the receive buffer (big bulk strings do not count: they
/// live in chunks). The server's budget for input is far below; this one keeps offsets in 32 bits.
pub const MAX_CONTIGUOUS: usize = 2 * 1024 * 1024 * 1024;

/// Room offered to a socket read normally, and the receive memory an idle connection may keep.
pub const READ_ROOM: usize = 16 * 1024;

/// Room offered to a socket read after a read has filled [`READ_ROOM`]: one read then takes a
/// pipelined batch. It is also the bound of the work of one `parse` call: every byte is looked at
/// once, empty commands included, and no read brings more than this.
pub const READ_ROOM_MAX: usize = 64 * 1024;

/// Batches in a row that fit [`READ_ROOM`] before a grown receive buffer is given back.
pub const SHRINK_AFTER: u32 = 32;

/// Slots for arguments and commands that a drained decoder keeps between batches.
pub const KEPT_SLOTS: usize = 1024;

/// Output memory that an idle reply writer may keep.
pub const REPLY_KEPT: usize = 16 * 1024;

/// Output memory that a busy reply writer may keep between batches.
pub const REPLY_KEPT_BUSY: usize = 256 * 1024;

/// Shared segments below this size are copied: a copy is cheaper than one more `iovec`.
pub const SHARE_MIN: usize = 2 * 1024;

/// Deepest nesting of a reply that the client side accepts.
pub const MAX_REPLY_DEPTH: usize = 32;

/// Largest reply that the client side accepts by default.
pub const MAX_REPLY: usize = MAX_BULK + 64 * 1024;

/// Longest text that is accepted as a floating point number, as the peers' buffers have it.
pub const MAX_FLOAT_TEXT: usize = 5 * 1024 - 1;

/// What a connection may send; the server changes it when the connection authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest bulk string.
    pub max_bulk: usize,
    /// Largest number of arguments.
    pub max_args: usize,
    /// Longest inline command or length header.
    pub max_line: usize,
    /// Selects the wording of the errors: a length above `max_args` or `max_bulk` is either
    /// impossible or only not yet allowed.
    pub authenticated: bool,
}

impl Limits {
    /// The limits of a connection that may run commands.
    pub const AUTHENTICATED: Self =
        Self { max_bulk: MAX_BULK, max_args: MAX_ARGS, max_line: MAX_LINE, authenticated: true };

    /// The limits of a connection that must authenticate first.
    pub const UNAUTHENTICATED: Self = Self {
        max_bulk: UNAUTHENTICATED_MAX_BULK,
        max_args: UNAUTHENTICATED_MAX_ARGS,
        max_line: MAX_LINE,
        authenticated: false,
    };
}
