//! The patterns of BY and GET.
//!
//! ```text
//! weight_*          the string at the key with the element in the place of the first '*'
//! user_*->name      the field `name` of the hash at that key
//! #                 the element itself (GET)
//! nosort            without '*': nothing; elements stay in their order (BY)
//! ```

use crate::commands::collection::Reader;
use crate::commands::error::ReplyError;
use dunlin_storage::value::hash::Hash;
use dunlin_storage::{Kind, Str, Value};
use std::borrow::Cow;

/// A pattern, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern<'a> {
    /// `#`
    Element,
    /// One without `*`.
    Constant,
    /// A key made of an element.
    Key {
        before: &'a [u8],
        after: &'a [u8],
        /// Of the hash at the key.
        field: Option<&'a [u8]>,
    },
}

/// What is at a key.
pub(super) enum Found<'r, 'g> {
    Str(Str<'g>),
    Bytes(Cow<'r, [u8]>),
}

impl<'r> Found<'r, '_> {
    pub(super) fn to_cow(&self) -> Cow<'_, [u8]> {
        match self {
            Found::Str(string) => string.to_cow(),
            Found::Bytes(bytes) => Cow::Borrowed(bytes),
        }
    }

    /// The bytes, without a copy of what is in one piece.
    pub(super) fn into_cow<'g: 'r>(self) -> Cow<'r, [u8]>
    where
        Self: 'g,
    {
        match self {
            Found::Str(string) => string.to_cow(),
            Found::Bytes(bytes) => bytes,
        }
    }
}

impl<'a> Pattern<'a> {
    /// Takes a pattern apart. As C reads it, it has no `*` and no arrow behind a NUL.
    pub(super) fn new(text: &'a [u8]) -> Self {
        if text == b"#" {
            return Pattern::Element;
        }
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        let Some(star) = text[..end].iter().position(|byte| *byte == b'*') else {
            return Pattern::Constant;
        };
        let (before, after) = (&text[..star], &text[star + 1..]);
        let arrow = text[star + 1..end].windows(2).position(|pair| pair == b"->");
        // An arrow at the end (or before a NUL) is a part of the key.
        match arrow.filter(|arrow| star + 1 + arrow + 2 < end) {
            Some(arrow) => {
                Pattern::Key { before, after: &after[..arrow], field: Some(&after[arrow + 2..]) }
            }
            None => Pattern::Key { before, after, field: None },
        }
    }

    /// Whether it stands for the element.
    pub(super) fn is_element(self) -> bool {
        self == Pattern::Element
    }

    /// Whether it is the same for all elements (so that there is no order by it).
    pub(super) fn is_constant(self) -> bool {
        !matches!(self, Pattern::Key { .. })
    }

    /// The value for an element, if there is one of the right type.
    pub(super) fn lookup<'r, 'g: 'r>(
        self,
        reader: &Reader<'r, 'g>,
        element: &[u8],
    ) -> Result<Option<Found<'r, 'g>>, ReplyError> {
        let Pattern::Key { before, after, field } = self else { return Ok(None) };
        let name = [before, element, after].concat();
        let Some(entry) = reader.entry(&reader.key(&name)) else { return Ok(None) };
        let hash = match (entry.value(), field) {
            (Value::Str(string), None) => return Ok(Some(Found::Str(string))),
            (Value::Packed(packed), Some(_)) => packed.hash(),
            (Value::Large(Kind::Hash), Some(_)) => reader.object(&entry)?.as_hash().map(Hash::view),
            _ => None,
        };
        let value = hash.zip(field).and_then(|(hash, field)| hash.get(field, reader.now()));
        Ok(value.map(|value| Found::Bytes(super::order::text(value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_as_redis_reads_them() {
        let key = |before, after, field| Pattern::Key { before, after, field };
        for (text, wanted) in [
            (&b"#"[..], Pattern::Element),
            (b"nosort", Pattern::Constant),
            (b"", Pattern::Constant),
            (b"a\0*", Pattern::Constant),
            (b"w_*", key(b"w_", b"", None)),
            (b"*_w*", key(b"", b"_w*", None)),
            (b"u*->f", key(b"u", b"", Some(b"f"))),
            (b"u*x->f->g", key(b"u", b"x", Some(b"f->g"))),
            (b"a->*", key(b"a->", b"", None)),
            (b"u*->", key(b"u", b"->", None)),
            (b"u*->\0x", key(b"u", b"->\0x", None)),
            (b"u*->f\0x", key(b"u", b"", Some(b"f\0x"))),
            (b"#*", key(b"#", b"", None)),
        ] {
            assert_eq!(Pattern::new(text), wanted, "{:?}", String::from_utf8_lossy(text));
        }
    }
}
