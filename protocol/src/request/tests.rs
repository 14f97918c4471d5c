use super::*;
use crate::error::ProtocolError;
use crate::limits::{BIG_BULK, CHUNK, Limits, MAX_LINE, READ_ROOM, READ_ROOM_MAX};

type Args = Vec<Vec<u8>>;

/// Reads `bytes` as a socket would deliver them, `step` at most at once, into the offered room.
fn feed(decoder: &mut Decoder, mut bytes: &[u8], step: usize) -> Vec<Args> {
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let buffer = decoder.read_buf();
        let room = buffer.capacity() - buffer.len();
        assert!(room > 0);
        let taken = room.min(step).min(bytes.len());
        buffer.extend_from_slice(&bytes[..taken]);
        bytes = &bytes[taken..];
        commands.extend(drain(decoder));
    }
    commands
}

fn drain(decoder: &mut Decoder) -> Vec<Args> {
    let mut commands = Vec::new();
    while decoder.parse(3) > 0 {
        for i in 0..decoder.len() {
            if i % 2 == 0 {
                decoder.flatten(i);
            }
            commands.push(args(decoder.request(i)));
        }
        decoder.clear();
    }
    commands
}

fn args(request: Request<'_>) -> Args {
    let bytes = |value: ArgValue<'_>| match value {
        ArgValue::Slice(bytes) => bytes.to_vec(),
        ArgValue::Chunks { chunks, .. } => {
            let (last, full) = chunks.split_last().unwrap();
            assert!(full.iter().all(|chunk| chunk.len() == CHUNK));
            assert!(!last.is_empty() && last.len() <= CHUNK);
            chunks.concat()
        }
    };
    let arg = |i| {
        let value = request.value(i);
        let bytes = bytes(value);
        assert_eq!((value.len(), value.is_empty()), (bytes.len(), bytes.is_empty()));
        bytes
    };
    (0..request.len()).map(arg).collect()
}

