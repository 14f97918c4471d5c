//! Passwords of users: only their SHA-256 is kept, and it is compared in constant time.

use sha2::{Digest, Sha256};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// Bytes of a digest.
const DIGEST: usize = 32;

/// The digest of a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Password([u8; DIGEST]);

impl Password {
    /// The digest of a password in clear.
    pub(super) fn of(clear: &[u8]) -> Password {
        Password(Sha256::digest(clear).into())
    }

    /// Reads a digest: exactly 64 hexadecimal digits in lower case.
    pub(super) fn from_hex(text: &[u8]) -> Option<Password> {
        let (pairs, []) = text.as_chunks::<2>() else { return None };
        let mut digest = [0; DIGEST];
        if pairs.len() != DIGEST {
            return None;
        }
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Password(digest))
    }

    /// The digest in hexadecimal.
    pub(super) fn hex(&self) -> String {
        hex(&self.0)
    }

    /// Whether it is among `candidates`. All of them are looked at whole, so that the time tells
    /// neither which one it was nor how much of one was right.
    pub(super) fn is_among(&self, candidates: &[Password]) -> bool {
        let none = Choice::from(0);
        candidates.iter().fold(none, |found, candidate| found | candidate.0.ct_eq(&self.0)).into()
    }
}

/// Shows nothing: what is printed ends up in logs.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

/// `bytes` in hexadecimal, lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_read_as_they_are_printed() {
        assert_eq!(Password::of(b"abc").hex(), ABC);
        assert!(Password::from_hex(ABC.as_bytes()) == Some(Password::of(b"abc")));
        for bad in ["", "ba", &ABC[1..], &format!("{ABC}00"), &ABC.to_uppercase()] {
            assert!(Password::from_hex(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Password::from_hex(ABC.replace('b', "g").as_bytes()).is_none());
    }

    #[test]
    fn any_of_the_candidates_will_do() {
        let candidates = [Password::of(b"a"), Password::of(b"b")];
        assert!(Password::of(b"a").is_among(&candidates));
        assert!(Password::of(b"b").is_among(&candidates));
        assert!(!Password::of(b"c").is_among(&candidates));
        assert!(!Password::of(b"").is_among(&[]));
        assert_eq!(format!("{:?}", candidates[0]), "Password");
    }
}
