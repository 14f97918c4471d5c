//! `dunlin ping`: a probe for containers and supervisors.
//!
//! It finds the server through the configuration that the server was started with, sends PING, and
//! takes any answer for a sign of life: an error such as NOAUTH or a full house says that the server
//! is up and busy, and a probe that fails then makes matters worse. Only LOADING means: not yet.
//!
//! The question is asked on a thread of its own, so that nothing (a name that does not resolve, a
//! connection that nobody accepts) can take longer than [`PATIENCE`].

mod tls;

use crate::config::{Applied, Settings};
use crate::runtime::listen;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest answer that is read; a line is far shorter.
const MAX_ANSWER: usize = 4096;

/// Asks, and says what came of it; `place` is the directive by which the command line says where.
pub(crate) fn run(settings: &Arc<Settings>, place: Option<Applied>) -> ExitCode {
    let (answer, waiting) = mpsc::channel();
    let settings = Arc::clone(settings);
    let asked = std::thread::Builder::new().spawn(move || {
        let outcome = Place::of(&settings, place).and_then(|place| place.ask(&settings));
        // Nobody waits any more when it took too long.
        let _ = answer.send(outcome);
    });
    let outcome = match asked {
        Ok(_) => waiting.recv_timeout(PATIENCE).unwrap_or_else(|_| Err("no answer".to_owned())),
        Err(error) => Err(error.to_string()),
    };
    match outcome {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Where the server listens.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Unix(PathBuf),
    Tcp(u16),
    Tls(u16),
}

impl Place {
    fn of(settings: &Settings, named: Option<Applied>) -> Result<Place, String> {
        let unix = || settings.unixsocket.clone().map(Place::Unix);
        let tcp = || Some(Place::Tcp(settings.port)).filter(|_| settings.port != 0);
        let tls = || Some(Place::Tls(settings.tls.port)).filter(|_| settings.tls.port != 0);
        let place = match named {
            Some("port") => tcp(),
            Some("tls-port") => tls(),
            _ => unix().or_else(tcp).or_else(tls),
        };
        place.ok_or_else(|| listen::NOWHERE.to_owned())
    }

    fn ask(&self, settings: &Settings) -> Result<String, String> {
        let shown = |error: io::Error| match self {
            Place::Unix(path) => format!("{}: {error}", path.display()),
            Place::Tcp(port) | Place::Tls(port) => format!("port {port}: {error}"),
        };
        let asked = match self {
            Place::Unix(path) => UnixStream::connect(path)
                .and_then(|stream| converse(stream, Some(&settings.requirepass))),
            Place::Tcp(port) => connect(settings, *port)
                .and_then(|stream| converse(stream, Some(&settings.requirepass))),
            Place::Tls(port) => {
                connect(settings, *port).and_then(|stream| tls::converse(stream, settings))
            }
        };
        verdict(asked.map_err(shown)?)
    }
}

/// Connects to the first address that takes it.
fn connect(settings: &Settings, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> =
        settings.bind.iter().filter_map(|word| listen::reachable(word, port).ok()).collect();
    TcpStream::connect(addresses.as_slice())
}

/// Sends PING, after AUTH if there is a password that may be sent, and reads the answer to it.
fn converse(mut stream: impl Read + Write, password: Option<&Vec<u8>>) -> io::Result<String> {
    let password = password.filter(|password| !password.is_empty());
    let mut question = Vec::new();
    if let Some(password) = password {
        question.extend(format!("*2\r\n$4\r\nAUTH\r\n${}\r\n", password.len()).as_bytes());
        question.extend(password);
        question.extend(b"\r\n");
    }
    question.extend(b"*1\r\n$4\r\nPING\r\n");
    stream.write_all(&question)?;
    stream.flush()?;
    let wanted = if password.is_some() { 2 } else { 1 };
    let mut answer = Vec::new();
    let mut room = [0; 512];
    loop {
        let mut lines = answer.split(|c: &u8| *c == b'\n');
        // The last part is no whole line yet.
        if let Some(line) = lines.nth(wanted - 1).filter(|_| lines.next().is_some()) {
            return Ok(String::from_utf8_lossy(line.trim_ascii()).into_owned());
        }
        let came = stream.read(&mut room)?;
        answer.extend(&room[..came]);
        if came == 0 || answer.len() > MAX_ANSWER {
            // A server that refuses a connection says why, once, and closes.
            let line = answer.split(|c| *c == b'\n').next().unwrap_or_default();
            return match line.trim_ascii() {
                [] => Err(io::ErrorKind::UnexpectedEof.into()),
                line => Ok(String::from_utf8_lossy(line).into_owned()),
            };
        }
    }
}

/// What a line says about the server.
fn verdict(line: String) -> Result<String, String> {
    match line.strip_prefix(['+', '-']) {
        Some(text) if line.starts_with("-LOADING") => Err(text.to_owned()),
        Some(text) => Ok(text.to_owned()),
        None => Err("whoever listens there does not speak RESP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A peer that has said what it says before it is asked.
    struct Peer(Cursor<&'static [u8]>, Vec<u8>);

    impl Read for Peer {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut room[..1])
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn hears(says: &'static str, password: &str) -> Result<String, String> {
        let mut peer = Peer(Cursor::new(says.as_bytes()), Vec::new());
        let line = converse(&mut peer, Some(&password.into())).map_err(|e| e.to_string())?;
        assert_eq!(peer.1.starts_with(b"*2\r\n$4\r\nAUTH\r\n"), !password.is_empty());
        verdict(line)
    }

    #[test]
    fn any_answer_but_loading_is_a_sign_of_life() {
        assert_eq!(hears("+PONG\r\n", ""), Ok("PONG".into()));
        assert_eq!(hears("+OK\r\n+PONG\r\n", "x"), Ok("PONG".into()));
        assert_eq!(hears("-WRONGPASS x\r\n-NOAUTH y\r\n", "x"), Ok("NOAUTH y".into()));
        let full = "-ERR max number of clients reached\r\n";
        assert_eq!(hears(full, "x"), Ok("ERR max number of clients reached".into()));
        assert_eq!(hears("+OK\r\n-LOADING wait\r\n", "x"), Err("LOADING wait".into()));
        assert!(hears("HTTP/1.1 400 Bad Request\r\n", "").is_err());
        assert!(hears("", "").is_err());
        assert!(hears("+OK\r\n", "x").is_ok(), "closed after an answer");
    }

    #[test]
    fn the_place_is_the_nearest_one_or_the_one_that_is_named() {
        let mut settings = Settings::defaults(0);
        let of = |settings: &Settings, named| Place::of(settings, named).ok();
        assert_eq!(of(&settings, None), Some(Place::Tcp(6379)));
        assert_eq!(of(&settings, Some("tls-port")), None);
        settings.tls.port = 6380;
        settings.unixsocket = Some("/s".into());
        assert_eq!(of(&settings, None), Some(Place::Unix("/s".into())));
        assert_eq!(of(&settings, Some("port")), Some(Place::Tcp(6379)));
        assert_eq!(of(&settings, Some("tls-port")), Some(Place::Tls(6380)));
        (settings.port, settings.unixsocket) = (0, None);
        assert_eq!(of(&settings, None), Some(Place::Tls(6380)));
        settings.tls.port = 0;
        assert_eq!(of(&settings, None), None);
    }
}
