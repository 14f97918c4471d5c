//! The decoder's state machine.

mod skip;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use super::body::{Body, TRAILER};
use super::buffer::Input;
use super::{Big, Command, Request, Span};
use crate::error::ProtocolError;
use crate::limits::{BIG_BULK, KEPT_SLOTS, Limits, MAX_ARGS, MAX_BULK, MAX_CONTIGUOUS};
use crate::{inline, number};
use skip::Skip;

/// Sans-I/O request decoder; see the [module documentation](crate::request).
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    input: Input,
    /// First byte of the input that is not parsed.
    pos: usize,
    /// Bytes behind `pos` that are known to hold no line end.
    scanned: usize,
    /// The batch; `args` and `big` also hold those of the open command, at their ends.
    commands: Vec<Command>,
    args: Vec<Span>,
    big: Vec<Big>,
    open: Open,
    /// The command of the batch, its last, whose rest was skipped.
    skipped: Option<usize>,
    error: Option<ProtocolError>,
}

/// The command whose header is parsed and whose arguments are arriving.
#[derive(Debug, Default)]
struct Open {
    /// Arguments not complete yet; zero: there is no open command.
    missing: usize,
    start: usize,
    first_arg: usize,
    first_big: usize,
    wire_len: usize,
    /// Length of the argument whose header is parsed and which goes to the receive buffer.
    bulk: Option<usize>,
    /// The argument whose header is parsed and which goes to chunks.
    body: Option<Body>,
    /// The rest of the command is thrown away as it arrives.
    skip: Option<Skip>,
}

/// Whether parsing can go on or needs more bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Advanced,
    NeedsMore,
}

