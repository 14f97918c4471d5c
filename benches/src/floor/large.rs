//! The floor of large values: what the system asks for their bytes.
//!
//! Here a GET is answered with a value, since writing it is most of what a GET costs, and a SET is
//! skipped by its length instead of looked through for the next command. Lengths are those of the
//! loads of this crate with values of one length; nothing else is understood.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use super::ANSWER;
use crate::request::{Op, Requests, Ttl, ValueSize};
use crate::rng::Rng;
use crate::scan::Wire;

/// Lengths of commands, and answers.
pub(super) struct Shape {
    ping: usize,
    get: usize,
    set: usize,
    /// The answer to all but GET, and to GET.
    rows: [Row; 2],
}

/// An answer, and as many of them in a row as were ever sent at once.
struct Row {
    length: usize,
    bytes: Vec<u8>,
}

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Bytes of the command under way that have come.
    seen: usize,
    /// Its length, known from its second byte on.
    length: usize,
    /// Whether it is a GET.
    reads: bool,
    /// Answers due to commands that have come whole: whether to GETs, and their bytes.
    owed: VecDeque<(bool, usize)>,
}

impl Shape {
    pub(super) fn new(len: usize) -> Self {
        let requests = Requests::new(Wire::Resp, ValueSize::Fixed(len), Ttl::None);
        let length = |op| {
            let mut bytes = Vec::new();
            requests.append(&mut bytes, op, 0, &mut Rng::new(1));
            bytes.len()
        };
        let mut value = format!("${len}\r\n").into_bytes();
        value.resize(value.len() + len, b'x');
        value.extend_from_slice(b"\r\n");
        Self {
            ping: length(Op::Ping),
            get: length(Op::Get),
            set: length(Op::Set),
            rows: [ANSWER.to_vec(), value].map(|bytes| Row { length: bytes.len(), bytes }),
        }
    }

    /// The length of a command by its second byte, the number of its arguments.
    fn length(&self, arguments: u8) -> usize {
        match arguments {
            b'1' => self.ping,
            b'2' => self.get,
            _ => self.set,
        }
    }
}

impl Row {
    /// The last `length` bytes of a row of whole answers.
    fn end(&mut self, length: usize) -> &[u8] {
        let whole = length.next_multiple_of(self.length);
        while self.bytes.len() < whole {
            self.bytes.extend_from_within(..self.length);
        }
        &self.bytes[whole - length..whole]
    }
}

impl Client {
    /// Reads what there is and answers it; false at the end of the connection. Nothing is read
    /// while answers wait for the socket.
    pub(super) fn serve(
        &mut self,
        mut stream: impl Read + Write,
        shape: &mut Shape,
        room: &mut [u8],
    ) -> bool {
        let mut read = room.len();
        loop {
            match self.send(&mut stream, shape) {
                Ok(()) if read < room.len() => return true,
                Ok(()) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
            read = match stream.read(room) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            self.receive(&room[..read], shape);
        }
    }

    /// Follows the commands in `bytes` and owes an answer for each that ends there.
    fn receive(&mut self, mut bytes: &[u8], shape: &Shape) {
        while let Some(&byte) = bytes.first() {
            if self.seen == 1 {
                self.length = shape.length(byte);
                self.reads = byte == b'2';
            }
            let until = if self.seen == 0 { 1 } else { self.length };
            let taken = (until - self.seen).min(bytes.len());
            self.seen += taken;
            bytes = &bytes[taken..];
            if self.seen > 1 && self.seen == self.length {
                self.seen = 0;
                self.owe(shape);
            }
        }
    }

    fn owe(&mut self, shape: &Shape) {
        let length = shape.rows[usize::from(self.reads)].length;
        match self.owed.back_mut() {
            Some((reads, bytes)) if *reads == self.reads => *bytes += length,
            _ => self.owed.push_back((self.reads, length)),
        }
    }

    /// Sends answers. What is still owed of one sort is always the end of a row of them.
    fn send(&mut self, stream: &mut impl Write, shape: &mut Shape) -> std::io::Result<()> {
        while let Some((reads, left)) = self.owed.front_mut() {
            *left -= stream.write(shape.rows[usize::from(*reads)].end(*left))?;
            if *left == 0 {
                self.owed.pop_front();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that gives its bytes in reads of some length, and takes few at once.
    struct Socket {
        input: Vec<u8>,
        reads: usize,
        output: Vec<u8>,
        full: bool,
    }

    impl Read for Socket {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            if self.input.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            let n = self.reads.min(room.len()).min(self.input.len());
            room[..n].copy_from_slice(&self.input[..n]);
            self.input.drain(..n);
            Ok(n)
        }
    }

    impl Write for Socket {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.full = !self.full;
            if self.full {
                return Err(ErrorKind::WouldBlock.into());
            }
            let n = bytes.len().min(7);
            self.output.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn answers(ops: &[Op], reads: usize) -> Vec<u8> {
        let requests = Requests::new(Wire::Resp, ValueSize::Fixed(300), Ttl::None);
        let (mut shape, mut client) = (Shape::new(300), Client::default());
        let mut socket = Socket { input: Vec::new(), reads, output: Vec::new(), full: false };
        for &op in ops {
            requests.append(&mut socket.input, op, 5, &mut Rng::new(1));
        }
        let mut room = vec![0; reads];
        while !socket.input.is_empty() || !client.owed.is_empty() {
            assert!(client.serve(&mut socket, &mut shape, &mut room));
        }
        socket.output
    }

    #[test]
    fn each_command_has_one_answer_however_it_comes() {
        let value = format!("$300\r\n{}\r\n", "x".repeat(300)).into_bytes();
        for reads in [1, 2, 7, 36, 100, 1000, 10_000] {
            assert_eq!(answers(&[Op::Set; 5], reads), ANSWER.repeat(5), "reads of {reads}");
            assert_eq!(answers(&[Op::Get; 5], reads), value.repeat(5), "reads of {reads}");
            let mixed = [Op::Ping, Op::Get, Op::Set, Op::Set, Op::Get, Op::Get];
            let expected = [ANSWER, &value, ANSWER, ANSWER, &value, &value].concat();
            assert_eq!(answers(&mixed, reads), expected, "reads of {reads}");
        }
    }
}
