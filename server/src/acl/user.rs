//! A user: a name, passwords, and one or more selectors.

use super::password::Password;
use super::rule::{RuleError, is, join_selectors};
use super::selector::Selector;
use std::borrow::Cow;
use std::sync::Arc;

/// Name of the user that connections begin as.
pub const DEFAULT_USER: &[u8] = b"default";

/// A user's rights at one time. A change makes another one; see [`super::Acl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: Arc<[u8]>,
    id: u64,
    enabled: bool,
    /// Any password will do.
    no_password: bool,
    skip_sanitize: bool,
    pub(super) passwords: Vec<Password>,
    /// Rights given outside of parentheses.
    pub(super) root: Selector,
    /// Rights given in parentheses.
    pub(super) selectors: Vec<Selector>,
}

/// The commands, keys and channels of a selector, as rules.
pub struct SelectorText {
    /// `-@all +get`
    pub commands: Vec<u8>,
    /// `~a %R~b`
    pub keys: Vec<u8>,
    /// `&a &b`
    pub channels: Vec<u8>,
}

impl User {
    /// A new user, who may not do anything.
    pub(super) fn new(name: &[u8], id: u64, all_channels: bool) -> User {
        User {
            name: name.into(),
            id,
            enabled: false,
            no_password: false,
            skip_sanitize: false,
            passwords: Vec::new(),
            root: Selector::new(all_channels),
            selectors: Vec::new(),
        }
    }

    /// The user that connections begin as, who may do everything unless told otherwise. An empty
    /// password is none: any will do.
    pub(super) fn default_user(id: u64, password: &[u8]) -> User {
        let mut user = User::new(DEFAULT_USER, id, true);
        user.enabled = true;
        user.root = Selector::everything();
        user.require_password(password);
        user
    }

    /// The user that a line `user name rules...` declares, to compare it with an existing one.
    ///
    /// # Errors
    /// What is wrong with which rule.
    pub fn declared<W: AsRef<[u8]>>(
        name: &[u8],
        rules: &[W],
        all_channels: bool,
    ) -> Result<User, String> {
        let mut user = User::new(name, 0, all_channels);
        user.apply_all(rules, all_channels).map_err(|refused| refused.text())?;
        Ok(user)
    }

    /// The name.
    pub fn name(&self) -> &Arc<[u8]> {
        &self.name
    }

    /// Number of the user, never used for another one: a user that is deleted and created again is
    /// another one.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn with_id(mut self, id: u64) -> User {
        self.id = id;
        self
    }

    /// Whether one may log in as this user.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether any password will do.
    pub fn needs_no_password(&self) -> bool {
        self.no_password
    }

    /// Whether the user may do everything.
    pub fn is_unrestricted(&self) -> bool {
        self.all_selectors().any(Selector::is_all)
    }

    pub(super) fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// `requirepass`: this password and no other; none if it is empty.
    pub(super) fn require_password(&mut self, password: &[u8]) {
        self.no_password = password.is_empty();
        self.passwords.clear();
        if !password.is_empty() {
            self.passwords.push(Password::of(password));
        }
    }

    /// Takes the rules in order. After an error the user is to be thrown away.
    pub(super) fn apply_all<'a, W: AsRef<[u8]>>(
        &mut self,
        rules: &'a [W],
        all_channels: bool,
    ) -> Result<(), Refused<'a>> {
        for word in join_selectors(rules).map_err(Refused::Unclosed)? {
            if let Err(why) = self.apply(&word, all_channels) {
                return Err(Refused::Rule(word, why));
            }
        }
        Ok(())
    }

    /// Takes one rule. `all_channels` (`acl-pubsub-default`) is what new selectors begin with.
    pub(super) fn apply(&mut self, word: &[u8], all_channels: bool) -> Result<(), RuleError> {
        match word {
            [] => {}
            [b'>', password @ ..] => self.add_password(Password::of(password)),
            [b'#', digest @ ..] => {
                self.add_password(Password::from_hex(digest).ok_or(RuleError::BadDigest)?);
            }
            [b'<', password @ ..] => self.remove_password(Password::of(password))?,
            [b'!', digest @ ..] => {
                self.remove_password(Password::from_hex(digest).ok_or(RuleError::BadDigest)?)?;
            }
            [b'(', rules @ .., b')'] => self.selectors.push(Selector::parse(rules, all_channels)?),
            _ if is(word, "on") => self.enabled = true,
            _ if is(word, "off") => self.enabled = false,
            _ if is(word, "skip-sanitize-payload") => self.skip_sanitize = true,
            _ if is(word, "sanitize-payload") => self.skip_sanitize = false,
            _ if is(word, "nopass") => self.require_password(b""),
            _ if is(word, "resetpass") => self.reset_passwords(),
            _ if is(word, "clearselectors") => self.selectors.clear(),
            _ if is(word, "reset") => *self = User::new(&self.name, self.id, all_channels),
            _ => self.root.apply(word)?,
        }
        Ok(())
    }

    fn reset_passwords(&mut self) {
        self.no_password = false;
        self.passwords.clear();
    }

    fn add_password(&mut self, password: Password) {
        self.no_password = false;
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
    }

    fn remove_password(&mut self, password: Password) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| *known == password);
        self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// The flags, as rules.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        if self.no_password {
            flags.push("nopass");
        }
        flags.push(if self.skip_sanitize { "skip-sanitize-payload" } else { "sanitize-payload" });
        flags
    }

    /// The digests of the passwords in hexadecimal.
    pub fn password_digests(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(Password::hex)
    }

    /// The selectors as rules, the one outside of parentheses first.
    pub fn selector_texts(&self) -> Vec<SelectorText> {
        let text = |describe: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            describe(&mut out);
            out
        };
        let texts = self.all_selectors().map(|selector| SelectorText {
            commands: text(&|out| selector.commands.describe(out)),
            keys: text(&|out| selector.keys.describe(out)),
            channels: text(&|out| selector.channels.describe(out)),
        });
        texts.collect()
    }

    /// The rules that make this user of a new one of the same name: what stands behind the name in
    /// ACL LIST.
    pub fn describe(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for flag in self.flags() {
            out.extend_from_slice(flag.as_bytes());
            out.push(b' ');
        }
        for digest in self.password_digests() {
            out.push(b'#');
            out.extend_from_slice(digest.as_bytes());
            out.push(b' ');
        }
        self.root.describe(&mut out);
        for selector in &self.selectors {
            out.extend_from_slice(b" (");
            selector.describe(&mut out);
            out.push(b')');
        }
        out
    }
}

/// Which of the rules was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused<'a> {
    /// This word opens a selector that nothing closes.
    Unclosed(&'a [u8]),
    /// This rule.
    Rule(Cow<'a, [u8]>, RuleError),
}

impl Refused<'_> {
    /// What is wrong with which rule, as a configuration file's error says it.
    fn text(&self) -> String {
        let (word, why) = match self {
            Refused::Unclosed(word) => (*word, "Unmatched parenthesis in selector definition."),
            Refused::Rule(word, why) => (word.as_ref(), why.text()),
        };
        // A password in clear is nothing for terminals and logs.
        let secret = matches!(word, [b'>' | b'<' | b'#' | b'!', ..]);
        let word = if secret { &word[..1] } else { word };
        format!("'{}': {why}", String::from_utf8_lossy(word))
    }
}
