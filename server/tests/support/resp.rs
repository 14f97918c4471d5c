//! A strict decoder of replies, RESP2 and RESP3, written for the tests alone.
//!
//! It keeps the exact type that came over the wire: `$-1`, `*-1` and `_` are three values, a double
//! keeps its text. Anything that is not canonical RESP is an error.

use std::fmt;

/// One reply, as it was on the wire.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `+OK`
    Simple(Vec<u8>),
    /// `-ERR text`
    Error(Vec<u8>),
    /// `:1`
    Int(i64),
    /// `$3 abc`
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    /// `*n`
    Array(Vec<Value>),
    /// `%n`
    Map(Vec<(Value, Value)>),
    /// `~n`
    Set(Vec<Value>),
    /// `>n`
    Push(Vec<Value>),
    /// `,1.5`: the text
    Double(Vec<u8>),
    /// `#t`
    Bool(bool),
    /// `=n`: format, text
    Verbatim([u8; 3], Vec<u8>),
    /// `(123`
    BigNumber(Vec<u8>),
}

/// Deepest nesting the decoder follows.
const MAX_DEPTH: usize = 16;
/// The error of what is nested deeper.
pub const TOO_DEEP: &str = "nested too deep";

/// What the bytes seen so far amount to.
pub enum Decoded {
    /// a whole value and the number of bytes it took
    Value(Value, usize),
    /// more bytes are needed
    Partial,
}

/// Decodes one value from the front of `data`.
pub fn decode(data: &[u8]) -> Result<Decoded, String> {
    let mut cursor = Cursor { data, at: 0 };
    match cursor.value(0) {
        Ok(value) => Ok(Decoded::Value(value, cursor.at)),
        Err(Stop::Partial) => Ok(Decoded::Partial),
        Err(Stop::Bad(text)) => Err(text),
    }
}

enum Stop {
    Partial,
    Bad(String),
}

struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.data[self.at..];
        let Some(end) = rest.iter().position(|&b| b == b'\r' || b == b'\n') else {
            return Err(Stop::Partial);
        };
        if rest[end] == b'\n' {
            return Err(bad("line feed without carriage return", rest));
        }
        match rest.get(end + 1) {
            None => Err(Stop::Partial),
            Some(b'\n') => {
                self.at += end + 2;
                Ok(&rest[..end])
            }
            Some(_) => Err(bad("carriage return without line feed", rest)),
        }
    }

    fn number(&mut self) -> Result<i64, Stop> {
        let line = self.line()?;
        let text = std::str::from_utf8(line).map_err(|_| bad("number", line))?;
        let number: i64 = text.parse().map_err(|_| bad("number", line))?;
        if number.to_string() == text { Ok(number) } else { Err(bad("canonical number", line)) }
    }

    fn length(&mut self) -> Result<Option<usize>, Stop> {
        match self.number()? {
            -1 => Ok(None),
            n => usize::try_from(n).map(Some).map_err(|_| Stop::Bad(format!("length {n}"))),
        }
    }

    fn body(&mut self, n: usize) -> Result<&'a [u8], Stop> {
        let rest = &self.data[self.at..];
        if rest.len() < n + 2 {
            return Err(Stop::Partial);
        }
        if &rest[n..n + 2] != b"\r\n" {
            return Err(bad("end of bulk", &rest[n..]));
        }
        self.at += n + 2;
        Ok(&rest[..n])
    }

    fn items(&mut self, n: usize, depth: usize) -> Result<Vec<Value>, Stop> {
        if depth >= MAX_DEPTH {
            return Err(Stop::Bad(TOO_DEEP.into()));
        }
        let mut out = Vec::with_capacity(n.min(1024));
        for _ in 0..n {
            out.push(self.value(depth + 1)?);
        }
        Ok(out)
    }

    fn count(&mut self) -> Result<usize, Stop> {
        self.length()?.ok_or_else(|| Stop::Bad("null count".into()))
    }

    fn value(&mut self, depth: usize) -> Result<Value, Stop> {
        let Some(&kind) = self.data.get(self.at) else {
            return Err(Stop::Partial);
        };
        self.at += 1;
        Ok(match kind {
            b'+' => Value::Simple(self.line()?.to_vec()),
            b'-' => Value::Error(self.line()?.to_vec()),
            b':' => Value::Int(self.number()?),
            b'(' => Value::BigNumber(self.line()?.to_vec()),
            b',' => Value::Double(self.line()?.to_vec()),
            b'_' if self.line()?.is_empty() => Value::Null,
            b'#' => match self.line()? {
                b"t" => Value::Bool(true),
                b"f" => Value::Bool(false),
                other => return Err(bad("boolean", other)),
            },
            b'$' => match self.length()? {
                None => Value::NullBulk,
                Some(n) => Value::Bulk(self.body(n)?.to_vec()),
            },
            b'=' => {
                let n = self.count()?;
                let body = self.body(n)?;
                match body {
                    [a, b, c, b':', text @ ..] => Value::Verbatim([*a, *b, *c], text.to_vec()),
                    _ => return Err(bad("verbatim", body)),
                }
            }
            b'*' => match self.length()? {
                None => Value::NullArray,
                Some(n) => Value::Array(self.items(n, depth)?),
            },
            b'~' => {
                let n = self.count()?;
                Value::Set(self.items(n, depth)?)
            }
            b'>' => {
                let n = self.count()?;
                Value::Push(self.items(n, depth)?)
            }
            b'%' => {
                let n = self.count()?;
                let flat = self.items(n * 2, depth)?;
                let mut pairs = Vec::with_capacity(n);
                let mut flat = flat.into_iter();
                while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                    pairs.push((key, value));
                }
                Value::Map(pairs)
            }
            _ => return Err(bad("type", &self.data[self.at - 1..])),
        })
    }
}

