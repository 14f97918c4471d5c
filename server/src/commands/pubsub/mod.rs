//! Publish/subscribe. How messages travel: [`crate::pubsub`].
//!
//! Every row says which of its arguments are channels or patterns ([`Command::channels`]), and the
//! handlers take them from there: what a rule about channels has to look at is what is used.

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
