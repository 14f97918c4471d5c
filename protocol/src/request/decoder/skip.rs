//! Commands whose rest is not worth keeping.
//!
//! A command may be long in coming, and its receiver may know from the name alone that it will be
//! refused. Then the rest is read off the socket and thrown away: what somebody sends who has no
//! right to send it costs no memory.

use super::super::Request;
use super::super::body::TRAILER;
use super::{Decoder, Step};
use crate::error::ProtocolError;

/// The rest of a command that is thrown away.
#[derive(Debug)]
pub(super) struct Skip {
    /// Position in the input behind what is kept of the command.
    pub(super) kept: usize,
    /// Bytes of the current argument and its trailer still to come.
    left: usize,
}

impl Decoder {
    /// The command that is still arriving, with those of its arguments that are complete: at least
    /// the name. For a receiver who wants to decide early; see [`skip_rest`](Self::skip_rest).
    pub fn arriving(&self) -> Option<Request<'_>> {
        let open = &self.open;
        if open.missing == 0 || open.skip.is_some() || self.args.len() == open.first_arg {
            return None;
        }
        Some(Request {
            bytes: &self.input.bytes()[open.start..],
            args: &self.args[open.first_arg..],
            big: &self.big[open.first_big..],
            wire_len: open.wire_len,
        })
    }

    /// Throws the rest of the arriving command away instead of keeping it. When all of it has come
    /// it is [`skipped`](Self::skipped), with the arguments that were complete before.
    pub fn skip_rest(&mut self) {
        if self.arriving().is_none() {
            return;
        }
        let bulk = self.open.bulk.take().map(|len| len + TRAILER);
        let body = self.open.body.take().map(|body| body.missing());
        let left = bulk.or(body).unwrap_or(0);
        self.open.skip = Some(Skip { kept: self.pos, left });
    }

    /// The command of the batch whose rest was skipped. It is the last one: what follows is parsed
    /// after [`clear`](Self::clear).
    pub fn skipped(&self) -> Option<usize> {
        self.skipped
    }

    /// Throws the open command's next argument away as far as it has arrived.
    pub(super) fn skip_argument(&mut self) -> Result<Step, ProtocolError> {
        let Some(Skip { kept, mut left }) = self.open.skip else {
            return Ok(Step::Advanced);
        };
        if left == 0 {
            let Some((len, after)) = self.bulk_length()? else {
                self.drop_skipped(kept);
                return Ok(Step::NeedsMore);
            };
            self.pos = after;
            self.scanned = 0;
            left = len + TRAILER;
        }
        let taken = left.min(self.input.len() - self.pos);
        self.pos += taken;
        left -= taken;
        self.open.skip = Some(Skip { kept, left });
        if left > 0 {
            self.drop_skipped(kept);
            return Ok(Step::NeedsMore);
        }
        self.open.missing -= 1;
        if self.open.missing == 0 {
            self.open.skip = None;
            self.skipped = Some(self.commands.len());
            self.complete_command();
        }
        Ok(Step::Advanced)
    }

    /// What was thrown away makes room for what comes.
    fn drop_skipped(&mut self, kept: usize) {
        let bytes = self.input.bytes_mut();
        let rest = bytes.len() - self.pos;
        bytes.copy_within(self.pos.., kept);
        bytes.truncate(kept + rest);
        self.pos = kept;
    }
}
