//! The command line of `dunlin cluster`.

use super::node::{Access, Address};
use super::{Action, Order};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// The environment variable with the password, as redis-cli's.
const PASSWORD: &str = "REDISCLI_AUTH";

const NODES: &str = "host:port";
const MEMBER: &str = "member";
const NEW: &str = "new";
const NODE: &str = "node";
const WEIGHT: &str = "weight";
const NO_WAIT: &str = "no-wait";

/// What the command line may be.
pub(crate) fn command() -> Command {
    let action = |name: &'static str, about: &'static str| Command::new(name).about(about);
    Command::new("cluster")
        .about("Make a cluster of running servers, change it, or look at it")
        .after_help(
            "The servers do the work, and go on if this is interrupted. A NODE is its id, or its \
             HOST:PORT.\nA configuration file called cluster is ./cluster.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(access())
        .subcommand(
            action("create", "Make a cluster of servers that are alone")
                .arg(address(NODES, "Two or more; all but the first must be empty").num_args(2..))
                .arg(no_wait()),
        )
        .subcommand(
            action("check", "Say what is wrong with a cluster; exit code 0 if nothing is")
                .arg(address(MEMBER, "Any member")),
        )
        .subcommand(
            action("add-node", "Have a server join a cluster, and wait for its share of slots")
                .arg(address(NEW, "The server: alone and empty"))
                .arg(address(MEMBER, "Any member"))
                .arg(no_wait()),
        )
        .subcommand(
            action("del-node", "Have a member give its slots away and leave")
                .arg(address(MEMBER, "Any member; the one that leaves, if no other is named"))
                .arg(Arg::new(NODE).value_name("NODE").help("The member that leaves"))
                .arg(no_wait()),
        )
        .subcommand(
            action("rebalance", "Set weights, and wait until slots are where they shall be")
                .arg(address(MEMBER, "Any member"))
                .arg(
                    Arg::new(WEIGHT)
                        .long(WEIGHT)
                        .value_name("NODE=N")
                        .value_parser(weight)
                        .action(ArgAction::Append)
                        .help("How many slots a node takes in proportion to others"),
                )
                .arg(no_wait()),
        )
        .subcommand(
            action("info", "Show the members of a cluster and what they have")
                .arg(address(MEMBER, "Any member")),
        )
}

fn access() -> Vec<Arg> {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help).global(true)
    };
    let file = |name: &'static str, help: &'static str| {
        option(name, "FILE", help)
            .value_parser(value_parser!(PathBuf))
            .value_hint(clap::ValueHint::FilePath)
    };
    vec![
        option("user", "NAME", "User to log in as"),
        option("pass", "PASSWORD", "Its password; better in the environment: REDISCLI_AUTH"),
        Arg::new("tls")
            .long("tls")
            .action(ArgAction::SetTrue)
            .global(true)
            .help("Connect with TLS"),
        file("cacert", "Certificates of those whom servers must be certified by"),
        file("cert", "Certificate to show"),
        file("key", "Its key"),
    ]
}

fn address(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .value_name("HOST:PORT")
        .value_parser(value_parser!(Address))
        .required(true)
        .help(help)
}

fn no_wait() -> Arg {
    Arg::new(NO_WAIT)
        .long(NO_WAIT)
        .action(ArgAction::SetTrue)
        .help("Come back at once, while slots still move")
}

/// `NODE=N`.
fn weight(text: &str) -> Result<(String, u32), String> {
    let (node, weight) = text.rsplit_once('=').ok_or("NODE=N is wanted")?;
    let weight = weight.parse().map_err(|_| format!("no weight: {weight}"))?;
    Ok((node.to_owned(), weight))
}

/// What the command line asks for.
pub(crate) fn order(matches: &ArgMatches, env: &[(OsString, OsString)]) -> Result<Order, String> {
    let (name, m) = matches.subcommand().ok_or("what is to be done is not said")?;
    let one = |name: &str| m.get_one::<Address>(name).cloned().ok_or("an address is missing");
    let action = match name {
        "create" => Action::Create(m.get_many(NODES).into_iter().flatten().cloned().collect()),
        "check" => Action::Check(one(MEMBER)?),
        "add-node" => Action::AddNode { new: one(NEW)?, member: one(MEMBER)? },
        "del-node" => {
            Action::DelNode { member: one(MEMBER)?, node: m.get_one::<String>(NODE).cloned() }
        }
        "rebalance" => {
            let weights = m.get_many(WEIGHT).into_iter().flatten().cloned().collect();
            Action::Rebalance { member: one(MEMBER)?, weights }
        }
        _ => Action::Info(one(MEMBER)?),
    };
    let text = |name: &str| m.get_one::<String>(name).cloned();
    let file = |name: &str| m.get_one::<PathBuf>(name).cloned();
    let found = env.iter().find(|(name, _)| name == PASSWORD);
    let password = found.map(|(_, value)| value.to_string_lossy().into_owned());
    let access = Access {
        user: text("user"),
        password: text("pass").or(password),
        tls: m.get_flag("tls"),
        ca: file("cacert"),
        cert: file("cert"),
        key: file("key"),
    };
    let wait = !m.try_get_one::<bool>(NO_WAIT).ok().flatten().copied().unwrap_or(false);
    Ok(Order { access, wait, action })
}
