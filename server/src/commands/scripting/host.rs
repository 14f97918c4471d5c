//! The server as a script sees it.
//!
//! The commands of a script run like others, but under the roles of the command that runs it: it
//! happens at one instant. These are the roles of the keys that its caller has named, if it is known
//! to keep to them ([`Reach`]), and else all. A script that goes further all the same gets the role it
//! lacks if that is free; if not, it begins anew under all roles, unless something has been done that
//! cannot be undone. Then it tries for a while, and fails. One that removes all keys while slots are
//! handed over begins anew as well, when they are, or fails.

use super::nested::Caller;
use crate::acl::{Denied, LogContext};
use crate::client::Client;
use crate::cluster::here::Errand;
use crate::cluster::redirect::{self, Way};
use crate::cluster::slot::{self, Slots};
use crate::commands::call::Call;
use crate::commands::error::{self, ReplyError};
use crate::commands::spec::{Flags, Outcome};
use crate::commands::table::{Entry, table};
use crate::dispatch;
use crate::runtime::clock::Clock;
use crate::scripting::{
    CallOptions, CommandLine, Cost, Ended, Host, Reach, RunKind, Running, Watch,
};
use dunlin_protocol::{Reply, Request};
use dunlin_storage::{DbId, ShardSet};
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// What a script may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permissions {
    /// It may not write.
    pub(super) read_only: bool,
    /// It may write when memory is short.
    pub(super) allow_oom: bool,
    /// It may use keys of several slots.
    pub(super) cross_slot: bool,
}

/// What is to run.
pub(super) struct Invocation<'i> {
    pub(super) kind: RunKind,
    /// SHA-1 of the script or name of the function.
    pub(super) name: &'i str,
    pub(super) permissions: Permissions,
    pub(super) reach: &'i Reach,
    pub(super) cost: &'i Cost,
    /// The keys that the caller names.
    pub(super) keys: &'i [&'i [u8]],
}

/// One run: the call that began it, less its own reply.
pub(super) struct ScriptHost<'c, 'g> {
    caller: Caller<'c, 'g>,
    running: Rc<Running>,
    permissions: Permissions,
    /// The shards of the keys that the caller has named.
    declared: ShardSet,
    /// The slot of the keys that the caller has named, or else of the first that was used, on a node of a
    /// cluster.
    slot: Option<u16>,
    /// Other shards were wanted.
    exceeded: bool,
    /// A command that writes has run: from now on the script is not refused for want of memory.
    wrote: bool,
    /// The run has failed for want of roles; it is to begin anew with all of them.
    anew: bool,
    /// It has failed because it wants to remove all keys, which has to wait.
    flushes: bool,
    /// Commands it has called.
    calls: u32,
    /// What of the caller's state the script has for itself.
    lent: Lent,
}

/// The caller's state before the script.
#[derive(Clone, Copy)]
struct Lent {
    /// The script may select another one for itself.
    db: DbId,
    deny_blocking: bool,
}

/// A command wants a role that somebody else holds, and it is too late to begin anew.
const TAKEN: ReplyError = ReplyError::new(
    "ERR The script has written, and then wanted a key that it has not declared and that is in use. \
     Please declare the keys of the script",
);
/// It wants to remove all keys while slots are handed over, and cannot begin anew.
const HANDED_OVER: ReplyError =
    ReplyError::new("TRYAGAIN Script attempted to remove all keys while slots are handed over");
/// A key is another node's, or of no slot that this one serves now.
const NOT_LOCAL: ReplyError =
    ReplyError::new("ERR Script attempted to access a non local key in a cluster node");
const CROSS_SLOT: ReplyError =
    ReplyError::new("ERR Script attempted to access keys that do not hash to the same slot");
const DOWN: ReplyError =
    ReplyError::new("ERR Script attempted to execute a command while the cluster is down");
const READS_ONLY: ReplyError = ReplyError::new(
    "ERR Script attempted to execute a write command while the cluster is down and readonly",
);
/// Nobody sees it: the script that gets it begins anew.
const ANEW: ReplyError = ReplyError::new("ERR The script begins anew");
/// Tries to get one more role when there is no other way: some hundred microseconds.
const TRIES: u32 = 512;
/// Milliseconds that a script which was believed to be cheap may run in front of others. Then it is
/// abandoned, if nothing has been done that cannot be undone, and begins anew on the pool.
const PATIENCE_MILLIS: u64 = 2;

/// On the pool others are let run after so many commands, at least: some ten microseconds.
const CALLS_PER_COURTESY: u32 = 16;

/// Measures what a run costs: on the pool, where it may be interrupted by whoever is more urgent, the time
/// of the processor; elsewhere that of the clock, which is cheaper to read.
pub(super) struct Stopwatch(Option<u64>);

impl Stopwatch {
    /// Begins to measure.
    pub(super) fn start(pooled: bool) -> Stopwatch {
        Stopwatch(pooled.then(Clock::thread_cpu_ns))
    }

