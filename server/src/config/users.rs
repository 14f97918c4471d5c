//! `user` lines: the users that the configuration declares.
//!
//! They are no directives, since one may have any number of them and CONFIG GET does not show them.
//! Of two sources that declare the same user the later one wins; within one it is a mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{quote, split_words};
use crate::acl::User;

/// The name of the line and option.
pub(super) const USER: &str = "user";

/// A declared user: the name, and the words of the rules.
pub type Declaration = (Vec<u8>, Vec<Vec<u8>>);

/// The users declared so far, while sources are read.
#[derive(Debug, Default)]
pub(super) struct Declared {
    list: Vec<Declaration>,
    /// Names in the current source.
    fresh: BTreeSet<Vec<u8>>,
}

impl Declared {
    pub(super) fn next_source(&mut self) {
        self.fresh.clear();
    }

    /// Takes the words behind `user`.
    pub(super) fn add(&mut self, words: &[Vec<u8>]) -> Result<(), String> {
        let Some((name, rules)) = words.split_first() else {
            return Err("Bad directive or wrong number of arguments".into());
        };
        if name.iter().any(|c| c.is_ascii_whitespace() || matches!(c, 0 | 0x0b)) {
            return Err("Spaces not allowed in ACL usernames".into());
        }
        if !self.fresh.insert(name.clone()) {
            return Err(format!(
                "Error in user declaration '{}': Duplicate user found. A user can only be defined \
                 once in config files",
                String::from_utf8_lossy(name)
            ));
        }
        // Whether patterns of channels fit `acl-pubsub-default` is seen when all is read.
        User::declared(name, rules, false)
            .map_err(|why| format!("Error in user declaration {why}"))?;
        self.list.retain(|(known, _)| known != name);
        self.list.push((name.clone(), rules.to_vec()));
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<Declaration> {
        self.list
    }
}

/// Brings the `user` lines of a file in line with `users`: `out` is what stands in place of each of
/// `lines`. Returns the lines of users whom the file does not have.
pub(super) fn rewrite(
    lines: &[&[u8]],
    out: &mut [Vec<Vec<u8>>],
    users: &[Arc<User>],
    all_channels: bool,
) -> Vec<Vec<u8>> {
    let mut left: BTreeMap<&[u8], &User> =
        users.iter().map(|user| (user.name().as_ref(), user.as_ref())).collect();
    for (line, out) in lines.iter().zip(out) {
        let Some((name, rules)) = read(line) else { continue };
        match left.remove(name.as_slice()) {
            None => out.clear(),
            Some(user) => {
                let declared = User::declared(&name, &rules, all_channels);
                if declared.is_ok_and(|declared| declared.describe() == user.describe()) {
                    continue;
                }
                *out = vec![declaration(user)];
            }
        }
    }
    left.into_values().map(declaration).collect()
}

fn read(line: &[u8]) -> Option<Declaration> {
    let mut words = split_words(line.trim_ascii())?.into_iter();
    if !words.next()?.eq_ignore_ascii_case(USER.as_bytes()) {
        return None;
    }
    Some((words.next()?, words.collect()))
}

fn declaration(user: &User) -> Vec<u8> {
    let mut line = USER.as_bytes().to_vec();
    let rules = user.describe();
    for word in std::iter::once(user.name().as_ref()).chain(rules.split(|c| *c == b' ')) {
        let plain = |c: &u8| c.is_ascii_graphic() && !matches!(c, b'"' | b'\'' | b'\\');
        line.push(b' ');
        match !word.is_empty() && word.iter().all(plain) {
            true => line.extend_from_slice(word),
            false => line.extend(quote(word)),
        }
    }
    line
}
