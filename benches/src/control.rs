//! The slow, careful client: settings, figures and checks.
//!
//! Replies are decoded by redis-protocol; a server under measurement is trusted not to nest without
//! bound.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

use crate::scan::Wire;
use crate::{Failure, Outcome};

/// A blocking connection.
#[derive(Debug)]
pub struct Control {
    stream: TcpStream,
    buf: Vec<u8>,
    wire: Wire,
}

impl Control {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub fn connect(addr: SocketAddr, wire: Wire) -> Outcome<Self> {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self { stream, buf: Vec::new(), wire })
    }

    /// Sends one RESP command and decodes its reply.
    ///
    /// # Errors
    ///
    /// When the connection fails or the reply cannot be decoded. An error reply is a frame.
    pub fn call(&mut self, args: &[&[u8]]) -> Outcome<OwnedFrame> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&request)?;
        loop {
            let decoded = decode(&self.buf).map_err(|e| Failure::from(format!("reply: {e}")))?;
            if let Some((frame, used)) = decoded {
                self.buf.drain(..used);
                return Ok(frame);
            }
            self.fill()?;
        }
    }

    /// Sends a command given as words; an error reply is an error.
    ///
    /// # Errors
    ///
    /// As [`Control::call`], and when the server answers with an error.
    pub fn command(&mut self, words: &str) -> Outcome<OwnedFrame> {
        let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        match self.call(&args)? {
            OwnedFrame::Error(text) => Err(format!("{words}: {text}").into()),
            frame => Ok(frame),
        }
    }

    /// Sends a memcached command and returns its reply's lines up to one of the ends.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn lines(&mut self, command: &str, ends: &[&str]) -> Outcome<Vec<String>> {
        self.stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut lines = Vec::new();
        loop {
            while let Some(at) = self.buf.windows(2).position(|w| w == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buf[..at]).into_owned();
                self.buf.drain(..at + 2);
                let last = ends.iter().any(|end| line.starts_with(end));
                lines.push(line);
                if last {
                    return Ok(lines);
                }
            }
            self.fill()?;
        }
    }

    /// Whether the server answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn ping(&mut self) -> Outcome<()> {
        match self.wire {
            Wire::Resp => self.command("PING").map(|_| ()),
            Wire::Memcached => self.lines("version", &["VERSION"]).map(|_| ()),
        }
    }

    /// Number of items held.
    ///
    /// # Errors
    ///
    /// When the server does not say.
    pub fn items(&mut self) -> Outcome<u64> {
        match self.wire {
            Wire::Resp => match self.command("DBSIZE")? {
                OwnedFrame::Integer(n) => Ok(u64::try_from(n)?),
                other => Err(format!("DBSIZE: {other:?}").into()),
            },
            Wire::Memcached => {
                let lines = self.lines("stats", &["END"])?;
                let field = lines.iter().find_map(|l| l.strip_prefix("STAT curr_items "));
                Ok(field.ok_or("no curr_items")?.parse()?)
            }
        }
    }

    /// A number from INFO's `section`, if it is there.
    ///
    /// # Errors
    ///
    /// When the server refuses INFO.
    pub fn info(&mut self, section: &str, field: &str) -> Outcome<Option<u64>> {
        let OwnedFrame::BulkString(text) = self.command(&format!("INFO {section}"))? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&text);
        let value = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
        Ok(value.and_then(|v| v.trim().parse::<f64>().ok()).map(|v| v as u64))
    }

    fn fill(&mut self) -> Outcome<()> {
        let mut chunk = [0; 16 * 1024];
        let n = self.stream.read(&mut chunk)?;
        if n == 0 {
            return Err("the server closed the connection".into());
        }
        self.buf.extend_from_slice(&chunk[..n]);
        Ok(())
    }
}
