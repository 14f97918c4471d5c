//! JSON to Lua, without recursion: the input decides how deep it nests.

use super::number::leading_number;
use super::{HARD_DEPTH, Settings, one, only_one};
use crate::scripting::engine::raise::{fault, string_of, wrong_type};
use mlua::{Lua, LuaString, MultiValue, Table, Value};

pub(super) fn decode(
    lua: &Lua,
    settings: &Settings,
    args: &MultiValue,
) -> mlua::Result<MultiValue> {
    let value = only_one(lua, args)?;
    let Some(text) = string_of(lua, &value) else {
        return Err(wrong_type(lua, 1, "string", Some(&value)));
    };
    let text = text.as_bytes();
    if matches!(*text, [0, _, ..] | [_, 0, ..]) {
        return Err(fault(lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut parser = Parser { lua, settings, text: &text, at: 0 };
    parser.document().map(one)
}

/// What the text is made of.
#[derive(Debug)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Colon,
    Comma,
    End,
    Value(Value),
    Wrong(&'static str),
}

impl Token {
    /// As the original calls it in errors.
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Value(Value::String(_)) => "T_STRING",
            Token::Value(Value::Number(_)) => "T_NUMBER",
            Token::Value(Value::Boolean(_)) => "T_BOOLEAN",
            Token::Value(_) => "T_NULL",
            Token::Wrong(why) => why,
        }
    }
}

/// A table that is being read.
enum Open {
    Array { table: Table, next: usize },
    Object { table: Table, key: LuaString },
}

struct Parser<'l, 't> {
    lua: &'l Lua,
    settings: &'l Settings,
    text: &'t [u8],
    at: usize,
}

impl Parser<'_, '_> {
    fn document(&mut self) -> mlua::Result<Value> {
        let mut open: Vec<Open> = Vec::new();
        let mut next = self.token()?;
        loop {
            let value = match next {
                (Token::Value(value), _) => value,
                (token @ (Token::ArrayBegin | Token::ObjectBegin), _) => {
                    self.descend(open.len())?;
                    match self.begin(matches!(token, Token::ArrayBegin))? {
                        Begun::Empty(table) => Value::Table(table),
                        Begun::Open(table, first) => {
                            open.push(table);
                            next = first;
                            continue;
                        }
                    }
                }
                (other, place) => return Err(self.unexpected("value", &other, place)),
            };
            match self.store(value, &mut open)? {
                Stored::More(token) => next = token,
                Stored::All(value) => return self.finish(value),
            }
        }
    }

    /// Puts a value where it belongs. It may complete the table it is in, which is then a value of
    /// the next one.
    fn store(&mut self, value: Value, open: &mut Vec<Open>) -> mlua::Result<Stored> {
        let mut value = value;
        while let Some(top) = open.pop() {
            match self.put(top, value)? {
                Put::Complete(table) => value = Value::Table(table),
                Put::More(table, token) => {
                    open.push(table);
                    return Ok(Stored::More(token));
                }
            }
        }
        Ok(Stored::All(value))
    }

    fn finish(&mut self, value: Value) -> mlua::Result<Value> {
        match self.token()? {
            (Token::End, _) => Ok(value),
            (other, place) => Err(self.unexpected("the end", &other, place)),
        }
    }

    fn descend(&self, open: usize) -> mlua::Result<()> {
        let depth = i64::try_from(open).unwrap_or(i64::MAX).saturating_add(1);
        if depth > self.settings.decode_depth.get() || depth > HARD_DEPTH {
            let text = "Found too many nested data structures";
            return Err(fault(self.lua, format!("{text} ({depth}) at character {}", self.at)));
        }
        Ok(())
    }

    fn begin(&mut self, is_array: bool) -> mlua::Result<Begun> {
        let table = self.lua.create_table()?;
        let first = self.token()?;
        if is_array {
            return Ok(match first.0 {
                Token::ArrayEnd => Begun::Empty(table),
                _ => Begun::Open(Open::Array { table, next: 1 }, first),
            });
        }
        if matches!(first.0, Token::ObjectEnd) {
            return Ok(Begun::Empty(table));
        }
        let (open, value) = self.key(table, first)?;
        Ok(Begun::Open(open, value))
    }

    /// A key, its colon, and the first token of its value.
    fn key(&mut self, table: Table, token: Placed) -> mlua::Result<(Open, Placed)> {
        let key = match token {
            (Token::Value(Value::String(key)), _) => key,
            (other, place) => return Err(self.unexpected("object key string", &other, place)),
        };
        match self.token()? {
            (Token::Colon, _) => {}
            (other, place) => return Err(self.unexpected("colon", &other, place)),
        }
        Ok((Open::Object { table, key }, self.token()?))
    }

    /// Stores a value and reads on to the next one, or the end of the table.
    fn put(&mut self, open: Open, value: Value) -> mlua::Result<Put> {
        match open {
            Open::Array { table, next } => {
                table.raw_set(next, value)?;
                match self.token()? {
                    (Token::ArrayEnd, _) => Ok(Put::Complete(table)),
                    (Token::Comma, _) => {
                        Ok(Put::More(Open::Array { table, next: next + 1 }, self.token()?))
                    }
                    (other, place) => Err(self.unexpected("comma or array end", &other, place)),
                }
            }
            Open::Object { table, key } => {
                table.raw_set(key, value)?;
                match self.token()? {
                    (Token::ObjectEnd, _) => Ok(Put::Complete(table)),
                    (Token::Comma, _) => {
                        let token = self.token()?;
                        let (open, value) = self.key(table, token)?;
                        Ok(Put::More(open, value))
                    }
                    (other, place) => Err(self.unexpected("comma or object end", &other, place)),
                }
            }
        }
    }

    fn unexpected(&self, expected: &str, found: &Token, place: usize) -> mlua::Error {
        let (found, character) = (found.name(), place + 1);
        fault(self.lua, format!("Expected {expected} but found {found} at character {character}"))
    }

    /// The byte at a distance; a NUL past the end, as in C.
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn begins(&self, word: &str) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()))
    }

    fn token(&mut self) -> mlua::Result<Placed> {
        self.settings.limits.value()?;
        while matches!(self.peek(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let place = self.at;
        let simple = match self.peek(0) {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            0 => return Ok((Token::End, place)),
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => return Ok(self.number(place)),
            b't' | b'f' | b'n' | b'i' | b'I' | b'N' | b'+' => return Ok(self.word(place)),
            _ => return Ok((Token::Wrong("invalid token"), place)),
        };
        self.at += 1;
        Ok((simple, place))
    }

    fn word(&mut self, place: usize) -> Placed {
        let words = [
            ("true", Value::Boolean(true)),
            ("false", Value::Boolean(false)),
            ("null", Value::NULL),
        ];
        for (word, value) in words {
            if self.begins(word) {
                self.at += word.len();
                return (Token::Value(value), place);
            }
        }
        if self.settings.decode_invalid.get() && self.is_invalid_number() {
            return self.read_number(place);
        }
        (Token::Wrong("invalid token"), place)
    }

    fn number(&mut self, place: usize) -> Placed {
        if !self.settings.decode_invalid.get() && self.is_invalid_number() {
            return (Token::Wrong("invalid number"), place);
        }
        self.read_number(place)
    }

    fn read_number(&mut self, place: usize) -> Placed {
        match leading_number(self.text.get(self.at..).unwrap_or_default()) {
            (_, 0) => (Token::Wrong("invalid number"), place),
            (number, length) => {
                self.at += length;
                (Token::Value(Value::Number(number)), place)
            }
        }
    }

    /// Whether C would read a number here that JSON does not have.
    fn is_invalid_number(&self) -> bool {
        if self.peek(0) == b'+' {
            return true;
        }
        let skip = usize::from(self.peek(0) == b'-');
        let first = self.peek(skip);
        if first == b'0' {
            let second = self.peek(skip + 1);
            return second | 0x20 == b'x' || second.is_ascii_digit();
        }
        if first <= b'9' {
            return false;
        }
        let word: Vec<u8> = (0..3).map(|i| self.peek(skip + i).to_ascii_lowercase()).collect();
        word == b"inf" || word == b"nan"
    }

    fn string(&mut self) -> mlua::Result<Placed> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.iter().take_while(|b| !matches!(b, b'"' | b'\\' | 0)).count();
            text.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.peek(0) {
                b'"' => break,
                b'\\' => {
                    if let Err(why) = self.escape(&mut text) {
                        return Ok((Token::Wrong(why), self.at));
                    }
                }
                _ => return Ok((Token::Wrong("unexpected end of string"), self.at)),
            }
        }
        let place = self.at;
        self.at += 1;
        Ok((Token::Value(Value::String(self.lua.create_string(text)?)), place))
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), &'static str> {
        let plain = match self.peek(1) {
            escaped @ (b'"' | b'\\' | b'/') => escaped,
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'f' => 12,
            b'r' => 13,
            b'u' => return self.unicode(text).ok_or("invalid unicode escape code"),
            _ => return Err("invalid escape code"),
        };
        text.push(plain);
        self.at += 2;
        Ok(())
    }

    /// `\uXXXX`, or two of them for a character beyond 16 bits.
    fn unicode(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let mut point = self.hex4(2)?;
        let mut length = 6;
        if point & 0xF800 == 0xD800 {
            let pair = point & 0x400 == 0 && self.peek(6) == b'\\' && self.peek(7) == b'u';
            let low = self.hex4(8).filter(|low| pair && low & 0xFC00 == 0xDC00)?;
            point = (((point & 0x3FF) << 10) | (low & 0x3FF)) + 0x1_0000;
            length = 12;
        }
        let character = char::from_u32(point)?;
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += length;
        Some(())
    }

    fn hex4(&self, ahead: usize) -> Option<u32> {
        (0..4).try_fold(0, |n, i| {
            char::from(self.peek(ahead + i)).to_digit(16).map(|digit| n << 4 | digit)
        })
    }
}

/// A token and where it begins.
type Placed = (Token, usize);

enum Begun {
    Empty(Table),
    Open(Open, Placed),
}

enum Stored {
    More(Placed),
    All(Value),
}

enum Put {
    Complete(Table),
    More(Open, Placed),
}