fn multibulk(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The commands and the error that `bytes` give in one piece; one byte at a time gives the same.
fn parse_with(limits: Limits, bytes: &[u8]) -> (Vec<Args>, Option<String>) {
    let mut outcomes = [bytes.len().max(1), 1].map(|step| {
        let mut decoder = Decoder::new(limits);
        let commands = feed(&mut decoder, bytes, step);
        (commands, decoder.error().map(|error| error.to_string()))
    });
    assert_eq!(outcomes[0], outcomes[1]);
    std::mem::take(&mut outcomes[0])
}

fn parse(bytes: &[u8]) -> (Vec<Args>, Option<String>) {
    parse_with(Limits::AUTHENTICATED, bytes)
}

fn error(bytes: &[u8]) -> String {
    let (commands, error) = parse(bytes);
    assert_eq!(commands, Vec::<Args>::new());
    error.unwrap_or_default()
}

#[test]
fn commands_of_every_form() {
    let (commands, error) = parse(
        b"*1\r\n$4\r\nPING\r\n\r\nset a \"b c\"\r\n*0\r\n*-10\r\nPING\n*3\r\n\
$3\r\nSET\r\n$0\r\n\r\n$12\r\nhello\r\nworld\r\n",
    );
    let want: [Vec<&[u8]>; 4] = [
        vec![b"PING"],
        vec![b"set", b"a", b"b c"],
        vec![b"PING"],
        vec![b"SET", b"", b"hello\r\nworld"],
    ];
    assert_eq!(commands, want);
    assert_eq!(error, None);
}

#[test]
fn a_tail_is_a_command_of_its_own() {
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    decoder.read_buf().extend_from_slice(b"COMMAND GETKEYS SET k v\r\n");
    assert_eq!(decoder.parse(16), 1);
    let tail = |from| decoder.request(0).tail(from).map(args);
    assert_eq!(tail(2), Some(vec![b"SET".to_vec(), b"k".to_vec(), b"v".to_vec()]));
    assert_eq!(tail(4), Some(vec![b"v".to_vec()]));
    assert_eq!(tail(5), None);
}

#[test]
fn bytes_behind_headers_and_bulks_are_not_looked_at() {
    let (commands, error) = parse(b"*2\rx$1\ryaXY$1\r\nb\0\0PING\r\n");
    assert_eq!(commands, [vec![b"a".to_vec(), b"b".to_vec()], vec![b"PING".to_vec()]]);
    assert_eq!(error, None);
}

#[test]
fn invalid_lengths() {
    for count in ["3000000000", "2147483648", "+1", "01", "-0", "1x", "", " 1", "1\n"] {
        assert_eq!(
            error(format!("*{count}\r\n").as_bytes()),
            "ERR Protocol error: invalid multibulk length",
            "{count:?}"
        );
    }
    for len in ["-1", "-10", "536870913", "03", "blabla", "9223372036854775808", "", "+4", "-0"] {
        assert_eq!(
            error(format!("*1\r\n${len}\r\n").as_bytes()),
            "ERR Protocol error: invalid bulk length",
            "{len:?}"
        );
    }
    assert_eq!(error(b"*1\r\nfoo"), "ERR Protocol error: expected '$', got 'f'");
    assert_eq!(error(b"*1\r\n:1"), "ERR Protocol error: expected '$', got ':'");
    assert_eq!(error(b"get \"a\r\n"), "ERR Protocol error: unbalanced quotes in request");
}

#[test]
fn lines_have_a_limit() {
    for (prefix, what) in [
        ("", "too big inline request"),
        ("\0", "too big inline request"),
        ("*", "too big mbulk count string"),
        ("*1\r\n$", "too big bulk count string"),
        ("*\0", "too big mbulk count string"),
    ] {
        let mut bytes = prefix.as_bytes().to_vec();
        bytes.resize(MAX_LINE + 100, b'1');
        assert_eq!(error(&bytes), format!("ERR Protocol error: {what}"), "{prefix:?}");
    }
    let mut longest = vec![b'a'; MAX_LINE];
    longest.push(b'\n');
    assert_eq!(parse(&longest).0.len(), 1);
    longest.insert(0, b'a');
    assert_eq!(error(&longest), "ERR Protocol error: too big inline request");
}

#[test]
fn limits_before_authentication() {
    let limits = Limits::UNAUTHENTICATED;
    let outcome = |bytes: &str| parse_with(limits, bytes.as_bytes()).1.unwrap_or_default();
    let prefix = "ERR Protocol error: ";
    assert_eq!(outcome("*11\r\n"), format!("{prefix}unauthenticated multibulk length"));
    assert_eq!(outcome("*2147483648\r\n"), format!("{prefix}invalid multibulk length"));
    assert_eq!(outcome("*1\r\n$16385\r\n"), format!("{prefix}unauthenticated bulk length"));
    assert_eq!(outcome("*1\r\n$536870913\r\n"), format!("{prefix}invalid bulk length"));
    assert_eq!(outcome("*10\r\n$16384\r\n"), "");
}

#[test]
fn limits_change_between_commands() {
    let mut decoder = Decoder::new(Limits::UNAUTHENTICATED);
    let big = vec![b'x'; 20_000];
    let bytes = [multibulk(&[b"AUTH", b"secret"]), multibulk(&[b"SET", b"k", &big])].concat();
    decoder.read_buf().extend_from_slice(&bytes);
    assert_eq!(decoder.parse(1), 1);
    decoder.clear();
    decoder.set_limits(Limits::AUTHENTICATED);
    assert_eq!(decoder.parse(1), 1);
    assert_eq!(decoder.request(0).arg(2), big);
}

#[test]
fn good_commands_come_before_the_error() {
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    decoder.read_buf().extend_from_slice(b"PING\r\nPING\r\n*x\r\nPING\r\n");
    assert_eq!(decoder.parse(2), 2);
    assert_eq!(decoder.error(), None);
    decoder.clear();
    assert_eq!(decoder.parse(2), 0);
    assert_eq!(decoder.error(), Some(ProtocolError::InvalidMultibulkLength));
    decoder.clear();
    decoder.read_buf().extend_from_slice(b"PING\r\n");
    assert_eq!(decoder.parse(2), 0);
}

#[test]
fn big_bulks_arrive_in_chunks() {
    for len in [BIG_BULK - 1, BIG_BULK, CHUNK + 1, 2 * CHUNK - 2, 2 * CHUNK - 1, 2 * CHUNK, 300_000]
    {
        let value: Vec<u8> = (0..=250).cycle().take(len).collect();
        let command = multibulk(&[b"SET", b"key", &value, b"EX", b"10"]);
        let bytes = [&command[..], b"PING\r\n", &command[..], &command[..]].concat();
        let set: Args =
            [&b"SET"[..], b"key", &value, b"EX", b"10"].iter().map(|a| a.to_vec()).collect();
        let want = [set.clone(), vec![b"PING".to_vec()], set.clone(), set];
        for step in [usize::MAX, 4096, 1021] {
            let mut decoder = Decoder::new(Limits::AUTHENTICATED);
            assert_eq!(feed(&mut decoder, &bytes, step), want, "{len} by {step}");
            assert_eq!(decoder.error(), None);
            assert_eq!(decoder.buffered(), 0);
        }
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        decoder.read_buf().extend_from_slice(&bytes);
        assert_eq!(drain(&mut decoder), want, "{len} at once");
    }
}

#[test]
fn a_big_bulk_is_read_into_its_chunks() {
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    decoder.read_buf().extend_from_slice(b"*2\r\n$4\r\nECHO\r\n$100000\r\n");
    assert_eq!(decoder.parse(16), 0);
    let room = decoder.read_buf();
    assert_eq!((room.len(), room.capacity()), (0, CHUNK));
    room.extend_from_slice(&[1; CHUNK]);
    let place = decoder.read_buf().as_ptr();
    assert_eq!(decoder.parse(16), 0);
    assert_ne!(decoder.read_buf().as_ptr(), place);
    decoder.read_buf().extend_from_slice(&[1; CHUNK]);
    decoder.parse(16);
    decoder.read_buf().extend_from_slice(&[1; CHUNK]);
    decoder.parse(16);
    let last = 100_000 - 3 * CHUNK;
    assert_eq!(decoder.read_buf().capacity(), last + 2);
    decoder.read_buf().extend_from_slice(&vec![1; last + 2]);
    assert_eq!(decoder.parse(16), 1);
    let request = decoder.request(0);
    assert!(request.has_chunks());
    assert_eq!(request.wire_len(), 100_000 + 2 + 23);
    let ArgValue::Chunks { chunks, .. } = request.value(1) else { panic!("in chunks") };
    assert_eq!(chunks[0].as_ptr(), place, "the chunk is what the socket filled");
}

#[test]
fn headers_allocate_nothing() {
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    decoder.read_buf().extend_from_slice(b"*1\r\n$536870912\r\n");
    decoder.parse(16);
    assert!(decoder.is_mid_command());
    let _ = decoder.read_buf();
    assert!(decoder.capacity() <= 64 * 1024, "{}", decoder.capacity());

    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    decoder.read_buf().extend_from_slice(b"*2147483647\r\n$1\r\na\r\n");
    decoder.parse(16);
    assert!(decoder.is_mid_command());
    assert!(decoder.capacity() <= 32 * 1024, "{}", decoder.capacity());
}

#[test]
fn many_arguments_one_by_one() {
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    let mut bytes = b"*1048577\r\n".to_vec();
    for _ in 0..1_048_577 {
        bytes.extend_from_slice(b"$1\r\na\r\n");
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        assert_eq!(decoder.parse(16), 0);
        decoder.clear();
        let buffer = decoder.read_buf();
        let taken = (buffer.capacity() - buffer.len()).min(rest.len());
        buffer.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    assert_eq!(decoder.parse(16), 1);
    assert_eq!(decoder.request(0).len(), 1_048_577);
    assert_eq!(decoder.request(0).wire_len(), bytes.len());
    assert!(decoder.request(0).iter().all(|arg| arg == b"a"));
    decoder.clear();
    assert!(decoder.capacity() <= READ_ROOM, "{}", decoder.capacity());
}

#[test]
fn a_million_empty_lines_cost_nothing() {
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    let lines = b"\r\n*0\r\n\n".repeat(300_000);
    assert_eq!(feed(&mut decoder, &lines, usize::MAX), Vec::<Args>::new());
    assert_eq!(decoder.buffered(), 0);
    assert!(decoder.capacity() <= READ_ROOM_MAX + 1024, "{}", decoder.capacity());
    assert_eq!(feed(&mut decoder, b"PING\r\n", 1).len(), 1);
}

#[test]
fn the_room_follows_the_traffic() {
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    assert_eq!(decoder.read_buf().capacity(), READ_ROOM);
    let burst = b"PING\r\n".repeat(100_000);
    feed(&mut decoder, &burst, usize::MAX);
    assert!(decoder.read_buf().capacity() >= READ_ROOM_MAX / 2);
    for _ in 0..crate::limits::SHRINK_AFTER + 1 {
        feed(&mut decoder, b"PING\r\n", usize::MAX);
    }
    assert_eq!(decoder.read_buf().capacity(), READ_ROOM);
    feed(&mut decoder, &burst, usize::MAX);
    decoder.shrink();
    assert_eq!(decoder.capacity(), 0);
}

#[test]
fn the_batch_stays_while_more_is_read() {
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    decoder.read_buf().extend_from_slice(b"GET a\r\nGET b\r\nGE");
    assert_eq!(decoder.parse(2), 2);
    let more = vec![b'x'; 200_000];
    decoder.read_buf().extend_from_slice(&more);
    assert_eq!(args(decoder.request(1)), [b"GET", &b"b"[..]]);
    assert_eq!(decoder.buffered(), 200_002);
    assert_eq!(decoder.request(0).get(2), None);
}

/// Feeds `bytes`, and has the rest of every command thrown away that is called `no` and is not
/// complete after a read.
fn feed_denying(decoder: &mut Decoder, mut bytes: &[u8], step: usize) -> Vec<(Args, bool)> {
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let buffer = decoder.read_buf();
        let taken = (buffer.capacity() - buffer.len()).min(step).min(bytes.len());
        buffer.extend_from_slice(&bytes[..taken]);
        bytes = &bytes[taken..];
        while decoder.parse(3) > 0 {
            let skipped = decoder.skipped();
            assert!(skipped.is_none_or(|at| at + 1 == decoder.len()));
            for i in 0..decoder.len() {
                commands.push((args(decoder.request(i)), skipped == Some(i)));
            }
            decoder.clear();
        }
        let denied = |request: Request<'_>| match request.value(0) {
            ArgValue::Slice(name) => name == b"no",
            ArgValue::Chunks { .. } => false,
        };
        if decoder.arriving().is_some_and(denied) {
            decoder.skip_rest();
            assert!(decoder.arriving().is_none());
        }
        assert!(decoder.buffered() <= 4 * READ_ROOM_MAX, "{}", decoder.buffered());
    }
    commands
}

