//! Numbers, quoting and protocol errors, compared with a real redis-server.
//!
//! Skipped, with a line that says so, where there is none on the `PATH`.
//! `DUNLIN_FUZZ_SECONDS` makes the random parts longer.

mod bodies;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bodies::Random;
use dunlin_protocol::client::{ReplyDecoder, Value};
use dunlin_protocol::number::{FloatError, format_f64, incr_by_float, parse_f64, parse_i64};
use dunlin_protocol::{Decoder, Limits, Proto, Reply};

/// A server of its own on a unix socket; gone when dropped.
struct Redis {
    child: Child,
    socket: PathBuf,
}

impl Redis {
    fn start(name: &str) -> Option<Self> {
        let file = format!("dunlin-{name}-{}.sock", std::process::id());
        let socket = std::env::temp_dir().join(file);
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            println!("skipped: no redis-server on the PATH");
            return None;
        };
        Some(Self { child, socket })
    }

    fn connect(&self) -> Connection {
        for _ in 0..500 {
            if let Ok(stream) = UnixStream::connect(&self.socket) {
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let decoder = ReplyDecoder::new(Proto::Resp2);
                return Connection { stream, decoder, requests: Reply::new(Proto::Resp2) };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not start");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

struct Connection {
    stream: UnixStream,
    decoder: ReplyDecoder,
    requests: Reply,
}

impl Connection {
    fn queue(&mut self, command: &[&[u8]]) {
        self.requests.array(command.len());
        command.iter().for_each(|argument| self.requests.bulk(argument));
    }

    fn flush(&mut self) {
        let mut slices = Vec::new();
        self.requests.slices(&mut slices, usize::MAX);
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.stream.write_all(&bytes).unwrap();
        self.requests.advance(bytes.len());
    }

    fn reply(&mut self) -> Value {
        self.next().expect("the connection is open")
    }

    /// The next reply; nothing once the peer has closed.
    fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(value) = self.decoder.decode().unwrap() {
                return Some(value);
            }
            let mut bytes = [0; 65536];
            match self.stream.read(&mut bytes) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.decoder.read_buf().extend_from_slice(&bytes[..read]),
            }
        }
    }

    /// The replies to many commands, in pipelines.
    fn all(&mut self, commands: &[Vec<Vec<u8>>]) -> Vec<Value> {
        let mut replies = Vec::new();
        for commands in commands.chunks(200) {
            for command in commands {
                let command: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
                self.queue(&command);
            }
            self.flush();
            commands.iter().for_each(|_| replies.push(self.reply()));
        }
        replies
    }
}

