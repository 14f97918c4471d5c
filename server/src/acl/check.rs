//! Whether a user may run a command line.

use super::keys::Access;
use super::selector::Selector;
use super::user::User;
use crate::commands::error::ReplyError;
use crate::commands::keys;
use crate::commands::spec::{Channels, Flags, KeyFlags};
use crate::commands::table::{Entry, KeyShape};
use dunlin_protocol::Request;
use std::cell::OnceCell;

/// What a user has no right to, from the least to the most specific.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The command.
    Command,
    /// A key, or this use of it.
    Key,
    /// To log in.
    Login,
    /// A channel.
    Channel,
}

impl Reason {
    /// All reasons, by number.
    pub const ALL: [Reason; 4] = [Reason::Command, Reason::Key, Reason::Login, Reason::Channel];

    /// The word of ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Login => "auth",
            Reason::Channel => "channel",
        }
    }
}

/// A command line that a user may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    /// What there is no right to.
    pub reason: Reason,
    /// The argument with the key or channel; 0 for the command.
    pub at: usize,
}

impl Denied {
    /// The error reply. It does not say which key: a reply may be shown to others.
    pub fn error(self, user: &User, entry: &Entry) -> ReplyError {
        match self.reason {
            Reason::Key => "NOPERM No permissions to access a key".into(),
            Reason::Channel => "NOPERM No permissions to access a channel".into(),
            Reason::Command | Reason::Login => {
                [b"NOPERM ".as_slice(), &no_command(user, entry)].concat().into()
            }
        }
    }

    /// The error reply to a command that was allowed when it was queued.
    pub fn error_in_exec(self) -> ReplyError {
        let reason = match self.reason {
            Reason::Command | Reason::Login => "no permission to execute the command or subcommand",
            Reason::Key => "no permission to touch the specified keys",
            Reason::Channel => "no permission to access one of the channels used as arguments",
        };
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the \
             EXEC call. This command is no longer allowed for the following reason: {reason}"
        )
        .into()
    }

    /// What ACL DRYRUN answers.
    pub fn explain(self, user: &User, entry: &Entry, request: &Request<'_>) -> Vec<u8> {
        let what: &[u8] = match self.reason {
            Reason::Command | Reason::Login => return no_command(user, entry),
            Reason::Key => b"key",
            Reason::Channel => b"channel",
        };
        let name = request.get(self.at).unwrap_or_default();
        let access = b" has no permissions to access the '";
        [b"User ".as_slice(), user.name(), access, name, b"' ", what].concat()
    }
}

fn no_command(user: &User, entry: &Entry) -> Vec<u8> {
    let name = entry.full_name.as_bytes();
    [b"User ".as_slice(), user.name(), b" has no permissions to run the '", name, b"' command"]
        .concat()
}

type KeyList = Vec<(usize, KeyFlags)>;

/// A command line and its keys, found when the first selector asks for them.
struct Line<'r, 'a> {
    entry: &'r Entry,
    request: &'r Request<'a>,
    keys: OnceCell<KeyList>,
}

impl Line<'_, '_> {
    /// The keys. Arguments that do not fit the command have none: the handler refuses them before it
    /// touches any, and its error is the one to show.
    fn keys(&self) -> &KeyList {
        self.keys.get_or_init(|| keys::of(self.entry.command, self.request).unwrap_or_default())
    }

    fn channels(&self) -> std::ops::Range<usize> {
        match self.entry.command.channels {
            Channels::None => 0..0,
            Channels::First => 1..self.request.len().min(2),
            Channels::All | Channels::Patterns => 1..self.request.len(),
        }
    }
}

impl Selector {
    fn check(&self, line: &Line<'_, '_>) -> Result<(), Denied> {
        let may_always = line.entry.has(Flags::NO_AUTH);
        if !may_always && !self.commands.allow(line.entry, line.request) {
            return Err(Denied { reason: Reason::Command, at: 0 });
        }
        if !self.keys.is_all() && line.entry.shape != KeyShape::None {
            for (at, flags) in line.keys() {
                if !self.keys.allow(line.request.arg(*at), Access::of(*flags)) {
                    return Err(Denied { reason: Reason::Key, at: *at });
                }
            }
        }
        if !self.channels.is_all() {
            let is_pattern = line.entry.command.channels == Channels::Patterns;
            for at in line.channels() {
                if !self.channels.allow(line.request.arg(at), is_pattern) {
                    return Err(Denied { reason: Reason::Channel, at });
                }
            }
        }
        Ok(())
    }
}

impl User {
    /// Whether the user may run `request`, which `entry` runs and whose arity fits.
    ///
    /// # Errors
    /// Of all selectors the one that comes closest: that which allows the command and, of the keys
    /// and channels, most.
    pub fn check(&self, entry: &Entry, request: &Request<'_>) -> Result<(), Denied> {
        let line = Line { entry, request, keys: OnceCell::new() };
        let mut closest = Denied { reason: Reason::Command, at: 0 };
        for selector in self.all_selectors() {
            match selector.check(&line) {
                Ok(()) => return Ok(()),
                Err(denied) => closest = closest.max(denied),
            }
        }
        Err(closest)
    }

    /// Whether the user might run the command of which `request` has the first arguments: if not, no
    /// further ones can change that.
    pub fn may_begin(&self, entry: &Entry, request: &Request<'_>) -> bool {
        entry.has(Flags::NO_AUTH)
            || self.all_selectors().any(|selector| selector.commands.may_begin(entry, request))
    }

    /// Whether the user may run `request` and with the same rights use every key in the way of
    /// `flags`: for commands that find keys while they run, as SORT does with BY and GET.
    pub fn check_any_key(&self, entry: &Entry, request: &Request<'_>, flags: KeyFlags) -> bool {
        let line = Line { entry, request, keys: OnceCell::new() };
        let access = Access::of(flags);
        self.all_selectors().any(|s| s.check(&line).is_ok() && s.keys.allow_any(access))
    }

    /// Whether the user may use `channel`. `is_pattern`: it is a pattern of channels, to subscribe
    /// to. A subscriber who no longer may is to be disconnected.
    pub fn may_use_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_selectors().any(|selector| selector.channels.allow(channel, is_pattern))
    }
}
