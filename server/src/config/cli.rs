//! The command line: `dunlin [FILE] [--name value ...]...`, and what else the program can do than
//! serve (`dunlin ping`, `dunlin cluster`, `--check-config`, `--completions`, `--man`).
//!
//! As in Redis, everything between one `--name` and the next belongs to that name, and reads like
//! a line of the file. clap is fed from the table; it supplies `--help`, `--version` and
//! suggestions for misspelt names. Because clap would take `--hz` for a value of a preceding
//! `--bind` once values may begin with a dash (`-::1`, `-1`), the words of a name are put together
//! into `--name=words` first.
//!
//! Completions and the man page come from the same command, so they cannot be out of date; they are
//! printed when asked for, like `--help`, and are not part of the repository.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::directives::{self, DIRECTIVES, Directive, MISSING, REFUSED};
use super::users::USER;
use super::{Kind, LoadError, quote, split_words};
use crate::tools::cluster;

/// What the command line is about.
pub(super) enum Parsed {
    /// A configuration.
    Line(CommandLine),
    /// `dunlin cluster`, which has none.
    Cluster(cluster::Order),
}

/// What the command line says.
pub(super) struct CommandLine {
    pub(super) request: Request,
    pub(super) file: Option<PathBuf>,
    pub(super) settings: Vec<(&'static str, Vec<Vec<u8>>)>,
}

/// What is to be done with the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Serve,
    Check,
    Ping,
}

const FILE: &str = "FILE";
const INSECURE: &str = "insecure";
const CHECK: &str = "check-config";
const COMPLETIONS: &str = "completions";
const MAN: &str = "man";
const PING: &str = "ping";
const CLUSTER: &str = "cluster";

/// The synopsis of the manual page; one that names all options would fill the screen.
const USAGE: &str = "dunlin [FILE] [--directive value ...] ...\n       dunlin ping [FILE] [-p port | -s unixsocket | --tls-port port]\n       dunlin cluster create | check | add-node | del-node | rebalance | info ...";

/// The options that take no value.
const SWITCHES: [&str; 5] = ["help", "version", INSECURE, CHECK, MAN];

/// The directives `dunlin ping` takes; those which say where, first, with redis-cli's short names.
const PING_OPTIONS: [(&str, Option<char>); 7] = [
    ("port", Some('p')),
    ("tls-port", None),
    ("unixsocket", Some('s')),
    ("bind", None),
    ("requirepass", None),
    ("tls-cert-file", None),
    ("tls-key-file", None),
];

