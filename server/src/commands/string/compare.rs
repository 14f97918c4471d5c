//! Comparing with what is stored: the conditions of SET and DELEX, DELIFEQ, DIGEST.
//!
//! A digest is the XXH3 hash of 64 bits of a string, written as 16 hexadecimal digits; a client
//! can compute it and so compare without sending the value.

use super::docs::{KEY, ONLY_KEY};
use crate::commands::call::{Call, string_of};
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX, wrong_arity};
use crate::commands::expiry::contiguous;
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use dunlin_protocol::ArgValue;
use dunlin_storage::Str;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Digits of a digest.
const DIGEST_LEN: usize = 16;

/// On what SET depends. Comparisons hold the argument they compare with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// NX: the key must be missing.
    Missing,
    /// XX: the key must exist.
    Exists,
    /// IFEQ, IFDEQ: the string (or its digest) must be this. A missing key never is.
    Equal(Compare, usize),
    /// IFNE, IFDNE: the string (or its digest) must not be this. A missing key never is.
    NotEqual(Compare, usize),
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    /// The string.
    Value,
    /// Its digest.
    Digest,
}

impl Condition {
    /// Takes the option `word` at argument `i` of `argc`. Returns the number of arguments used,
    /// 0 if it is no condition. Conditions exclude each other; NX and XX may be repeated.
    pub(super) fn take(&mut self, word: &[u8], i: usize, argc: usize) -> Result<usize, ReplyError> {
        let condition = match word {
            _ if word.eq_ignore_ascii_case(b"NX") => Condition::Missing,
            _ if word.eq_ignore_ascii_case(b"XX") => Condition::Exists,
            _ => match Condition::comparison(word, i + 1) {
                Some(condition) => condition,
                None => return Ok(0),
            },
        };
        let used = if condition.compares() { 2 } else { 1 };
        if i + used > argc || (*self != Condition::Always && *self != condition) {
            return Err(SYNTAX);
        }
        *self = condition;
        Ok(used)
    }

    /// The comparison called `word`, with argument `with`.
    fn comparison(word: &[u8], with: usize) -> Option<Condition> {
        Some(match word {
            _ if word.eq_ignore_ascii_case(b"IFEQ") => Condition::Equal(Compare::Value, with),
            _ if word.eq_ignore_ascii_case(b"IFNE") => Condition::NotEqual(Compare::Value, with),
            _ if word.eq_ignore_ascii_case(b"IFDEQ") => Condition::Equal(Compare::Digest, with),
            _ if word.eq_ignore_ascii_case(b"IFDNE") => Condition::NotEqual(Compare::Digest, with),
            _ => return None,
        })
    }

    /// Whether the old string is needed.
    pub(super) fn compares(self) -> bool {
        matches!(self, Condition::Equal(..) | Condition::NotEqual(..))
    }

    /// Whether the condition is met; `old` is the string at the key if [`Condition::compares`].
    pub(super) fn met(
        self,
        call: &Call<'_, '_>,
        exists: bool,
        old: Option<Str<'_>>,
    ) -> Result<bool, ReplyError> {
        Ok(match self {
            Condition::Always => true,
            Condition::Missing => !exists,
            Condition::Exists => exists,
            Condition::Equal(what, with) => match old {
                Some(old) => what.equal(call, old, with)?,
                None => false,
            },
            Condition::NotEqual(what, with) => match old {
                Some(old) => !what.equal(call, old, with)?,
                None => true,
            },
        })
    }
}

impl Compare {
    fn equal(self, call: &Call<'_, '_>, old: Str<'_>, with: usize) -> Result<bool, ReplyError> {
        match self {
            Compare::Value => Ok(equals(old, call.value_arg(with))),
            Compare::Digest => {
                let given = contiguous(call, with);
                if given.len() != DIGEST_LEN {
                    return Err("ERR must be exactly 16 hexadecimal characters".into());
                }
                Ok(given.eq_ignore_ascii_case(digest_text(old).as_bytes()))
            }
        }
    }
}

/// Whether `value` is the argument `arg`.
fn equals(value: Str<'_>, arg: ArgValue<'_>) -> bool {
    match arg {
        ArgValue::Slice(bytes) => value.eq_bytes(bytes),
        ArgValue::Chunks { len, chunks } => {
            let mut from = 0;
            value.len() == len
                && chunks.iter().all(|chunk| {
                    let mut rest = &chunk[..];
                    let same = value.range(from, from + chunk.len()).all(|part| {
                        let head;
                        (head, rest) = rest.split_at(part.len().min(rest.len()));
                        head == part
                    });
                    from += chunk.len();
                    same && rest.is_empty()
                })
        }
    }
}

/// The digest of a string.
fn digest_text(value: Str<'_>) -> String {
    let hash = match value {
        Str::Inline { bytes, .. } => xxh3_64(bytes),
        Str::Rope(rope) => {
            let mut hasher = Xxh3::new();
            rope.chunks().for_each(|chunk| hasher.update(chunk));
            hasher.digest()
        }
    };
    format!("{hash:016x}")
}

