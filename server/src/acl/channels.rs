//! Which channels a selector allows.

use super::rule::{RuleError, has_space, is};
use crate::glob;

/// The channels a selector allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Channels {
    all: bool,
    patterns: Vec<Vec<u8>>,
}

impl Channels {
    /// All channels or none.
    pub(super) fn new(all: bool) -> Channels {
        Channels { all, patterns: Vec::new() }
    }

    /// Whether every channel is allowed.
    pub(super) fn is_all(&self) -> bool {
        self.all
    }

    /// Takes a rule that begins with `&`.
    pub(super) fn add(&mut self, word: &[u8]) -> Result<(), RuleError> {
        if is(word, "&*") {
            *self = Channels::new(true);
            return Ok(());
        }
        if self.all {
            return Err(RuleError::ChannelAfterAll);
        }
        let pattern = &word[1..];
        if has_space(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.patterns.iter().any(|known| known == pattern) {
            self.patterns.push(pattern.to_vec());
        }
        Ok(())
    }

    /// Whether `channel` may be used. A pattern to subscribe to must be one of the rules' own, letter
    /// by letter: what it could match cannot be compared.
    pub(super) fn allow(&self, channel: &[u8], is_pattern: bool) -> bool {
        let allows = |pattern: &Vec<u8>| match is_pattern {
            true => pattern == channel,
            false => glob::matches(pattern, channel),
        };
        self.all || self.patterns.iter().any(allows)
    }

    /// Appends the rules, with blanks between them.
    pub(super) fn describe(&self, out: &mut Vec<u8>) {
        if self.all {
            out.extend_from_slice(b"&*");
        }
        for (i, pattern) in self.patterns.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b" &" } else { b"&" });
            out.extend_from_slice(pattern);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_match_and_patterns_are_compared() {
        let mut channels = Channels::new(false);
        assert_eq!(channels.add(b"&news:*"), Ok(()));
        assert_eq!(channels.add(b"&a b"), Err(RuleError::Syntax));
        assert!(channels.allow(b"news:1", false) && !channels.allow(b"old", false));
        assert!(channels.allow(b"news:*", true) && !channels.allow(b"news:1", true));
        let mut out = Vec::new();
        assert_eq!(channels.add(b"&x"), Ok(()));
        assert_eq!(channels.add(b"&x"), Ok(()));
        channels.describe(&mut out);
        assert_eq!(out, b"&news:* &x");
        assert_eq!(channels.add(b"&*"), Ok(()));
        assert_eq!(channels.add(b"&x"), Err(RuleError::ChannelAfterAll));
        assert!(channels.allow(b"old", true));
    }
}
