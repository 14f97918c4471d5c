//! A selector: commands, the keys they may be used on, and channels. A command is allowed if one of
//! a user's selectors allows all of it.

use super::channels::Channels;
use super::commands::Commands;
use super::keys::Keys;
use super::rule::{RuleError, is};
use crate::config::split_words;

/// One set of rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) commands: Commands,
    pub(super) keys: Keys,
    pub(super) channels: Channels,
}

impl Selector {
    /// A selector that allows nothing but, if `all_channels`, channels.
    pub(super) fn new(all_channels: bool) -> Selector {
        Selector {
            commands: Commands::new(false),
            keys: Keys::default(),
            channels: Channels::new(all_channels),
        }
    }

    /// A selector that allows everything.
    pub(super) fn everything() -> Selector {
        let mut keys = Keys::default();
        keys.set_all(true);
        Selector { commands: Commands::new(true), keys, channels: Channels::new(true) }
    }

    /// The selector of the rules in `text`, which has lost its parentheses. What looks like a
    /// selector in it is no rule of a selector, so there is no nesting.
    pub(super) fn parse(text: &[u8], all_channels: bool) -> Result<Selector, RuleError> {
        let mut selector = Selector::new(all_channels);
        for word in split_words(text).ok_or(RuleError::Syntax)? {
            // Redis takes such a pattern, writes it to its aclfile, and cannot read that: the selector
            // ends there.
            if word.ends_with(b")") {
                return Err(RuleError::Syntax);
            }
            selector.apply(&word)?;
        }
        Ok(selector)
    }

    /// Takes one rule.
    pub(super) fn apply(&mut self, word: &[u8]) -> Result<(), RuleError> {
        match word {
            [b'~' | b'%', ..] => return self.keys.add(word),
            [b'&', ..] => return self.channels.add(word),
            [b'+', name @ ..] => return self.commands.apply(true, name),
            [b'-', name @ ..] => return self.commands.apply(false, name),
            _ if is(word, "allkeys") => self.keys.set_all(true),
            _ if is(word, "resetkeys") => self.keys.set_all(false),
            _ if is(word, "allchannels") => self.channels = Channels::new(true),
            _ if is(word, "resetchannels") => self.channels = Channels::new(false),
            _ if is(word, "allcommands") => self.commands = Commands::new(true),
            _ if is(word, "nocommands") => self.commands = Commands::new(false),
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    /// Whether it allows everything.
    pub(super) fn is_all(&self) -> bool {
        self.keys.is_all() && self.channels.is_all() && self.commands.is_all()
    }

    /// Appends the rules that make this selector of a new one.
    pub(super) fn describe(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.keys.describe(out);
        if out.len() > start {
            out.push(b' ');
        }
        if !self.channels.is_all() {
            out.extend_from_slice(b"resetchannels ");
        }
        let start = out.len();
        self.channels.describe(out);
        if out.len() > start {
            out.push(b' ');
        }
        self.commands.describe(out);
    }
}