impl Decoder {
    /// A decoder without any buffer yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            input: Input::new(),
            pos: 0,
            scanned: 0,
            commands: Vec::new(),
            args: Vec::new(),
            big: Vec::new(),
            open: Open::default(),
            skipped: None,
            error: None,
        }
    }

    /// Changes the limits for what is parsed from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Where the socket must be read into: append at most the spare capacity.
    ///
    /// This is the receive buffer or, while a big bulk string arrives, its current chunk. More
    /// than the spare capacity is accepted too, at the price of copies.
    pub fn read_buf(&mut self) -> &mut BytesMut {
        let in_chunk = self.open.body.as_mut().is_some_and(|body| body.room().is_some());
        if in_chunk {
            return self.open.body.as_mut().and_then(Body::room).expect("checked above");
        }
        if self.commands.is_empty() {
            self.discard_parsed();
        }
        // All of it may be there and not be parsed yet.
        let end = self.open.bulk.map_or(0, |len| self.pos + len + 2);
        let need = end.saturating_sub(self.input.len());
        self.input.make_room(need);
        self.input.bytes_mut()
    }

    /// Goes on with the next chunk of a big bulk string if a read has filled one that is not its last:
    /// then the next read may follow at once, without [`parse`](Self::parse).
    pub fn begin_next_chunk(&mut self) -> bool {
        self.open.body.as_mut().is_some_and(Body::begin_next_chunk)
    }

    /// Parses complete commands into the batch until it holds `max`; returns how many it holds.
    ///
    /// Call it after each read, and again after [`clear`](Self::clear) when the batch was full.
    /// Every byte is looked at once, so one call's work is bounded by what was read.
    pub fn parse(&mut self, max: usize) -> usize {
        self.input.note_read();
        self.settle_body();
        while self.error.is_none() && self.skipped.is_none() && self.commands.len() < max {
            if self.open.missing == 0 {
                self.fast_commands(max);
                if self.commands.len() >= max {
                    break;
                }
            }
            let step = if self.open.missing > 0 { self.argument() } else { self.start() };
            match step {
                Ok(Step::Advanced) => {}
                Ok(Step::NeedsMore) => break,
                Err(error) => self.error = Some(error),
            }
        }
        self.commands.len()
    }

    /// Why the bytes behind the batch cannot be parsed: to be answered after the batch, after
    /// which the connection is closed.
    pub fn error(&self) -> Option<ProtocolError> {
        self.error
    }

    /// Number of commands in the batch.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether the batch holds no command.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Command `i` of the batch.
    ///
    /// # Panics
    ///
    /// If the batch is not that long.
    #[inline]
    pub fn request(&self, i: usize) -> Request<'_> {
        let command = &self.commands[i];
        Request {
            bytes: &self.input.bytes()[command.start..],
            args: &self.args[command.first_arg..command.first_arg + command.args],
            big: &self.big[command.first_big..command.first_big + command.big],
            wire_len: command.wire_len,
        }
    }

    /// Whether any argument has arrived in chunks, of the batch or of what follows it.
    #[inline]
    pub fn has_big(&self) -> bool {
        !self.big.is_empty()
    }

    /// Makes every argument of command `i` contiguous: one copy of those in chunks.
    pub fn flatten(&mut self, i: usize) {
        if !self.request(i).has_chunks() {
            return;
        }
        let Command { first_big: first, big: count, .. } = self.commands[i];
        for big in &mut self.big[first..first + count] {
            if big.flat.is_none() {
                big.flat = Some(match std::mem::take(&mut big.chunks) {
                    chunks if chunks.len() == 1 => chunks.into_iter().next().unwrap_or_default(),
                    chunks => Bytes::from(chunks.concat()),
                });
            }
        }
    }

    /// Forgets the batch and keeps what is not parsed, or not complete.
    pub fn clear(&mut self) {
        self.commands.clear();
        self.skipped = None;
        if self.open.missing > 0 {
            self.args.drain(..self.open.first_arg);
            self.big.drain(..self.open.first_big);
            self.open.first_arg = 0;
            self.open.first_big = 0;
            return;
        }
        self.args.clear();
        self.big.clear();
        if self.pos == self.input.len() {
            self.pos = 0;
            self.input.forget();
        }
        if self.args.capacity() > KEPT_SLOTS {
            self.args = Vec::new();
        }
        if self.commands.capacity() > KEPT_SLOTS {
            self.commands = Vec::new();
        }
        if self.big.capacity() > KEPT_SLOTS {
            self.big = Vec::new();
        }
    }

    /// Gives back all memory that holds nothing, for a connection that goes to sleep. Does
    /// nothing while there is a batch. Cheap to call, and cheap to come back from.
    pub fn shrink(&mut self) {
        if !self.commands.is_empty() {
            return;
        }
        self.discard_parsed();
        self.input.shrink();
        self.commands = Vec::new();
        if self.open.missing == 0 {
            self.args = Vec::new();
            self.big = Vec::new();
        }
    }

    /// Bytes received that belong to no command of the batch.
    pub fn buffered(&self) -> usize {
        let body = self.open.body.as_ref().map_or(0, Body::held);
        let open = if self.open.missing > 0 { self.open.wire_len + body } else { 0 };
        open + self.input.len() - self.pos
    }

    /// Whether, beside the batch, a part of a command has been received.
    pub fn is_mid_command(&self) -> bool {
        self.open.missing > 0 || self.pos < self.input.len()
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        let chunks: usize = self.big.iter().map(|big| big.len).sum();
        self.input.capacity()
            + self.args.capacity() * size_of::<Span>()
            + self.commands.capacity() * size_of::<Command>()
            + self.big.capacity() * size_of::<Big>()
            + chunks
            + self.open.body.as_ref().map_or(0, Body::capacity)
    }

    /// Moves the unparsed rest to the front of the receive buffer. An open command is moved at
    /// most once: from then on it starts at the front.
    fn discard_parsed(&mut self) {
        let from = if self.open.missing > 0 { self.open.start } else { self.pos };
        if from > 0 {
            self.input.discard(from);
            self.pos -= from;
            self.open.start = 0;
            if let Some(skip) = &mut self.open.skip {
                skip.kept -= from;
            }
        }
    }

    /// Complete commands of small arguments with plain headers, in one tight loop: nearly all of
    /// them. The first that is anything else is left untouched for the resumable path.
    fn fast_commands(&mut self, max: usize) {
        let bytes = self.input.bytes();
        if bytes.len() > MAX_CONTIGUOUS {
            return;
        }
        let max_args = self.limits.max_args;
        let max_bulk = self.limits.max_bulk.min(BIG_BULK - 1);
        let (args, first_big) = (&mut self.args, self.big.len());
        let mut rest = &bytes[self.pos..];
        while self.commands.len() < max {
            let first_arg = args.len();
            let Some((argc, mut tail)) = plain_header(b'*', rest) else {
                break;
            };
            if argc == 0 || argc > max_args {
                break;
            }
            for _ in 0..argc {
                let Some((len, body)) = plain_header(b'$', tail) else {
                    break;
                };
                if len > max_bulk || body.len() < len + 2 {
                    break;
                }
                args.push(Span::new(rest.len() - body.len(), len));
                tail = &body[len + 2..];
            }
            if args.len() - first_arg < argc {
                args.truncate(first_arg);
                break;
            }
            self.commands.push(Command {
                start: bytes.len() - rest.len(),
                first_arg,
                args: argc,
                first_big,
                big: 0,
                wire_len: rest.len() - tail.len(),
            });
            rest = tail;
        }
        let pos = bytes.len() - rest.len();
        if pos > self.pos {
            self.pos = pos;
            self.scanned = 0;
        }
    }

    /// The start of a command: a multibulk header or an inline command.
    fn start(&mut self) -> Result<Step, ProtocolError> {
        match self.input.bytes().get(self.pos) {
            None => Ok(Step::NeedsMore),
            Some(b'*') => self.multibulk(),
            Some(_) => self.inline(),
        }
    }

    fn multibulk(&mut self) -> Result<Step, ProtocolError> {
        let Some((line, after)) = self.header(ProtocolError::TooBigMultibulkCount)? else {
            return Ok(Step::NeedsMore);
        };
        let invalid = ProtocolError::InvalidMultibulkLength;
        let count = number::parse_i64(line).ok_or(invalid)?;
        let count = usize::try_from(count).unwrap_or(0);
        if count > MAX_ARGS {
            return Err(invalid);
        }
        if count > self.limits.max_args {
            return Err(match self.limits.authenticated {
                true => invalid,
                false => ProtocolError::UnauthenticatedMultibulkLength,
            });
        }
        self.open.missing = count;
        self.open.start = self.pos;
        self.open.first_arg = self.args.len();
        self.open.first_big = self.big.len();
        self.open.wire_len = 0;
        self.advance(after - self.pos);
        Ok(Step::Advanced)
    }

    fn inline(&mut self) -> Result<Step, ProtocolError> {
        let too_big = ProtocolError::TooBigInline;
        let Some(end) = self.line_end(b'\n', too_big)? else {
            return Ok(Step::NeedsMore);
        };
        let start = self.pos;
        let line = &mut self.input.bytes_mut()[start..end];
        let line = match line {
            [words @ .., b'\r'] => words,
            words => words,
        };
        let first_arg = self.args.len();
        let args = &mut self.args;
        inline::split(line, |at, len| args.push(Span::new(at, len)))?;
        let wire_len = end + 1 - start;
        self.advance(wire_len);
        if self.args.len() > first_arg {
            self.commands.push(Command {
                start,
                first_arg,
                args: self.args.len() - first_arg,
                first_big: self.big.len(),
                big: 0,
                wire_len,
            });
        }
        Ok(Step::Advanced)
    }

    /// Takes the open command's next argument as far as it has arrived.
    fn argument(&mut self) -> Result<Step, ProtocolError> {
        if self.open.skip.is_some() {
            return self.skip_argument();
        }
        if let Some(body) = &mut self.open.body {
            let taken = body.fill(&self.input.bytes()[self.pos..]);
            let complete = body.is_complete();
            if self.pos + taken == self.input.len() {
                // All that follows is copied: its place is free for the arguments to come.
                self.input.bytes_mut().truncate(self.pos);
            } else {
                self.pos += taken;
            }
            if !complete {
                return Ok(Step::NeedsMore);
            }
            let number = self.big.len() - self.open.first_big;
            if let Some(big) = self.open.body.take().map(Body::finish) {
                self.open.wire_len += big.len + 2;
                self.big.push(big);
            }
            self.complete_argument(Span::big(number));
            return Ok(Step::Advanced);
        }
        let Some(len) = self.open.bulk else {
            return self.bulk_header();
        };
        if self.input.len() - self.pos < len + 2 {
            return Ok(Step::NeedsMore);
        }
        let at = self.pos - self.open.start;
        self.open.bulk = None;
        self.advance(len + 2);
        self.complete_argument(Span::new(at, len));
        Ok(Step::Advanced)
    }

    /// The length that the next argument's header states, and the position behind the header.
    fn bulk_length(&mut self) -> Result<Option<(usize, usize)>, ProtocolError> {
        match self.input.bytes().get(self.pos) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(&got) => return Err(ProtocolError::ExpectedBulk(got)),
        }
        let Some((line, after)) = self.header(ProtocolError::TooBigBulkCount)? else {
            return Ok(None);
        };
        let invalid = ProtocolError::InvalidBulkLength;
        let len = number::parse_i64(line).and_then(|len| usize::try_from(len).ok());
        let len = len.ok_or(invalid)?;
        if len > self.limits.max_bulk {
            return Err(match self.limits.authenticated || len > MAX_BULK {
                true => invalid,
                false => ProtocolError::UnauthenticatedBulkLength,
            });
        }
        Ok(Some((len, after)))
    }

    fn bulk_header(&mut self) -> Result<Step, ProtocolError> {
        let Some((len, after)) = self.bulk_length()? else {
            return Ok(Step::NeedsMore);
        };
        self.advance(after - self.pos);
        if len >= BIG_BULK {
            self.open.body = Some(Body::new(len));
        } else if self.pos - self.open.start + len + TRAILER > MAX_CONTIGUOUS {
            return Err(ProtocolError::TooBigRequest);
        } else {
            self.open.bulk = Some(len);
        }
        Ok(Step::Advanced)
    }

    fn complete_argument(&mut self, span: Span) {
        self.args.push(span);
        self.open.missing -= 1;
        if self.open.missing == 0 {
            self.complete_command();
        }
    }

    fn complete_command(&mut self) {
        self.commands.push(Command {
            start: self.open.start,
            first_arg: self.open.first_arg,
            args: self.args.len() - self.open.first_arg,
            first_big: self.open.first_big,
            big: self.big.len() - self.open.first_big,
            wire_len: self.open.wire_len,
        });
    }

    /// Takes note of what a read has put into the chunk of a big argument.
    fn settle_body(&mut self) {
        if let Some(rest) = self.open.body.as_mut().and_then(Body::settle) {
            // A short chunk's trailer, or more than the room that was offered.
            self.input.bytes_mut().extend_from_slice(&rest);
        }
    }

    /// The text of a header line without its type byte, and the position behind the line.
    fn header(&mut self, too_big: ProtocolError) -> Result<Option<(&[u8], usize)>, ProtocolError> {
        let start = self.pos + 1;
        let Some(end) = self.line_end(b'\r', too_big)? else {
            return Ok(None);
        };
        let after = end + 2;
        if after > self.input.len() {
            return Ok(None);
        }
        Ok(Some((&self.input.bytes()[start..end], after)))
    }

    /// Position of the byte that ends the line at `pos`. Remembers how far it has looked.
    fn line_end(
        &mut self,
        terminator: u8,
        too_big: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let max_line = self.limits.max_line;
        let line = &self.input.bytes()[self.pos..];
        let window = &line[..line.len().min(max_line + 1)];
        let from = self.scanned.min(window.len());
        // A NUL hides what follows it in an inline command, as the peers' string functions have
        // it: such a line never ends, and runs into the limit.
        let hides = if terminator == b'\n' { 0 } else { terminator };
        match memchr2(terminator, hides, &window[from..]) {
            Some(found) if window[from + found] == terminator => Ok(Some(self.pos + from + found)),
            _ if line.len() > max_line => Err(too_big),
            found => {
                self.scanned = found.map_or(window.len(), |found| from + found);
                Ok(None)
            }
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.pos += bytes;
        self.open.wire_len += bytes;
        self.scanned = 0;
    }
}

/// A header of one to nine digits, without a superfluous zero, with the two bytes that end it:
/// its value and what follows. Lengths of one and two digits are matched in one go.
#[inline(always)]
fn plain_header(kind: u8, bytes: &[u8]) -> Option<(usize, &[u8])> {
    let digit = |byte: u8| usize::from(byte - b'0');
    match bytes {
        [k, a @ b'0'..=b'9', b'\r', _, tail @ ..] if *k == kind => Some((digit(*a), tail)),
        [k, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', _, tail @ ..] if *k == kind => {
            Some((digit(*a) * 10 + digit(*b), tail))
        }
        [k, digits @ ..] if *k == kind => long_header(digits),
        _ => None,
    }
}

/// A header of three to nine digits, behind its type byte.
fn long_header(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        match byte {
            b'0' if value == 0 => return None,
            b'0'..=b'9' if i < 9 => value = value * 10 + usize::from(byte - b'0'),
            b'\r' if i > 0 => return bytes.get(i + 2..).map(|tail| (value, tail)),
            _ => return None,
        }
    }
    None
}
