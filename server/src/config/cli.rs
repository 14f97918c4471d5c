//! The command line: `dunlin [FILE] [--name value ...]...`.
//!
//! As in Redis, everything between one `--name` and the next belongs to that name, and reads like
//! a line of the file. clap is fed from the table; it supplies `--help`, `--version` and
//! suggestions for misspelt names. Because clap would take `--hz` for a value of a preceding
//! `--bind` once values may begin with a dash (`-::1`, `-1`), the words of a name are put together
//! into `--name=words` first.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, value_parser};

use super::directives::{DIRECTIVES, MISSING, REFUSED};
use super::users::USER;
use super::{LoadError, quote, split_words};

/// What the command line says.
pub(super) struct CommandLine {
    pub(super) file: Option<PathBuf>,
    pub(super) settings: Vec<(&'static str, Vec<Vec<u8>>)>,
}

const FILE: &str = "FILE";
const INSECURE: &str = "insecure";

fn command() -> Command {
    let mut command = Command::new("dunlin")
        .version(env!("CARGO_PKG_VERSION"))
        .about("An in-memory cache server that speaks the Redis protocol")
        .after_help(
            "Every option is also a directive of the configuration file and an environment \
             variable:\n`--maxmemory-policy x` is `maxmemory-policy x` and \
             `DUNLIN_MAXMEMORY_POLICY=x`.\nThe command line wins over the environment, the \
             environment over the file.",
        )
        .arg(
            Arg::new(FILE)
                .help("Configuration file (grammar of redis.conf)")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new(INSECURE)
                .long(INSECURE)
                .action(ArgAction::SetTrue)
                .help("Serve other machines without a password (protected-mode no)"),
        );
    for row in DIRECTIVES {
        command = command.arg(option(row.name).help(row.help).aliases(row.aliases.iter().copied()));
    }
    command = command.arg(
        option(USER)
            .value_name("name rule")
            .help("A user and its rules, as ACL SETUSER takes them; one option per user"),
    );
    let unknown = MISSING.iter().copied().chain(REFUSED.iter().map(|(name, _)| *name));
    for name in unknown {
        command = command.arg(option(name).hide(true));
    }
    command
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

/// Reads the command line; `args` begins with the program's name.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<CommandLine, LoadError> {
    let grouped = group(args);
    let mut matches = command().try_get_matches_from(grouped).map_err(|e| LoadError {
        text: e.render().to_string(),
        code: if e.use_stderr() { 1 } else { 0 },
    })?;
    let mut settings = Vec::new();
    if matches.get_flag(INSECURE) {
        settings.push(("protected-mode", vec![b"no".to_vec()]));
    }
    let names = DIRECTIVES.iter().map(|row| row.name);
    let unknown = MISSING.iter().copied().chain(REFUSED.iter().map(|(name, _)| *name));
    for name in names.chain([USER]).chain(unknown) {
        for line in matches.remove_many::<OsString>(name).into_iter().flatten() {
            let words = split_words(line.as_bytes())
                .ok_or_else(|| LoadError::new(format!("--{name}: unbalanced quotes")))?;
            settings.push((name, words));
        }
    }
    let file = matches.remove_one::<PathBuf>(FILE);
    Ok(CommandLine { file, settings })
}

/// Puts the words of each `--name` together.
fn group(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut grouped: Vec<OsString> = Vec::new();
    // The name whose words are being collected.
    let mut open: Option<Vec<u8>> = None;
    let close = |open: Option<Vec<u8>>, grouped: &mut Vec<OsString>| {
        grouped.extend(open.map(OsString::from_vec));
    };
    for arg in args {
        let bytes = arg.as_bytes();
        match bytes {
            b"-v" => grouped.push("--version".into()),
            [b'-', b'-', name @ ..] if is_flag(name) => {
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

fn is_flag(name: &[u8]) -> bool {
    [&b"help"[..], b"version", INSECURE.as_bytes()].contains(&name)
}