fn bad(what: &str, bytes: &[u8]) -> Stop {
    Stop::Bad(format!("bad {what}: {}", show(bytes)))
}

/// Bytes as readable text, cut at 120 characters.
pub fn show(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(120)];
    let more = bytes.len() - cut.len();
    let text = cut.escape_ascii();
    if more > 0 { format!("\"{text}\"+{more}") } else { format!("\"{text}\"") }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Simple(s) => write!(f, "+{}", show(s)),
            Value::Error(s) => write!(f, "-{}", show_all(s)),
            Value::Int(n) => write!(f, ":{n}"),
            Value::Bulk(s) => write!(f, "${}", show(s)),
            Value::NullBulk => write!(f, "$-1"),
            Value::NullArray => write!(f, "*-1"),
            Value::Null => write!(f, "_"),
            Value::Array(items) => list(f, "*", items),
            Value::Set(items) => list(f, "~", items),
            Value::Push(items) => list(f, ">", items),
            Value::Map(pairs) => {
                f.write_str("%")?;
                f.debug_map().entries(pairs.iter().map(|(k, v)| (k, v))).finish()
            }
            Value::Double(s) => write!(f, ",{}", show(s)),
            Value::Bool(b) => write!(f, "#{b}"),
            Value::Verbatim(kind, s) => write!(f, "={}:{}", show(kind), show(s)),
            Value::BigNumber(s) => write!(f, "({}", show(s)),
        }
    }
}

fn show_all(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

fn list(f: &mut fmt::Formatter<'_>, sign: &str, items: &[Value]) -> fmt::Result {
    f.write_str(sign)?;
    f.debug_list().entries(items).finish()
}

impl Value {
    /// `+OK`
    pub fn ok() -> Value {
        Value::Simple(b"OK".to_vec())
    }

    /// A bulk string.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Value {
        Value::Bulk(bytes.as_ref().to_vec())
    }

    /// An error.
    pub fn error(text: &str) -> Value {
        Value::Error(text.as_bytes().to_vec())
    }

    /// The text of an error, lossy.
    pub fn error_text(&self) -> Option<String> {
        match self {
            Value::Error(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        }
    }

    /// The bytes of a string of any kind.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(s) | Value::Bulk(s) | Value::Verbatim(_, s) => Some(s),
            _ => None,
        }
    }

    /// A string of any kind as text.
    pub fn text(&self) -> String {
        match self.bytes() {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => panic!("not a string: {self:?}"),
        }
    }

    /// An integer.
    pub fn int(&self) -> i64 {
        match self {
            Value::Int(n) => *n,
            other => panic!("not an integer: {other:?}"),
        }
    }

    /// The items of an array, set, push or map (keys and values in turn).
    pub fn items(&self) -> Vec<Value> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items.clone(),
            Value::Map(pairs) => pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()]).collect(),
            other => panic!("not a list: {other:?}"),
        }
    }

    /// One of the three nulls.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::NullBulk | Value::NullArray | Value::Null)
    }

    /// An error reply.
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }
}

#[test]
fn the_decoder_keeps_exact_types_and_rejects_sloppy_bytes() {
    let mut wire = b"*-1\r\n$-1\r\n_\r\n%1\r\n+a\r\n,1.5\r\n".to_vec();
    let mut seen = Vec::new();
    while !wire.is_empty() {
        let Ok(Decoded::Value(value, used)) = decode(&wire) else { panic!("{}", show(&wire)) };
        seen.push(value);
        wire.drain(..used);
    }
    let map = Value::Map(vec![(Value::Simple(b"a".to_vec()), Value::Double(b"1.5".to_vec()))]);
    assert_eq!(seen, [Value::NullArray, Value::NullBulk, Value::Null, map]);
    for sloppy in ["+a\n", ":01\r\n", "$2\r\nabc\r\n", "?\r\n", "#x\r\n", "$-2\r\n"] {
        assert!(decode(sloppy.as_bytes()).is_err(), "{sloppy:?}");
    }
    assert!(matches!(decode(b"$5\r\nab"), Ok(Decoded::Partial)));
}
