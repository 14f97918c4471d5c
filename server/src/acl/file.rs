//! The file of `aclfile`: one user per line, `user name rule rule ...`.
//!
//! It is written by ACL SAVE and so has no comments and no quotes: words are separated by single
//! blanks. Reading goes on after an error, to report all of them at once; nothing of a file with an
//! error is used.

use super::Users;
use super::rule::{RuleError, has_space, join_selectors};
use super::user::User;
use crate::files;
use std::collections::BTreeSet;
use std::path::Path;

/// Largest file that is read.
const MAX_FILE: u64 = 16 << 20;

const UNCHANGED: &str =
    "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";

/// The users of the file at `path`.
pub(super) fn read(path: &Path, all_channels: bool) -> Result<Vec<User>, String> {
    let fatal = |why: &str| format!("Error loading ACLs, opening file '{}': {why}", path.display());
    let text = files::read(path, MAX_FILE).map_err(|error| fatal(&files::reason(&error)))?;
    parse(&text, &path.display().to_string(), all_channels)
}

/// The users of a file's text; `shown` is its name in errors.
pub(super) fn parse(text: &[u8], shown: &str, all_channels: bool) -> Result<Vec<User>, String> {
    let mut users = Vec::new();
    let mut names = BTreeSet::new();
    let mut errors = String::new();
    for (number, line) in text.split(|c| *c == b'\n').enumerate() {
        let place = format!("{shown}:{}", number + 1);
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let words: Vec<&[u8]> = line.split(|c| *c == b' ').collect();
        let [b"user", name, rules @ ..] = words.as_slice() else {
            errors += &format!("{place} should start with user keyword followed by the username. ");
            continue;
        };
        let printed = String::from_utf8_lossy(name);
        if has_space(name) {
            errors += &format!("'{place}: username '{printed}' contains invalid characters. ");
        } else if !names.insert(name.to_vec()) {
            errors +=
                &format!("WARNING: Duplicate user '{printed}' found on line {}. ", number + 1);
        } else {
            let mut user = User::new(name, 0, all_channels);
            apply(&mut user, rules, &place, all_channels, &mut errors);
            users.push(user);
        }
    }
    if errors.is_empty() { Ok(users) } else { Err(errors + UNCHANGED) }
}

/// Takes the rules of a line. Unknown commands are all named; of other errors the first, because
/// those after it may only follow from it, and without the rule, which may be a password.
fn apply(user: &mut User, rules: &[&[u8]], place: &str, all_channels: bool, errors: &mut String) {
    let Ok(rules) = join_selectors(rules) else {
        *errors += &format!("{place}: Unmatched parenthesis in selector definition.");
        return;
    };
    let mut failed = false;
    for rule in rules {
        let rule = rule.trim_ascii();
        match user.apply(rule, all_channels) {
            Ok(()) => {}
            Err(why @ RuleError::Unknown) => {
                let rule = String::from_utf8_lossy(rule);
                let why = why.text();
                *errors += &format!("{place}: Error in applying operation '{rule}': {why}. ");
            }
            Err(why) if !failed => {
                *errors += &format!("{place}: {}. ", why.text());
                failed = true;
            }
            Err(_) => {}
        }
    }
}

/// Writes all users.
pub(super) fn write(path: &Path, users: &Users) -> std::io::Result<()> {
    let mut text = Vec::new();
    for user in users.all() {
        text.extend([b"user ", user.name().as_ref(), b" ", &user.describe(), b"\n"].concat());
    }
    files::replace(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> String {
        let errors = parse(text.as_bytes(), "f", false).expect_err(text);
        errors.strip_suffix(UNCHANGED).expect("the last sentence").to_owned()
    }

    #[test]
    fn a_file_is_read() {
        let text = b"\n\r\n  user alice on >a ~x  (~y \t+get) \r\nuser default on nopass\n";
        let users = parse(text, "f", false).expect("a good file");
        assert_eq!(users.len(), 2);
        assert!(
            users[0].describe().ends_with(b"~x resetchannels -@all (~y resetchannels -@all +get)")
        );
        assert_eq!(parse(b"", "f", false), Ok(Vec::new()));
    }

    #[test]
    fn every_error_is_named() {
        assert_eq!(
            errors("# comment\nuser\nUser a\n"),
            "f:1 should start with user keyword followed by the username. \
             f:2 should start with user keyword followed by the username. \
             f:3 should start with user keyword followed by the username. "
        );
        assert_eq!(
            errors("user a on\nuser b\nuser a off"),
            "WARNING: Duplicate user 'a' found on line 3. "
        );
        assert_eq!(errors("user a\tb on"), "'f:1: username 'a\tb' contains invalid characters. ");
        assert_eq!(
            errors("user a +foo >secret #secret secret +@bar"),
            "f:1: Error in applying operation '+foo': Unknown command or category name in ACL. \
             f:1: The password hash must be exactly 64 characters and contain only lowercase \
             hexadecimal characters. \
             f:1: Error in applying operation '+@bar': Unknown command or category name in ACL. "
        );
        assert_eq!(errors("user a on (~x"), "f:1: Unmatched parenthesis in selector definition.");
    }
}
