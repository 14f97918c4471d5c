//! The server as a script sees it.

use super::nested::{self, Caller};
use crate::commands::call::Call;
use crate::commands::error::{self, ReplyError};
use crate::commands::spec::{Flags, Outcome};
use crate::commands::table::{Entry, table};
use crate::scripting::{CallOptions, CommandLine, Ended, Host, RunKind, Running, Watch};
use dunlin_protocol::Reply;
use dunlin_storage::DbId;
use std::rc::Rc;

/// What a script may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permissions {
    /// It may not write.
    pub(super) read_only: bool,
    /// It may write when memory is short.
    pub(super) allow_oom: bool,
}

/// One run: the call that began it, less its own reply.
pub(super) struct ScriptHost<'c, 'g> {
    caller: Caller<'c, 'g>,
    running: Rc<Running>,
    permissions: Permissions,
    /// A command that writes has run: from now on the script is not refused for want of memory.
    wrote: bool,
    /// The caller's database; the script may select another one for itself.
    db: DbId,
}

/// Notes the beginning of a run.
pub(super) fn begin(call: &Call<'_, '_>, kind: RunKind, name: &str) -> Running {
    call.server.runs.begin(kind, name.to_owned(), CommandLine::new(call.request.iter()))
}

/// What a run's end means for the command that began it.
pub(super) fn finish(call: &mut Call<'_, '_>, ended: Ended) -> Result<Outcome, ReplyError> {
    match ended {
        Ended::Replied => Ok(Outcome::Done),
        Ended::Failed { error, counted: false } => Err(error),
        Ended::Failed { error, counted: true } => {
            // The command of the script that failed has been counted; this one failed too.
            call.stats.command(call.entry.id).failed.add(1);
            call.reply.error(error.text());
            Ok(Outcome::Done)
        }
    }
}

impl<'c, 'g> ScriptHost<'c, 'g> {
    /// Takes a call apart: the script's commands use it, its reply is the script's.
    pub(super) fn new(
        call: &'c mut Call<'_, 'g>,
        running: Running,
        permissions: Permissions,
    ) -> (ScriptHost<'c, 'g>, &'c mut Reply) {
        let db = call.client.db;
        let (caller, reply) = Caller::new(call);
        let running = Rc::new(running);
        (ScriptHost { caller, running, permissions, wrote: false, db }, reply)
    }

    /// The run is over.
    pub(super) fn leave(self) {
        self.caller.client.select(self.db);
    }

    /// What refuses a command of a script, in Redis's order.
    fn admit(&self, args: &[&[u8]]) -> Result<&'static Entry, ReplyError> {
        let Some(entry) = find(args) else {
            return Err("ERR Unknown Redis command called from script".into());
        };
        let is_container = !entry.subcommands.is_empty() && args.len() > 1;
        if is_container {
            return Err("ERR Unknown Redis command called from script".into());
        }
        if !entry.command.arity.accepts(args.len()) {
            return Err("ERR Wrong number of args calling Redis command from script".into());
        }
        let flags = entry.command.flags;
        if flags.has(Flags::NOSCRIPT) {
            return Err("ERR This Redis command is not allowed from script".into());
        }
        if self.permissions.read_only && flags.any(flag_set!(WRITE | MAY_REPLICATE)) {
            return Err("ERR Write commands are not allowed from read-only scripts.".into());
        }
        if flags.has(Flags::DENYOOM)
            && !self.permissions.allow_oom
            && !self.wrote
            && self.caller.server.keyspace.over_limit()
        {
            return Err(error::OOM);
        }
        Ok(entry)
    }
}

/// The row of a command line.
fn find(args: &[&[u8]]) -> Option<&'static Entry> {
    let entry = table().get(args.first()?)?;
    match args.get(1) {
        Some(name) if !entry.subcommands.is_empty() => {
            Some(table().sub(entry, name).unwrap_or(entry))
        }
        _ => Some(entry),
    }
}

impl Host for ScriptHost<'_, '_> {
    fn call(
        &mut self,
        args: &[&[u8]],
        _options: CallOptions,
        reply: &mut Reply,
    ) -> Result<(), ReplyError> {
        let admitted = self.admit(args).and_then(|entry| {
            self.caller.prepare(entry, args)?;
            Ok(entry)
        });
        let entry = match admitted {
            Ok(entry) => entry,
            Err(error) => {
                if let Some(entry) = find(args) {
                    self.caller.stats.command(entry.id).rejected.add(1);
                }
                self.caller.stats.error(error.text());
                return Err(error);
            }
        };
        if entry.has(Flags::WRITE) {
            self.wrote = true;
            self.running.run().has_written();
        }
        nested::run(&mut self.caller, entry, reply);
        Ok(())
    }

    fn may_run(&mut self, args: &[&[u8]]) -> Option<bool> {
        // There is one user so far, and it may do everything.
        find(args).map(|_| true)
    }

    fn log(&mut self, level: u8, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        match level {
            0 => tracing::trace!("{text}"),
            1 => tracing::debug!("{text}"),
            2 => tracing::info!("{text}"),
            _ => tracing::warn!("{text}"),
        }
    }

    fn watch(&mut self) -> Rc<dyn Watch> {
        self.running.clone()
    }
}
