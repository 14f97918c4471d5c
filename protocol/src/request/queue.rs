//! Commands that are kept for later: those between MULTI and EXEC.
//!
//! A [`Request`] borrows from the decoder that has read it, and ends with its batch. A queue keeps
//! copies in the same form, packed one behind the other:
//!
//! ```text
//! bytes     SETk1v1SETk2v2GETk1           names and contiguous arguments, without headers
//! args      |  | | |  | | |  |            spans, relative to their command's start
//! commands  ^      ^      ^
//! ```
//!
//! Big arguments that are in chunks are shared with who else has them, not copied.

use super::{ArgValue, Big, Command, Request, Span};

/// Commands in the order in which they were added.
#[derive(Debug, Default)]
pub struct Queue {
    bytes: Vec<u8>,
    args: Vec<Span>,
    big: Vec<Big>,
    commands: Vec<Command>,
    /// Bytes of the big arguments.
    big_bytes: usize,
}

impl Queue {
    /// A queue without any command.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a copy of `request`.
    pub fn push(&mut self, request: Request<'_>) {
        let (start, first_arg, first_big) = (self.bytes.len(), self.args.len(), self.big.len());
        for i in 0..request.len() {
            let span = match request.value(i) {
                ArgValue::Slice(bytes) => {
                    let at = self.bytes.len() - start;
                    self.bytes.extend_from_slice(bytes);
                    Span::new(at, bytes.len())
                }
                ArgValue::Chunks { len, chunks } => {
                    self.big.push(Big { len, chunks: chunks.to_vec(), flat: None });
                    self.big_bytes += len;
                    Span::big(self.big.len() - 1 - first_big)
                }
            };
            self.args.push(span);
        }
        self.commands.push(Command {
            start,
            first_arg,
            args: request.len(),
            first_big,
            big: self.big.len() - first_big,
            wire_len: request.wire_len(),
        });
    }

    /// Command `i`.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub fn request(&self, i: usize) -> Request<'_> {
        let command = &self.commands[i];
        Request {
            bytes: &self.bytes[command.start..],
            args: &self.args[command.first_arg..command.first_arg + command.args],
            big: &self.big[command.first_big..command.first_big + command.big],
            wire_len: command.wire_len,
        }
    }

    /// Number of commands.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is no command.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
            + self.args.capacity() * size_of::<Span>()
            + self.big.capacity() * size_of::<Big>()
            + self.commands.capacity() * size_of::<Command>()
            + self.big_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{BIG_BULK, Limits};
    use crate::request::Decoder;

    fn wire(args: &[&[u8]]) -> Vec<u8> {
        let mut out = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            out.extend_from_slice(arg);
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    fn bytes(request: Request<'_>) -> Vec<Vec<u8>> {
        let whole = |i| match request.value(i) {
            ArgValue::Slice(bytes) => bytes.to_vec(),
            ArgValue::Chunks { chunks, .. } => chunks.concat(),
        };
        (0..request.len()).map(whole).collect()
    }

    #[test]
    fn what_is_kept_outlives_the_batch_in_any_form() {
        let big = vec![b'x'; 3 * BIG_BULK];
        let lines: Vec<Vec<&[u8]>> = vec![
            vec![b"SET", b"", &big],
            vec![b"ping"],
            vec![b"mset", b"a", &big, b"b", b"2", b"c", &big],
            vec![b"GET", b"\0\r\n"],
        ];
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        let mut queue = Queue::new();
        for (number, line) in lines.iter().enumerate() {
            let wire = wire(line);
            for part in wire.chunks(1000) {
                decoder.read_buf().extend_from_slice(part);
                if decoder.parse(1) == 1 {
                    if number == 2 {
                        decoder.flatten(0);
                    }
                    queue.push(decoder.request(0));
                    assert_eq!(queue.request(number).wire_len(), decoder.request(0).wire_len());
                    decoder.clear();
                }
            }
        }
        drop(decoder);
        assert_eq!(queue.len(), lines.len());
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(bytes(queue.request(number)), *line);
        }
        assert!(queue.request(0).has_chunks() && !queue.request(2).has_chunks());
        // Twice in one piece, once in chunks.
        assert!(queue.capacity() > 9 * BIG_BULK);
    }
}