#[test]
fn the_rest_of_a_command_can_be_thrown_away() {
    let big = vec![b'x'; 3 * CHUNK + 7];
    let small = [b'y'; 100];
    let many: Vec<&[u8]> = std::iter::once(&b"no"[..]).chain(vec![&small[..]; 20_000]).collect();
    let lines: Vec<Vec<&[u8]>> = vec![
        vec![b"yes", b"a"],
        vec![b"no", b"a", &big, b"b"],
        vec![b"yes", &big, b"c"],
        vec![b"no", &big],
        vec![b"no", &[b'z'; CHUNK], b""],
        many,
        vec![b"no"],
        vec![b"yes"],
    ];
    let wire: Vec<u8> = lines.iter().flat_map(|line| multibulk(line)).collect();
    for step in [1, 7, 1000, READ_ROOM, READ_ROOM_MAX] {
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        let got = feed_denying(&mut decoder, &wire, step);
        assert_eq!(decoder.error(), None);
        assert_eq!(got.len(), lines.len(), "step {step}");
        for ((got, skipped), sent) in got.iter().zip(&lines) {
            if *skipped {
                assert!(sent[0] == b"no" && got.len() < sent.len());
                assert!(got.iter().zip(sent).all(|(got, sent)| got == sent));
            } else {
                assert_eq!(got, sent);
            }
        }
        assert!(got[3].1 && got[5].1, "step {step}: they do not fit one read");
        assert!(!decoder.is_mid_command());
    }
}

