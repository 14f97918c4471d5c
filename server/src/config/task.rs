//! What the program is asked to do, and with which configuration.

use std::ffi::OsString;

use super::cli::{self, CommandLine, Parsed, Request};
use super::file::Draft;
use super::{Applied, Config, LoadError};
use crate::runtime::container;
use crate::tools::cluster;

/// Names of the directives that say where a server listens; the first that is named counts.
const PLACES: [Applied; 3] = ["unixsocket", "port", "tls-port"];

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    /// To serve.
    Serve(Config),
    /// `--check-config`.
    Check {
        /// What is right of the configuration.
        config: Config,
        /// What is wrong with the rest, one line each.
        faults: Vec<String>,
    },
    /// `dunlin ping`.
    Ping {
        /// The configuration of the server.
        config: Config,
        /// The directive by which the command line says where it is, if it does.
        place: Option<Applied>,
    },
    /// `dunlin cluster`.
    Cluster(cluster::Order),
}

impl Task {
    /// Reads all sources. `args` begins with the program's name; `env` is the whole environment.
    ///
    /// # Errors
    /// The text to print and the exit code; also for `--help` and the like.
    pub fn read(
        args: impl IntoIterator<Item = OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Task, LoadError> {
        Task::read_for(args, env, container::detect_memory().usable())
    }

    /// [`Task::read`] for a machine with this much memory.
    ///
    /// # Errors
    /// See [`Task::read`].
    pub fn read_for(
        args: impl IntoIterator<Item = OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
        machine_memory: u64,
    ) -> Result<Task, LoadError> {
        let env: Vec<(OsString, OsString)> = env.into_iter().collect();
        let line = match cli::parse(args, &env)? {
            Parsed::Line(line) => line,
            Parsed::Cluster(order) => return Ok(Task::Cluster(order)),
        };
        let draft = match line.request {
            Request::Check => Draft::lenient(machine_memory),
            Request::Serve | Request::Ping => Draft::new(machine_memory),
        };
        let (config, faults) = draft.load(&line, env)?;
        Ok(match line.request {
            Request::Serve => Task::Serve(config),
            Request::Check => Task::Check { config, faults },
            Request::Ping => Task::Ping { config, place: place(&line) },
        })
    }
}

fn place(line: &CommandLine) -> Option<Applied> {
    PLACES.into_iter().find(|place| line.settings.iter().any(|(name, _)| name == place))
}
