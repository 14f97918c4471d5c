//! Publish/subscribe. How messages travel: [`crate::pubsub`].
//!
//! A row says which of its arguments are channels or patterns that a user needs a right to
//! ([`Command::channels`]). To give one up, none is needed.

mod inspect;
mod publish;
mod subscribe;

use super::docs::{Docs, Group};
use super::spec::Command;

pub(super) static COMMANDS: &[Command] = &[
    subscribe::SUBSCRIBE,
    subscribe::UNSUBSCRIBE,
    subscribe::PSUBSCRIBE,
    subscribe::PUNSUBSCRIBE,
    subscribe::SSUBSCRIBE,
    subscribe::SUNSUBSCRIBE,
    publish::PUBLISH,
    publish::SPUBLISH,
    inspect::PUBSUB,
];

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::new(Group::PubSub, since, complexity, summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::spec::Channels;

    #[test]
    fn rows_say_what_needs_a_right() {
        for row in COMMANDS {
            let wanted = match row.name {
                "publish" | "spublish" => Channels::First,
                "subscribe" | "ssubscribe" => Channels::All,
                "psubscribe" => Channels::Patterns,
                _ => Channels::None,
            };
            assert_eq!(row.channels, wanted, "{}", row.name);
        }
    }
}