    /// Nanoseconds until now, for a run that has just begun when this did.
    pub(super) fn stop(&self, running: &Running) -> u64 {
        match self.0 {
            Some(began) => Clock::thread_cpu_ns().saturating_sub(began),
            None => running.age_ns(),
        }
    }
}

/// Runs a script or a function. `engine` is what does it.
pub(super) fn run<'g>(
    call: &mut Call<'_, 'g>,
    invocation: &Invocation<'_>,
    engine: impl FnOnce(&mut ScriptHost<'_, 'g>, &mut Reply) -> Ended,
) -> Result<Outcome, ReplyError> {
    let again = std::mem::take(&mut call.client.begins_anew);
    call.client.flushes = false;
    if call.server.monitors.active() && !again {
        let now = call.server.clock.wall_us();
        call.server.monitors.show(now, call.client, call.entry, &call.request);
    }
    let keyspace = &call.server.keyspace;
    let shard_of = |key: &&[u8]| keyspace.shard_of(keyspace.key(key).hash);
    let declared = invocation.keys.iter().map(shard_of).collect();
    let mut running = begin(call, invocation.kind, invocation.name);
    if !call.pooled && !call.client.deny_blocking {
        running = running.in_front_of_others(PATIENCE_MILLIS);
    }
    let watch = Stopwatch::start(call.pooled);
    let (mut host, reply) = ScriptHost::new(call, running, invocation.permissions);
    host.declared = declared;
    host.slot = invocation.keys.first().map(|key| slot::of(key));
    let ended = engine(&mut host, reply);
    let (needs_roles, is_overtime, flushes) = (host.anew, host.running.is_overtime(), host.flushes);
    // Where there is time for it, it is asked first whether it may run.
    let needs_time = is_overtime || flushes;
    if host.exceeded {
        invocation.reach.note_exceeded();
    } else if ended == Ended::Replied {
        invocation.reach.note_kept();
    }
    match (needs_roles, is_overtime) {
        (_, true) => invocation.cost.note_long(),
        (true, false) => {}
        (false, false) => invocation.cost.note(watch.stop(&host.running)),
    }
    host.leave();
    (call.client.begins_anew, call.client.flushes) = (needs_roles || needs_time, flushes);
    match (needs_roles, needs_time) {
        (_, true) => Err(error::NEEDS_TIME),
        (true, false) => Err(error::NEEDS_ROLE),
        (false, false) => finish(call, ended),
    }
}

/// Notes the beginning of a run.
pub(super) fn begin(call: &Call<'_, '_>, kind: RunKind, name: &str) -> Running {
    let none = || std::iter::empty().collect();
    let shards = call.writer.as_deref().map_or_else(none, |writer| writer.shards().clone());
    let line = CommandLine::new(call.request.iter());
    let running = call.server.runs.begin(call.began, kind, name.to_owned(), line, shards);
    match call.pooled {
        true => running.on_pool().of(call.client.shared.clone()),
        false => running,
    }
}