/// The command as it is described: without the names that are only known to be refused or ignored.
/// `row` makes an option of a directive.
fn described(row: fn(&'static Directive) -> Arg) -> Command {
    let mut command = Command::new("dunlin")
        .version(env!("CARGO_PKG_VERSION"))
        .about("An in-memory cache server that speaks the Redis protocol")
        .after_help(
            "Every option is also a directive of the configuration file and an environment \
             variable:\n`--maxmemory-policy x` is `maxmemory-policy x` and \
             `DUNLIN_MAXMEMORY_POLICY=x`.\nThe command line wins over the environment, the \
             environment over the file.",
        )
        .disable_help_subcommand(true)
        .subcommand(ping(row))
        .subcommand(cluster::command())
        .arg(file())
        .arg(switch(CHECK, "Read the configuration as a start would, say what is wrong, and end"))
        .arg(
            option(COMPLETIONS)
                .action(ArgAction::Set)
                .value_name("shell")
                .help("Print completions for bash, elvish, fish, powershell or zsh, and end"),
        )
        .arg(switch(MAN, "Print the manual page (dunlin --man | man -l -), and end"))
        .arg(switch(INSECURE, "Serve other machines without a password (protected-mode no)"));
    for directive in DIRECTIVES {
        command = command.arg(row(directive).aliases(directive.aliases.iter().copied()));
    }
    command.arg(
        option(USER)
            .value_name("name rule")
            .help("A user and its rules, as ACL SETUSER takes them; one option per user"),
    )
}

/// The command as it is read.
fn command() -> Command {
    let unknown = MISSING.iter().copied().chain(REFUSED.iter().map(|(name, _)| *name));
    unknown.fold(described(plain), |command, name| command.arg(option(name).hide(true)))
}

fn ping(row: fn(&'static Directive) -> Arg) -> Command {
    let command = Command::new(PING)
        .about("Ask a running server whether it is there; exit code 0 if it is")
        .after_help(
            "It reads the configuration as the server does, and asks at the unix socket if there \
             is one, else at\nthe port, else at the TLS port; what the command line names comes \
             first. Any answer within a second\nis a sign of life, but LOADING. A configuration \
             file called ping is ./ping.",
        )
        .arg(file());
    PING_OPTIONS.iter().fold(command, |command, (name, short)| {
        match directives::find(name.as_bytes()) {
            Some(at) => command.arg(row(&DIRECTIVES[at]).short(*short)),
            None => unreachable!("{name} is a directive"),
        }
    })
}

fn file() -> Arg {
    Arg::new(FILE)
        .help("Configuration file (grammar of redis.conf)")
        .value_hint(clap::ValueHint::FilePath)
        .value_parser(value_parser!(PathBuf))
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// The option of a directive as it is read and as `--help` shows it.
fn plain(row: &'static Directive) -> Arg {
    option(row.name).help(row.help)
}

/// The option of a directive for completions and the manual page, which know what it may be.
fn detailed(row: &'static Directive) -> Arg {
    let arg = plain(row).default_value(row.default);
    match row.kind {
        Kind::Bool => arg.value_parser(PossibleValuesParser::new(["yes", "no"])),
        Kind::Enum(names) => arg.value_parser(PossibleValuesParser::new(names)),
        _ => arg,
    }
}

fn option(name: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("value")
        .action(ArgAction::Append)
        .num_args(1)
        .require_equals(false)
        .value_parser(value_parser!(OsString))
}

/// A text to print instead of doing anything, as `--help` is.
fn asked_for(matches: &ArgMatches) -> Result<Option<Vec<u8>>, LoadError> {
    let mut text = Vec::new();
    if matches.get_flag(MAN) {
        let page = clap_mangen::Man::new(described(detailed).override_usage(USAGE));
        page.render(&mut text).map_err(|error| LoadError::new(error.to_string()))?;
        return Ok(Some(text));
    }
    let Some(shell) = matches.get_one::<OsString>(COMPLETIONS) else { return Ok(None) };
    let words = split_words(shell.as_bytes()).unwrap_or_default().concat();
    let name = String::from_utf8_lossy(&words);
    let shell: Shell = name
        .parse()
        .map_err(|_| LoadError::new(format!("--{COMPLETIONS}: no such shell: '{name}'")))?;
    clap_complete::generate(shell, &mut described(detailed), "dunlin", &mut text);
    Ok(Some(text))
}

/// Reads the command line; `args` begins with the program's name, and `env` is the environment.
pub(super) fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: &[(OsString, OsString)],
) -> Result<Parsed, LoadError> {
    let args: Vec<OsString> = args.into_iter().collect();
    let is_tool = args.get(1).is_some_and(|word| word == CLUSTER);
    let args = if is_tool { args } else { group(args) };
    let matches = command().try_get_matches_from(args).map_err(|e| LoadError {
        text: e.render().to_string(),
        code: if e.use_stderr() { 1 } else { 0 },
    })?;
    if let Some(text) = asked_for(&matches)? {
        let text = String::from_utf8_lossy(&text).into_owned();
        return Err(LoadError { text, code: 0 });
    }
    if let Some((CLUSTER, matches)) = matches.subcommand() {
        let order = cluster::order(matches, env).map_err(LoadError::new)?;
        return Ok(Parsed::Cluster(order));
    }
    if let Some((_, matches)) = matches.subcommand() {
        let names = PING_OPTIONS.iter().map(|(name, _)| *name);
        return line(Request::Ping, matches.clone(), names).map(Parsed::Line);
    }
    let insecure = matches.get_flag(INSECURE);
    let request = if matches.get_flag(CHECK) { Request::Check } else { Request::Serve };
    let names = DIRECTIVES.iter().map(|row| row.name).chain([USER]);
    let unknown = MISSING.iter().copied().chain(REFUSED.iter().map(|(name, _)| *name));
    let mut line = line(request, matches, names.chain(unknown))?;
    if insecure {
        line.settings.insert(0, ("protected-mode", vec![b"no".to_vec()]));
    }
    Ok(Parsed::Line(line))
}

/// What stands behind these names, in their order.
fn line(
    request: Request,
    mut matches: ArgMatches,
    names: impl Iterator<Item = &'static str>,
) -> Result<CommandLine, LoadError> {
    let mut settings = Vec::new();
    for name in names {
        for line in matches.remove_many::<OsString>(name).into_iter().flatten() {
            let words = split_words(line.as_bytes())
                .ok_or_else(|| LoadError::new(format!("--{name}: unbalanced quotes")))?;
            settings.push((name, words));
        }
    }
    let file = matches.remove_one::<PathBuf>(FILE);
    Ok(CommandLine { request, file, settings })
}

/// Puts the words of each `--name` together.
fn group(args: Vec<OsString>) -> Vec<OsString> {
    let mut grouped: Vec<OsString> = Vec::new();
    // The name whose words are being collected.
    let mut open: Option<Vec<u8>> = None;
    let close = |open: Option<Vec<u8>>, grouped: &mut Vec<OsString>| {
        grouped.extend(open.map(OsString::from_vec));
    };
    let mut pinging = false;
    for (at, arg) in args.into_iter().enumerate() {
        pinging |= at == 1 && arg == PING;
        let bytes = match (pinging, arg.as_bytes()) {
            (true, [b'-', short]) => long_name(*short).unwrap_or(arg.as_bytes()),
            (_, bytes) => bytes,
        };
        match bytes {
            b"-v" => grouped.push("--version".into()),
            [b'-', b'-', name @ ..] if is_switch(name) => {
                close(open.take(), &mut grouped);
                grouped.push(arg);
            }
            [b'-', b'-', name @ ..] if !name.is_empty() => {
                close(open.take(), &mut grouped);
                let (name, value) = match name.iter().position(|c| *c == b'=') {
                    Some(at) => (&name[..at], Some(&name[at + 1..])),
                    None => (name, None),
                };
                let mut line = [b"--", name.to_ascii_lowercase().as_slice(), b"="].concat();
                if let Some(value) = value {
                    line.extend(quote(value));
                }
                open = Some(line);
            }
            word => match &mut open {
                Some(line) => {
                    line.push(b' ');
                    line.extend(quote(word));
                }
                None => grouped.push(OsStr::from_bytes(word).to_owned()),
            },
        }
    }
    close(open, &mut grouped);
    grouped
}

fn is_switch(name: &[u8]) -> bool {
    SWITCHES.iter().any(|switch| switch.as_bytes() == name)
}

/// What a short name of `dunlin ping` stands for.
fn long_name(short: u8) -> Option<&'static [u8]> {
    match short {
        b'p' => Some(b"--port"),
        b's' => Some(b"--unixsocket"),
        _ => None,
    }
}
