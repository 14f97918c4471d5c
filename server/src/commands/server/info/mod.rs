//! INFO: `field:value` lines in sections.

mod figures;
mod overload;
mod persistence;
mod sections;
mod tables;
mod workers;

use super::docs;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
pub(super) use figures::{MemoryFigures, ratio};

/// A section's body: appends its lines.
type Body = fn(&mut Call<'_, '_>, &mut Text);

/// One section.
struct Section {
    name: &'static str,
    title: &'static str,
    body: Body,
    /// Shown without being named, or by `default`.
    default: bool,
    /// Shown by `all`.
    all: bool,
}

const fn section(name: &'static str, title: &'static str, body: Body) -> Section {
    Section { name, title, body, default: true, all: true }
}

impl Section {
    /// Only when named, or by `all` and `everything`.
    const fn on_demand(mut self) -> Self {
        self.default = false;
        self
    }

    /// By `everything` but not by `all`.
    const fn not_all(mut self) -> Self {
        self.all = false;
        self
    }
}

/// The sections in the order of the reply.
static SECTIONS: &[Section] = &[
    section("server", "Server", sections::server),
    section("clients", "Clients", sections::clients),
    section("memory", "Memory", sections::memory),
    section("persistence", "Persistence", persistence::persistence),
    section("stats", "Stats", sections::stats),
    section("replication", "Replication", sections::replication),
    section("cpu", "CPU", sections::cpu),
    section("modules", "Modules", |_, _| ()).not_all(),
    section("commandstats", "Commandstats", tables::commandstats).on_demand(),
    section("errorstats", "Errorstats", tables::errorstats),
    section("latencystats", "Latencystats", tables::latencystats).on_demand(),
    section("cluster", "Cluster", sections::cluster),
    section("keyspace", "Keyspace", sections::keyspace),
    section("workers", "Workers", workers::workers),
    section("dunlin", "Dunlin", sections::dunlin),
    section("overload", "Overload", overload::overload),
];

/// The text under construction.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    /// Appends a line.
    fn line(&mut self, field: &str, value: impl std::fmt::Display) {
        use std::fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{field}:{value}\r\n");
    }

    fn title(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        self.0.push_str("# ");
        self.0.push_str(title);
        self.0.push_str("\r\n");
    }
}

pub(super) const INFO: Command = Command::new("info", Arity::at_least(1), info)
    .flags(flag_set!(LOADING | STALE))
    .categories(&["dangerous"])
    .docs(
        docs("1.0.0", "O(1)", "Answers figures about the server, by section.")
            .history(&[("7.0.0", "Added support for taking multiple section arguments.")])
            .args(&[Arg::string("section").optional().multiple()]),
    )
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]);

fn info(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mut wanted = vec![call.argc() == 1; SECTIONS.len()];
    for (wanted, section) in wanted.iter_mut().zip(SECTIONS) {
        *wanted &= section.default;
        *wanted |= (1..call.argc()).any(|i| asks_for(call.arg(i), section));
    }
    let mut text = Text::default();
    for (_, section) in wanted.iter().zip(SECTIONS).filter(|(wanted, _)| **wanted) {
        text.title(section.title);
        (section.body)(call, &mut text);
    }
    call.reply.verbatim("txt", text.0.as_bytes());
    Ok(Outcome::Done)
}

fn asks_for(arg: &[u8], section: &Section) -> bool {
    let is = |name: &str| arg.eq_ignore_ascii_case(name.as_bytes());
    is(section.name)
        || is("everything")
        || (is("all") && section.all)
        || (is("default") && section.default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(arg: &str) -> Vec<&'static str> {
        let asked = SECTIONS.iter().filter(|section| asks_for(arg.as_bytes(), section));
        asked.map(|section| section.name).collect()
    }

    #[test]
    fn groups_of_sections() {
        assert_eq!(shown("Memory"), ["memory"]);
        assert_eq!(shown("everything").len(), SECTIONS.len());
        assert!(!shown("all").contains(&"modules"));
        assert!(shown("all").contains(&"commandstats"));
        assert!(!shown("default").contains(&"latencystats"));
        assert!(shown("default").contains(&"modules"));
        assert!(shown("nothing").is_empty());
    }

    #[test]
    fn sections_are_separated_by_an_empty_line() {
        let mut text = Text::default();
        text.title("A");
        text.line("x", 1);
        text.title("B");
        assert_eq!(text.0, "# A\r\nx:1\r\n\r\n# B\r\n");
    }
}