/// What a run's end means for the command that began it.
fn finish(call: &mut Call<'_, '_>, ended: Ended) -> Result<Outcome, ReplyError> {
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
        let client = &mut *call.client;
        let lent = Lent { db: client.db, deny_blocking: client.deny_blocking };
        (client.deny_blocking, client.in_script) = (true, true);
        let (caller, reply) = Caller::new(call);
        let host = ScriptHost {
            caller,
            running: Rc::new(running),
            permissions,
            declared: std::iter::empty().collect(),
            slot: None,
            exceeded: false,
            wrote: false,
            anew: false,
            flushes: false,
            calls: 0,
            lent,
        };
        (host, reply)
    }

    /// The run as it shows itself.
    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// The run is over.
    pub(super) fn leave(self) {
        let client = &mut *self.caller.client;
        client.select(self.lent.db);
        (client.deny_blocking, client.in_script) = (self.lent.deny_blocking, false);
        client.instant_us = client.instant_us.filter(|_| client.deny_blocking);
    }

    /// What refuses a command of a script, in Redis's order.
    fn admit(&mut self, args: &[&[u8]]) -> Result<&'static Entry, ReplyError> {
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
        if flags.has(Flags::NOSCRIPT) && !self.may_debug(entry) {
            return Err("ERR This Redis command is not allowed from script".into());
        }
        self.caller.read(args)?;
        self.check_rights(entry)?;
        if self.permissions.read_only && flags.any(flag_set!(WRITE | MAY_REPLICATE)) {
            return Err("ERR Write commands are not allowed from read-only scripts.".into());
        }
        if flags.has(Flags::DENYOOM)
            && !self.permissions.allow_oom
            && !self.wrote
            && dispatch::is_short_of_memory(self.caller.server)
        {
            return Err(error::OOM);
        }
        self.check_slot(entry)?;
        Ok(entry)
    }

    /// Whether the keys of the command that was read are this node's, and of the script's slot. That one
    /// was looked at when the script began, and stays: whoever takes it away waits for the script.
    fn check_slot(&mut self, entry: &Entry) -> Result<(), ReplyError> {
        let server = self.caller.server;
        let (Some(cluster), Some(request)) = (&server.cluster, self.caller.request()) else {
            return Ok(());
        };
        let slots = dispatch::slots_of(entry, request);
        let wanted = match slots {
            Slots::None => return Ok(()),
            Slots::One(slot) if self.slot == Some(slot) => return Ok(()),
            Slots::One(slot) => Some(slot),
            Slots::Several(_) => None,
        };
        let (writes, began) = (entry.has(Flags::WRITE), server.clock.monotonic_ns());
        match cluster.way(&Errand { slots, writes, tls: false, began }) {
            Way::Here => {}
            Way::Away(error) if error == redirect::DOWN => return Err(DOWN),
            Way::Away(error) if error == redirect::READS_ONLY => return Err(READS_ONLY),
            Way::Away(_) | Way::Wait => return Err(NOT_LOCAL),
        }
        if self.slot.is_some() && !self.permissions.cross_slot {
            return Err(CROSS_SLOT);
        }
        self.slot = self.slot.or(wanted);
        Ok(())
    }

    /// Whether this is DEBUG, and tests want to call it.
    fn may_debug(&self, entry: &Entry) -> bool {
        entry.command.name == "debug" && self.caller.server.debug_in_scripts.load(Ordering::Relaxed)
    }

    /// Whether the user may run the command that was read.
    fn check_rights(&self, entry: &Entry) -> Result<(), ReplyError> {
        let client = &*self.caller.client;
        let Some(request) = self.caller.request() else { return Ok(()) };
        let Some(denied) = denied(client, entry, request) else { return Ok(()) };
        let ctx = self.caller.context();
        dispatch::log_denial(&ctx, entry, request, client, denied, LogContext::Lua);
        let error = denied.error(client.user(), entry);
        let why = error.text().strip_prefix(b"NOPERM ").unwrap_or(error.text());
        Err([b"NOPERM ACL failure in script: ", why].concat().into())
    }

    /// Gets the roles that a command needs; false: there are not all of them, and it may look
    /// without. A script that keeps to its keys has them.
    fn enter(&mut self, entry: &Entry) -> Result<bool, ReplyError> {
        let shards = self.caller.touches(entry);
        self.exceeded |= !shards.iter().all(|shard| self.declared.contains(shard));
        let may_begin_anew = !self.running.has_acted() && !self.lent.deny_blocking;
        if self.has_to_wait(entry) {
            if !may_begin_anew {
                return Err(HANDED_OVER);
            }
            (self.anew, self.flushes) = (true, true);
            self.running.abandon();
            return Err(ANEW);
        }
        if self.caller.enter(&shards, if may_begin_anew { 1 } else { TRIES }) {
            return Ok(true);
        }
        if may_begin_anew {
            self.anew = true;
            self.running.abandon();
            return Err(ANEW);
        }
        if entry.has(Flags::WRITE) { Err(TAKEN) } else { Ok(false) }
    }

    /// Whether a command would remove all keys while slots are handed over: as in dispatch, which knows
    /// nothing of what a script runs.
    fn has_to_wait(&self, entry: &Entry) -> bool {
        let is_handing_over = || {
            let cluster = self.caller.server.cluster.as_ref();
            cluster.is_some_and(|cluster| cluster.routes.has_fenced())
        };
        entry.command.flags.has(flag_set!(WRITE | ALL_SHARDS)) && is_handing_over()
    }
}

fn denied(client: &Client, entry: &Entry, request: Request<'_>) -> Option<Denied> {
    if !client.is_restricted() {
        return None;
    }
    client.user().check(entry, &request).err()
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
        if self.anew || self.running.is_overtime() {
            return Err(ANEW);
        }
        let entry = match self.admit(args) {
            Ok(entry) => entry,
            Err(error) => {
                if let Some(entry) = find(args) {
                    self.caller.stats.command(entry.id).rejected.add(1);
                }
                self.caller.stats.error(error.text());
                return Err(error);
            }
        };
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(CALLS_PER_COURTESY) {
            self.running.let_others_run();
        }
        let with_roles = self.enter(entry)?;
        if entry.has(Flags::WRITE) && !self.running.run().begins_to_write() {
            let why = self.running.why_to_end().unwrap_or_default();
            return Err(format!("ERR {why}").into());
        }
        self.caller.client.shared.commands.add(1);
        if entry.command.flags.any(flag_set!(WRITE | MAY_REPLICATE)) {
            self.running.acts();
        }
        self.wrote |= entry.has(Flags::WRITE);
        match self.caller.run(entry, with_roles, reply) {
            true => Ok(()),
            false => Err(TAKEN),
        }
    }

    fn may_run(&mut self, args: &[&[u8]]) -> Option<bool> {
        let entry = find(args)?;
        if self.caller.read(args).is_err() {
            return Some(false);
        }
        let request = self.caller.request()?;
        Some(denied(self.caller.client, entry, request).is_none())
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
