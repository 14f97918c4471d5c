//! Commands since the start, and the slow log.

use super::text::shown;
use crate::admin::history::Percentiles;
use crate::commands::table::{Entry, table};
use crate::config::Settings;
use crate::server::Server;
use crate::slowlog::SlowCommand;
use serde::Serialize;

/// Commands shown: those that have taken the most time.
const MAX_COMMANDS: usize = 40;
/// Entries of the slow log.
const MAX_SLOW: usize = 32;
/// Characters of a command line, and of the name of a client.
const MAX_LINE: usize = 240;
const MAX_NAME: usize = 60;

/// A command that was called.
#[derive(Serialize)]
pub(super) struct Command {
    name: &'static str,
    calls: u64,
    nanos: u64,
    failed: u64,
    rejected: u64,
    latency: Percentiles,
}

impl Command {
    fn read(server: &Server, entry: &'static Entry) -> Self {
        let sum = |counter: fn(&crate::stats::CommandStats) -> &crate::stats::Counter| {
            server.stats.command_sum(entry.id, counter)
        };
        Command {
            name: &entry.full_name,
            calls: sum(|c| &c.calls),
            nanos: sum(|c| &c.nanos),
            failed: sum(|c| &c.failed),
            rejected: sum(|c| &c.rejected),
            latency: Percentiles::default(),
        }
    }
}

/// The commands that have taken the most time, the most first.
pub(super) fn all(server: &Server) -> Vec<Command> {
    let mut found: Vec<(&Entry, Command)> = table()
        .entries()
        .iter()
        .map(|entry| (entry, Command::read(server, entry)))
        .filter(|(_, command)| command.calls + command.rejected > 0)
        .collect();
    found.sort_by_key(|(_, command)| std::cmp::Reverse(command.nanos));
    found.truncate(MAX_COMMANDS);
    let with_latency = |(entry, command): (&Entry, Command)| Command {
        latency: Percentiles::of(&server.stats.command_histogram(entry.id)),
        ..command
    };
    found.into_iter().map(with_latency).collect()
}

/// The slow log, newest first.
#[derive(Serialize)]
pub(super) struct Slowlog {
    /// Microseconds; negative: nothing is slow.
    threshold: i64,
    length: usize,
    entries: Vec<Slow>,
}

#[derive(Serialize)]
struct Slow {
    id: u64,
    /// Unix time in seconds.
    time: i64,
    micros: u64,
    line: String,
    addr: String,
    name: String,
}

impl Slowlog {
    pub(super) fn read(server: &Server, settings: &Settings) -> Self {
        let of = |slow: SlowCommand| Slow {
            id: slow.id,
            time: slow.time,
            micros: slow.micros,
            line: line(&slow.args, settings.admin_show_keys),
            addr: slow.addr,
            name: shown(slow.name.as_bytes(), MAX_NAME),
        };
        Slowlog {
            threshold: settings.slowlog_log_slower_than,
            length: server.slowlog.len(),
            entries: server.slowlog.latest(MAX_SLOW).into_iter().map(of).collect(),
        }
    }
}

/// A command line; without `keys` only its first word and how many follow.
fn line(args: &[Vec<u8>], keys: bool) -> String {
    if keys {
        return shown(&args.join(&b' '), MAX_LINE);
    }
    let name = args.first().map_or(&b""[..], |name| name);
    let name = shown(name, MAX_NAME);
    match args.len().saturating_sub(1) {
        0 => name,
        1 => format!("{name} (1 argument)"),
        more => format!("{name} ({more} arguments)"),
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn names_of_keys_can_be_left_out() {
        let args: Vec<Vec<u8>> = [&b"GET"[..], b"secret \xff"].map(<[u8]>::to_vec).into();
        assert_eq!(line(&args, true), r"GET secret \xff");
        assert_eq!(line(&args, false), "GET (1 argument)");
        assert_eq!(line(&args[..1], false), "GET");
        assert_eq!(line(&[], false), "");
    }
}