pub(super) const DIGEST: Command = Command::new("digest", Arity::exactly(2), digest)
    .flags(flag_set!(READONLY | FAST))
    .keys(&[KeySpec::one(1).read()])
    .grows_from(0)
    .docs(
        Docs::new(
            Group::String,
            "8.4.0",
            "O(N) where N is the length of the string.",
            "Replies the XXH3 hash of a string as 16 hexadecimal digits.",
        )
        .args(ONLY_KEY),
    );

fn digest(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    match call.lookup_str(&key)? {
        Some(value) => call.reply.bulk(digest_text(value).as_bytes()),
        None => call.reply.null(),
    }
    Ok(Outcome::Done)
}

pub(super) const DELEX: Command = Command::new("delex", Arity::at_least(2), delex)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::DELETE).with(KeyFlags::VARIABLE)])
    .grows_from(3)
    .docs(
        Docs::new(
            Group::String,
            "8.4.0",
            "O(1) for IFEQ and IFNE, O(N) for IFDEQ and IFDNE where N is the length of the string.",
            "Removes a key; if asked, only when its string or the digest of it compares as said.",
        )
        .args(&[
            KEY,
            Arg::one_of(
                "condition",
                &[
                    Arg::string("ifeq-value").token("IFEQ"),
                    Arg::string("ifne-value").token("IFNE"),
                    Arg::string("ifdeq-digest").token("IFDEQ"),
                    Arg::string("ifdne-digest").token("IFDNE"),
                ],
            )
            .optional(),
        ]),
    );

fn delex(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.argc() != 2 && call.argc() != 4 {
        return Err(wrong_arity("delex"));
    }
    let key = call.key(1);
    let Some(entry) = call.find(&key) else {
        call.reply.int(0);
        return Ok(Outcome::Done);
    };
    let mut met = true;
    if call.argc() == 4 {
        let Ok(value) = string_of(&entry) else {
            return Err("ERR Key should be of string type if conditions are specified".into());
        };
        let Some(condition) = Condition::comparison(call.arg(2), 3) else {
            return Err("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE".into());
        };
        met = condition.met(call, true, Some(value))?;
    }
    if met {
        call.remove(&key);
    }
    call.reply.int(i64::from(met));
    Ok(Outcome::Done)
}

pub(super) const DELIFEQ: Command = Command::new("delifeq", Arity::exactly(3), delifeq)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).with(KeyFlags::RM).with(KeyFlags::ACCESS).with(KeyFlags::DELETE)])
    .docs(
        Docs::new(
            Group::String,
            "9.0.0",
            "O(1)",
            "Removes a key if its string is the given one (Valkey's form of DELEX with IFEQ).",
        )
        .args(&[KEY, Arg::string("value")]),
    );

fn delifeq(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let value = match call.find(&key) {
        Some(entry) => Some(string_of(&entry)?),
        None => None,
    };
    let equal = value.is_some_and(|value| value.eq_bytes(call.arg(2)));
    if equal {
        call.remove(&key);
    }
    call.reply.int(i64::from(equal));
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use dunlin_storage::Rope;

    fn inline(bytes: &[u8]) -> Str<'_> {
        Str::Inline { bytes, raw: false }
    }

    #[test]
    fn digests_are_xxh3_with_leading_zeros() {
        // The second is the example of redis#14496.
        assert_eq!(digest_text(inline(b"")), "2d06800538d394c2");
        let text = b"v8lf0c11xh8ymlqztfd3eeq16kfn4sspw7fqmnuuq3k3t75em5wdizgcdw7uc26nnf961u2jkfzk\
                     jytls2kwlj7626sd";
        assert_eq!(digest_text(inline(text)), "00006c38adf31777");
        let big: Vec<u8> = (0..100_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let rope = Rope::from_bytes(&big);
        assert_eq!(digest_text(Str::Rope(&rope)), digest_text(inline(&big)));
    }

    #[test]
    fn chunked_arguments_compare_as_their_bytes() {
        let big: Vec<u8> = (0..100_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let rope = Rope::from_bytes(&big);
        let chunks: Vec<Bytes> = big.chunks(32 * 1024).map(Bytes::copy_from_slice).collect();
        let same = ArgValue::Chunks { len: big.len(), chunks: &chunks };
        assert!(equals(Str::Rope(&rope), same));
        assert!(equals(inline(&big), same));
        let other = rope.write_at(70_000, b"x");
        assert!(!equals(Str::Rope(&other), same));
        assert!(!equals(inline(b"x"), same));
    }

    #[test]
    fn conditions_exclude_each_other() {
        let take = |words: &[&[u8]]| {
            let mut condition = Condition::default();
            let mut i = 0;
            while i < words.len() {
                i += condition.take(words[i], i, words.len())?.max(1);
            }
            Ok::<_, ReplyError>(condition)
        };
        assert_eq!(take(&[b"nx", b"NX"]), Ok(Condition::Missing));
        assert_eq!(take(&[b"nx", b"xx"]), Err(SYNTAX));
        assert_eq!(take(&[b"ifdne", b"v"]), Ok(Condition::NotEqual(Compare::Digest, 1)));
        assert_eq!(take(&[b"ifeq", b"v", b"xx"]), Err(SYNTAX));
        assert_eq!(take(&[b"ifeq", b"v", b"ifeq", b"v"]), Err(SYNTAX));
        assert_eq!(take(&[b"ifeq"]), Err(SYNTAX));
        assert_eq!(take(&[b"foo"]), Ok(Condition::Always));
    }
}