#[test]
fn what_is_thrown_away_has_to_be_well_formed() {
    for (rest, error) in [
        (&b"$3\r\nabc\r\n:1\r\n"[..], "ERR Protocol error: expected '$', got ':'"),
        (b"$3\r\nabc\r\n$x\r\n", "ERR Protocol error: invalid bulk length"),
    ] {
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        let wire = [b"*9\r\n$2\r\nno\r\n", rest].concat();
        assert_eq!(feed_denying(&mut decoder, &wire, 16), []);
        assert_eq!(decoder.error().map(|e| e.to_string()).as_deref(), Some(error));
    }
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    decoder.skip_rest();
    decoder.read_buf().extend_from_slice(b"PING\r\n");
    assert_eq!((decoder.parse(1), decoder.skipped()), (1, None), "there was nothing to skip");
}

#[test]
fn the_chunks_of_a_big_argument_may_be_read_one_after_the_other() {
    for len in [BIG_BULK, 2 * CHUNK - 1, 2 * CHUNK, 5 * CHUNK + 7, 9 * CHUNK] {
        let big: Vec<u8> = (0..=250).cycle().take(len).collect();
        let wire = [multibulk(&[b"SET", b"k", &big]), multibulk(&[b"GET", b"k"])].concat();
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        let (mut rest, mut got, mut in_a_row) = (&wire[..], Vec::new(), 0);
        while !rest.is_empty() {
            let room = decoder.read_buf();
            let n = rest.len().min(room.capacity() - room.len());
            room.extend_from_slice(&rest[..n]);
            rest = &rest[n..];
            if decoder.begin_next_chunk() {
                in_a_row += 1;
                continue;
            }
            let count = decoder.parse(16);
            got.extend((0..count).map(|i| args(decoder.request(i))));
            decoder.clear();
        }
        assert_eq!(decoder.error(), None);
        assert!(
            got == [
                vec![b"SET".to_vec(), b"k".to_vec(), big],
                vec![b"GET".to_vec(), b"k".to_vec()]
            ]
        );
        assert!(in_a_row >= (len / CHUNK).saturating_sub(2), "{in_a_row} of {len} bytes");
    }
}
