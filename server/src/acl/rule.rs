//! What the words of a rule share: their errors, and selectors that come in several words.

use std::borrow::Cow;

/// Why a rule was refused, as Redis words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// Neither a rule nor a pattern that can be printed.
    Syntax,
    /// No such command or category.
    Unknown,
    /// A key pattern after one that allows every key.
    KeyAfterAll,
    /// A channel pattern after one that allows every channel.
    ChannelAfterAll,
    /// A password to remove that the user does not have.
    NoSuchPassword,
    /// A digest of another form.
    BadDigest,
    /// `+config|get|x`.
    ArgumentOfSubcommand,
}

impl RuleError {
    /// The text for the user.
    pub fn text(self) -> &'static str {
        match self {
            RuleError::Syntax => "Syntax error",
            RuleError::Unknown => "Unknown command or category name in ACL",
            RuleError::KeyAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and \
                 does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::ChannelAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and \
                 does not have any effect. Try 'resetchannels' to start with an empty list of \
                 channels"
            }
            RuleError::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            RuleError::BadDigest => {
                "The password hash must be exactly 64 characters and contain only lowercase \
                 hexadecimal characters"
            }
            RuleError::ArgumentOfSubcommand => {
                "Allowing first-arg of a subcommand is not supported"
            }
        }
    }
}

/// Whether `word` is the keyword `name`, in any case.
pub(super) fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// Whether `text` cannot be a word of a printed rule: it holds a blank (of C's `isspace`) or a NUL.
pub(super) fn has_space(text: &[u8]) -> bool {
    text.iter().any(|c| matches!(c, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0))
}

/// Puts the words of each selector together: `(~a`, `+get)` become `(~a +get)`. `Err` is the word
/// that opens a selector which nothing closes.
pub(super) fn join_selectors<'a, W: AsRef<[u8]>>(
    words: &'a [W],
) -> Result<Vec<Cow<'a, [u8]>>, &'a [u8]> {
    let mut joined: Vec<Cow<'a, [u8]>> = Vec::with_capacity(words.len());
    // The word that has opened a selector, and the selector so far.
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for word in words {
        let word = word.as_ref();
        match &mut open {
            Some((_, selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if word.ends_with(b")")
                    && let Some((_, selector)) = open.take()
                {
                    joined.push(selector.into());
                }
            }
            None if word.starts_with(b"(") && !word.ends_with(b")") => {
                open = Some((word, word.to_vec()));
            }
            None => joined.push(word.into()),
        }
    }
    match open {
        Some((word, _)) => Err(word),
        None => Ok(joined),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined<'a>(words: &'a [&'a str]) -> Result<Vec<String>, String> {
        let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        match join_selectors(words) {
            Ok(words) => Ok(words.iter().map(|word| text(word)).collect()),
            Err(word) => Err(text(word)),
        }
    }

    #[test]
    fn selectors_may_come_in_several_words() {
        let ok = |words: &[&str]| Ok(words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(joined(&["on", "", "~x"]), ok(&["on", "", "~x"]));
        assert_eq!(joined(&["(~a", "+get)", "+set"]), ok(&["(~a +get)", "+set"]));
        assert_eq!(joined(&["(", "~a", "", "+get", ")"]), ok(&["( ~a  +get )"]));
        assert_eq!(joined(&["(~a)", "()", ")"]), ok(&["(~a)", "()", ")"]));
        assert_eq!(joined(&["(a", "(b", "c)", "d)"]), ok(&["(a (b c)", "d)"]));
        assert_eq!(joined(&["on", "(~a", "(x", "+get"]), Err("(~a".into()));
        assert_eq!(joined(&["("]), Err("(".into()));
    }
}
