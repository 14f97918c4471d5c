//! A client that asks for `INFO overload` again and again: what the controller does over time.

use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::Neighbour;
use super::socket::{Moved, Options, open, read, write};
use crate::Outcome;
use crate::overload::traffic::command;
use crate::scan::{Reply, Scan, Wire, scan};

/// One answer.
#[derive(Clone, Debug)]
pub(in crate::overload) struct Reading {
    /// When it came.
    pub(in crate::overload) at: Duration,
    /// The section.
    text: String,
}

impl Reading {
    /// The number of a field (`name=number`) in a line of the section, if it is there.
    pub(in crate::overload) fn number(&self, line: &str, field: &str) -> Option<f64> {
        let line = self.text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'))?;
        let value = line.split(',').find_map(|f| f.strip_prefix(field)?.strip_prefix('='))?;
        value.trim().parse().ok()
    }
}

/// The client.
#[derive(Debug)]
pub(in crate::overload) struct Info {
    addr: SocketAddr,
    every: Duration,
    next: Duration,
    stream: Option<TcpStream>,
    input: Vec<u8>,
    room: Vec<u8>,
    /// What was answered.
    pub(in crate::overload) readings: Vec<Reading>,
}

impl Info {
    /// A client that asks at this interval.
    pub(in crate::overload) fn new(addr: SocketAddr, every: Duration) -> Self {
        Self {
            addr,
            every,
            next: Duration::ZERO,
            stream: None,
            input: Vec::new(),
            room: vec![0; 16 * 1024],
            readings: Vec::new(),
        }
    }
}

impl Neighbour for Info {
    fn begin(&mut self, registry: &Registry, token: usize) -> Outcome<()> {
        let mut stream = open(self.addr, Options::default())?;
        registry.register(&mut stream, Token(token), Interest::READABLE)?;
        self.stream = Some(stream);
        Ok(())
    }

    fn turn(&mut self, _: &Registry, now: Duration) -> Outcome<()> {
        if now < self.next {
            return Ok(());
        }
        self.next = now + self.every;
        if let Some(stream) = &mut self.stream {
            write(stream, &command(&[b"INFO", b"overload"]));
        }
        Ok(())
    }

    fn event(&mut self, _: usize, _: &Event, now: Duration) -> Outcome<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while let Moved::Bytes(n) = read(stream, &mut self.room) {
            self.input.extend_from_slice(&self.room[..n]);
        }
        loop {
            let used = match scan(Wire::Resp, &self.input) {
                Scan::Whole(Reply::Value(text), used) => {
                    let text = String::from_utf8_lossy(text).into_owned();
                    self.readings.push(Reading { at: now, text });
                    used
                }
                Scan::Whole(_, used) => used,
                Scan::Partial => return Ok(()),
                Scan::Broken => return Err("INFO: not a reply".into()),
            };
            self.input.drain(..used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let text = "# Overload\r\nstate:0\r\ndear:limit=4,running=2.5\r\n".to_owned();
        let reading = Reading { at: Duration::ZERO, text };
        assert_eq!(reading.number("dear", "limit"), Some(4.0));
        assert_eq!(reading.number("dear", "running"), Some(2.5));
        assert_eq!(reading.number("dear", "lim"), None);
        assert_eq!(reading.number("state", "limit"), None);
    }
}