/// How many random cases to compare.
fn cases() -> usize {
    let seconds = std::env::var("DUNLIN_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    4000 + seconds.unwrap_or(0usize) * 10_000
}

fn decimal(random: &mut Random) -> String {
    let digits = |random: &mut Random, most| -> String {
        (0..1 + random.below(most)).map(|_| char::from(b'0' + random.below(10) as u8)).collect()
    };
    let mut text = random.pick(&["", "", "-", "+"]).to_owned();
    match random.below(10) {
        0 => {
            text +=
                random.pick(&["inf", "nan", "0x1f", "0x1.8p-3", "0", ".", "", "1e", "Infinity"]);
        }
        1 => text += &format!("{:e}", f64::from_bits(random.next() >> 1)),
        2 => text += &digits(random, 40),
        3 => text += &format!("{}e{}", digits(random, 20), random.below(60)),
        4 => text += &format!("{}e-{}", digits(random, 20), random.below(60)),
        5 => text += &format!("{}.{}", digits(random, 25), digits(random, 25)),
        6 => text += &digits(random, 3),
        _ => text += &format!("{}.{}", digits(random, 6), digits(random, 5)),
    }
    if random.chance(2) {
        text.insert(random.below(text.len() + 1), ' ');
    }
    text
}

#[test]
fn incrbyfloat() {
    let Some(redis) = Redis::start("incr") else {
        return;
    };
    let mut redis = redis.connect_and_keep();
    let mut random = Random::new(11);
    let pairs: Vec<(String, String)> =
        (0..cases()).map(|_| (decimal(&mut random), decimal(&mut random))).collect();
    let commands: Vec<Vec<Vec<u8>>> = pairs
        .iter()
        .flat_map(|(current, increment)| {
            let bytes = |text: &str| text.as_bytes().to_vec();
            [
                vec![bytes("SET"), bytes("k"), bytes(current)],
                vec![bytes("INCRBYFLOAT"), bytes("k"), bytes(increment)],
            ]
        })
        .collect();
    let replies = redis.1.all(&commands);
    for ((current, increment), reply) in pairs.iter().zip(replies.iter().skip(1).step_by(2)) {
        let ours = match incr_by_float(current.as_bytes(), increment.as_bytes()) {
            Ok(text) => Value::Bulk(text.into()),
            Err(error @ (FloatError::NotFloat | FloatError::NotFinite)) => {
                Value::Error(error.to_string().into())
            }
        };
        assert_eq!(&ours, reply, "{current:?} + {increment:?}");
    }
}

#[test]
fn doubles() {
    let Some(redis) = Redis::start("double") else {
        return;
    };
    let mut redis = redis.connect_and_keep();
    let mut random = Random::new(12);
    let texts: Vec<String> = (0..cases()).map(|_| decimal(&mut random)).collect();
    let commands: Vec<Vec<Vec<u8>>> = texts
        .iter()
        .enumerate()
        .flat_map(|(i, text)| {
            let member = i.to_string();
            let bytes = |text: &str| text.as_bytes().to_vec();
            [
                vec![bytes("ZADD"), bytes("z"), bytes(text), bytes(&member)],
                vec![bytes("ZSCORE"), bytes("z"), bytes(&member)],
            ]
        })
        .collect();
    let replies = redis.1.all(&commands);
    for (text, replies) in texts.iter().zip(replies.chunks(2)) {
        let parsed = parse_f64(text.as_bytes());
        let refused = Value::Error("ERR value is not a valid float".into());
        assert_eq!(parsed.is_none(), replies[0] == refused, "{text:?}: {:?}", replies[0]);
        let Some(value) = parsed else { continue };
        let Value::Bulk(theirs) = &replies[1] else { panic!("{text}: {:?}", replies[1]) };
        // 7.0 prints 17 digits, from 7.2 on they are the shortest: the value must be the same.
        let theirs: f64 = std::str::from_utf8(theirs).unwrap().parse().unwrap();
        assert_eq!(theirs.to_bits(), value.to_bits(), "{text}");
        let ours = format_f64(value);
        let ours: f64 = std::str::from_utf8(ours.as_bytes()).unwrap().parse().unwrap();
        assert_eq!(ours.to_bits(), value.to_bits(), "{text}");
    }
}

#[test]
fn integers() {
    let Some(redis) = Redis::start("int") else {
        return;
    };
    let mut redis = redis.connect_and_keep();
    let mut random = Random::new(13);
    let mut texts: Vec<String> = ["", "-", "-0", "+1", "01", " 1", "1 ", "1\0", "0x1", "-01"]
        .iter()
        .map(|&text| text.to_owned())
        .collect();
    for _ in 0..cases() / 4 {
        let near = i128::from(i64::MAX) + 1 - random.below(4) as i128;
        texts.push(if random.chance(50) { near } else { 1 - near }.to_string());
        texts.push((random.next() >> random.below(64)).to_string());
    }
    let commands: Vec<Vec<Vec<u8>>> = texts
        .iter()
        .flat_map(|text| {
            let set = vec![b"SET".to_vec(), b"k".to_vec(), text.clone().into_bytes()];
            [set, vec![b"INCRBY".to_vec(), b"k".to_vec(), b"0".to_vec()]]
        })
        .collect();
    let replies = redis.1.all(&commands);
    for (text, reply) in texts.iter().zip(replies.iter().skip(1).step_by(2)) {
        let ours = parse_i64(text.as_bytes()).map(Value::Int);
        let refused = Value::Error("ERR value is not an integer or out of range".into());
        assert_eq!(&ours.unwrap_or(refused), reply, "{text:?}");
    }
}

/// Sends bytes and compares what they mean there and here: the arguments behind the name of each
/// inline `ECHO`, or the protocol error and the end of the connection.
fn compare(redis: &Redis, bytes: &[u8]) {
    let mut connection = redis.connect();
    connection.stream.write_all(bytes).unwrap();
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    decoder.read_buf().extend_from_slice(bytes);
    let shown = bytes[..bytes.len().min(200)].escape_ascii();
    for i in 0..decoder.parse(1000) {
        let request = decoder.request(i);
        let theirs = connection.reply();
        match (request.arg(0), request.len()) {
            (b"ECHO", 2) => {
                let argument = bytes::Bytes::copy_from_slice(request.arg(1));
                assert_eq!(theirs, Value::Bulk(argument), "{shown}");
            }
            (name, _) => {
                let Value::Error(text) = &theirs else { panic!("{shown}: {theirs:?}") };
                let text = String::from_utf8_lossy(text);
                let wrong_arity = name == b"ECHO" && text.contains("number of arguments");
                assert!(wrong_arity || text.contains("unknown command"), "{shown}: {text}");
            }
        }
    }
    if let Some(error) = decoder.error() {
        assert_eq!(connection.next(), Some(Value::Error(error.to_string().into())), "{shown}");
        assert_eq!(connection.next(), None, "{shown}: closed");
    } else if !decoder.is_mid_command() {
        connection.stream.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
        assert_eq!(connection.next(), Some(Value::Simple("PONG".into())), "{shown}: in step");
    }
}

#[test]
fn protocol_errors() {
    let Some(redis) = Redis::start("error") else {
        return;
    };
    let long = |prefix: &[u8]| [prefix, &vec![b'1'; 70_000]].concat();
    let inputs: Vec<Vec<u8>> = [
        &b"*3000000000\r\n"[..],
        b"*2147483648\r\n",
        b"*+1\r\n",
        b"*01\r\n",
        b"*-0\r\n",
        b"*1x\r\n",
        b"*\r\n",
        b"*0\r\n",
        b"*-1\r\n*-10\r\n",
        b"\r\n\n\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$-10\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$03\r\n",
        b"*1\r\n$blabla\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$9223372036854775808\r\n",
        b"*1\r\nfoo\r\n",
        b"*1\r\n:1\r\n",
        b"*0\r\n$5\r\nOTHER\r\n",
        b"*2\r\n$4\r\nECHOxx$1\r\naxx",
        b"*2\rx$4\rxECHOxx$1\rxaxx",
        b"ECHO \"a\r\n",
        b"ECHO 'a'b\r\n",
        b"ECHO a\n",
        b"ECHO \"\\x41\\n\"\r\nECHO b\r\n*1\r\n$x\r\n",
    ]
    .iter()
    .map(|bytes| bytes.to_vec())
    .chain([long(b""), long(b"*"), long(b"*1\r\n$"), long(b"\0")])
    .collect();
    for input in inputs {
        compare(&redis, &input);
    }
}

#[test]
fn inline_quoting() {
    let Some(redis) = Redis::start("inline") else {
        return;
    };
    let mut random = Random::new(14);
    for _ in 0..cases() / 10 {
        let mut line = b"ECHO ".to_vec();
        for _ in 0..1 + random.below(8) {
            line.extend_from_slice(
                random
                    .pick(&[
                        "a",
                        "b",
                        "\"",
                        "\"",
                        "'",
                        "'",
                        "\\",
                        "\\x41",
                        "\\x4",
                        "\\n",
                        "\\'",
                        "\\\"",
                        "\\t\\r\\b\\a\\q",
                        " ",
                        "\t",
                        "\x0b",
                        "\u{e9}",
                        "\\xfF",
                    ])
                    .as_bytes(),
            );
        }
        line.extend_from_slice(random.pick(&["\r\n", "\n", "\r\r\n"]).as_bytes());
        compare(&redis, &line);
    }
}

impl Redis {
    fn connect_and_keep(self) -> (Self, Connection) {
        let connection = self.connect();
        (self, connection)
    }
}
