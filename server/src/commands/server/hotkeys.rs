//! HOTKEYS, as Redis 8.6 has it; the session itself is [`crate::insight::Tracking`].

use super::docs;
use crate::cluster::slot::SLOTS;
use crate::cluster::stream::ranges::Ranges;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use crate::insight::{Metric, Plan, Session};
use dunlin_protocol::{Reply, number};
use dunlin_storage::SlotSet;

const OPERATOR: Flags = flag_set!(ADMIN | NOSCRIPT);
/// Keys that are shown unless COUNT says otherwise, and at most.
const DEFAULT_COUNT: usize = 10;
const MAX_COUNT: i64 = 64;
/// Seconds that a session may last.
const MAX_SECONDS: i64 = 1_000_000;
/// Metrics there are.
const METRICS: i64 = 2;

pub(super) const HOTKEYS: Command = Command::new("hotkeys", Arity::at_least(2), help::container)
    .docs(docs("8.6.0", "Depends on subcommand.", "Commands that measure what keys take."))
    .subcommands(&[GET, HELP, RESET, START, STOP]);

const START: Command = Command::new("start", Arity::at_least(2), start).flags(OPERATOR).docs(
    docs("8.6.0", "O(1)", "Begins to measure the CPU time and the bytes of keys.").args(&[
        Arg::block(
            "metrics",
            &[
                Arg::integer("count"),
                Arg::flag("cpu", "CPU").optional(),
                Arg::flag("net", "NET").optional(),
            ],
        )
        .token("METRICS"),
        Arg::integer("k").token("COUNT").optional(),
        Arg::integer("seconds").token("DURATION").optional(),
        Arg::integer("ratio").token("SAMPLE").optional(),
        Arg::block("slots", &[Arg::integer("count"), Arg::integer("slot").multiple()])
            .token("SLOTS")
            .optional(),
    ]),
);

fn start(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let tracking = &call.server.insight.tracking;
    // Before the arguments are looked at, as in Redis.
    if tracking.session().is_some_and(|session| session.state(call.now).0) {
        return Err(IN_PROGRESS.into());
    }
    let plan = plan(call)?;
    if !tracking.start(call.server, plan, call.now) {
        return Err(IN_PROGRESS.into());
    }
    call.reply.ok();
    Ok(Outcome::Done)
}

const IN_PROGRESS: &str = "ERR hotkey tracking session already in progress";

/// Argument `i` as a number between two others; `text` is the error if it is none.
fn between(
    call: &Call<'_, '_>,
    i: usize,
    least: i64,
    most: i64,
    text: &'static str,
) -> Result<i64, ReplyError> {
    let number = number::parse_i64(call.arg(i)).filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| text.into())
}

fn plan(call: &Call<'_, '_>) -> Result<Plan, ReplyError> {
    let ((cpu, net), mut i) = metrics(call)?;
    let (count, slots) = (DEFAULT_COUNT, None);
    let mut plan = Plan { cpu, net, count, duration: None, sample: 1, slots };
    while i < call.argc() {
        if i + 1 == call.argc() {
            return Err(SYNTAX);
        }
        if call.is(i, "COUNT") {
            let count = between(call, i + 1, 1, MAX_COUNT, "ERR COUNT must be between 1 and 64")?;
            plan.count = usize::try_from(count).unwrap_or(DEFAULT_COUNT);
        } else if call.is(i, "DURATION") {
            let text = "ERR DURATION must be between 1 and 1000000";
            plan.duration = Some(between(call, i + 1, 1, MAX_SECONDS, text)? * 1000);
        } else if call.is(i, "SAMPLE") {
            let text = "ERR SAMPLE ratio must be positive";
            let ratio = between(call, i + 1, 1, i64::from(i32::MAX), text)?;
            plan.sample = u32::try_from(ratio).unwrap_or(1);
        } else if call.is(i, "SLOTS") {
            if plan.slots.is_some() {
                return Err("ERR SLOTS parameter already specified".into());
            }
            let (slots, next) = selected(call, i + 1)?;
            plan.slots = Some(slots);
            i = next;
            continue;
        } else {
            return Err(SYNTAX);
        }
        i += 2;
    }
    Ok(plan)
}

/// A number of slots and the slots themselves, from argument `i` on; and where they end.
fn selected(call: &Call<'_, '_>, i: usize) -> Result<(SlotSet, usize), ReplyError> {
    let Some(cluster) = call.server.cluster.as_deref() else {
        return Err("ERR SLOTS parameter cannot be used in non-cluster mode".into());
    };
    let count = between(call, i, 1, SLOTS.into(), "ERR SLOTS count must be between 1 and 16384")?;
    let end = i + 1 + usize::try_from(count).unwrap_or(0);
    if end > call.argc() {
        return Err("ERR not enough slot numbers provided".into());
    }
    let mut slots = SlotSet::default();
    let mut is_twice = false;
    for at in i + 1..end {
        let slot = number::parse_i64(call.arg(at)).and_then(|slot| u16::try_from(slot).ok());
        let slot = slot.filter(|slot| *slot < SLOTS);
        let slot = slot.ok_or(ReplyError::new("ERR Invalid or out of range slot"))?;
        if !cluster.routes.get(slot).is_own() {
            return Err(format!("ERR slot {slot} not handled by this node").into());
        }
        is_twice |= slots.contains(slot);
        slots.insert(slot);
    }
    match is_twice {
        true => Err("ERR duplicate slot number".into()),
        false => Ok((slots, end)),
    }
}

/// Whether to measure CPU time and bytes, and where the options begin.
fn metrics(call: &Call<'_, '_>) -> Result<((bool, bool), usize), ReplyError> {
    if call.argc() < 4 || !call.is(2, "METRICS") {
        return Err("ERR METRICS parameter is required".into());
    }
    let count = between(call, 3, 1, METRICS, "ERR METRICS count must be > 0 and <= 2")?;
    let end = 4 + usize::try_from(count).unwrap_or(0);
    let (mut cpu, mut net) = (false, false);
    for i in 4..end.min(call.argc()) {
        // Redis counts what is neither, too.
        if call.is(i, "CPU") {
            if std::mem::replace(&mut cpu, true) {
                return Err("ERR METRICS CPU defined more than once!".into());
            }
        } else if call.is(i, "NET") && std::mem::replace(&mut net, true) {
            return Err("ERR METRICS NET defined more than once!".into());
        }
    }
    if end > call.argc() {
        let text = "ERR METRICS count does not match number of metric types provided";
        return Err(text.into());
    }
    if !cpu && !net {
        return Err("ERR METRICS no valid metrics passed. Supported: CPU|NET".into());
    }
    Ok(((cpu, net), end))
}

const STOP: Command = Command::new("stop", Arity::exactly(2), stop).flags(OPERATOR).docs(docs(
    "8.6.0",
    "O(1)",
    "Ends the measuring and keeps its results.",
));

fn stop(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.server.insight.tracking.stop(call.server, call.now) {
        call.reply.ok();
    } else {
        call.reply.null();
    }
    Ok(Outcome::Done)
}

const RESET: Command = Command::new("reset", Arity::exactly(2), reset).flags(OPERATOR).docs(docs(
    "8.6.0",
    "O(1)",
    "Forgets the results of the last measuring.",
));

fn reset(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if !call.server.insight.tracking.reset(call.server, call.now) {
        return Err("ERR hotkey tracking session in progress, stop tracking first".into());
    }
    call.reply.ok();
    Ok(Outcome::Done)
}

const GET: Command = Command::new("get", Arity::exactly(2), get).flags(OPERATOR).docs(docs(
    "8.6.0",
    "O(K) where K is the number of hotkeys returned.",
    "Answers the keys that have taken most, by each metric.",
));

fn get(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let Some(session) = call.server.insight.tracking.session() else {
        call.reply.null();
        return Ok(Outcome::Done);
    };
    let reply = &mut *call.reply;
    // One map per node, for who puts several together.
    reply.array(1);
    let (cpu, net) = (session.plan.cpu, session.plan.net);
    let selects = session.plan.slots.is_some();
    let of_slots = match selects {
        true if session.plan.sample > 1 => 4,
        true => 2,
        false => 0,
    };
    reply.map(7 + of_slots + if cpu { 3 } else { 0 } + if net { 2 } else { 0 });
    let slots = match (&session.plan.slots, call.server.cluster.as_deref()) {
        (Some(slots), _) => slots.clone(),
        (None, Some(cluster)) => cluster.routes.own(),
        // Without a cluster every server has them all.
        (None, None) => SlotSet::all(),
    };
    show_session(reply, &session, &slots, call.now);
    if cpu {
        let (user, system) = session.cpu_millis();
        int(reply, "total-cpu-time-user-ms", user);
        int(reply, "total-cpu-time-sys-ms", system);
    }
    if net {
        int(reply, "total-net-bytes", session.totals().sampled_bytes);
    }
    if cpu {
        ranking(reply, "by-cpu-time-us", &session, Metric::Cpu);
    }
    if net {
        ranking(reply, "by-net-bytes", &session, Metric::Net);
    }
    Ok(Outcome::Done)
}

/// The seven fields that every session has, and those about the slots that it was started for.
fn show_session(reply: &mut Reply, session: &Session, slots: &SlotSet, now: i64) {
    let (active, millis) = session.state(now);
    let totals = session.totals();
    let selects = session.plan.slots.is_some();
    let samples = selects && session.plan.sample > 1;
    int(reply, "tracking-active", u64::from(active));
    int(reply, "sample-ratio", u64::from(session.plan.sample));
    reply.bulk(b"selected-slots");
    ranges(reply, slots);
    if samples {
        int(reply, "sampled-commands-selected-slots-us", totals.sampled_nanos.div_ceil(1000));
    }
    if selects {
        int(reply, "all-commands-selected-slots-us", totals.selected_nanos.div_ceil(1000));
    }
    int(reply, "all-commands-all-slots-us", totals.nanos.div_ceil(1000));
    if samples {
        int(reply, "net-bytes-sampled-commands-selected-slots", totals.sampled_bytes);
    }
    if selects {
        int(reply, "net-bytes-all-commands-selected-slots", totals.selected_bytes);
    }
    int(reply, "net-bytes-all-commands-all-slots", totals.bytes);
    int(reply, "collection-start-time-unix-ms", session.started.unsigned_abs());
    int(reply, "collection-duration-ms", millis.unsigned_abs());
}

/// `[[first, last], ...]`, of a single slot `[slot]`.
fn ranges(reply: &mut Reply, slots: &SlotSet) {
    let ranges: Ranges = slots.iter().map(|slot| (slot, slot)).collect();
    reply.array(ranges.as_slice().len());
    for (first, last) in ranges.as_slice() {
        reply.array(if first == last { 1 } else { 2 });
        reply.int((*first).into());
        if first != last {
            reply.int((*last).into());
        }
    }
}

fn ranking(reply: &mut Reply, name: &str, session: &Session, metric: Metric) {
    let keys = session.ranking(metric);
    reply.bulk(name.as_bytes());
    reply.array(keys.len() * 2);
    for (key, figure) in keys {
        reply.bulk(&key);
        // A command takes a fraction of a microsecond: who has taken time has taken one.
        let shown = if metric == Metric::Cpu { figure.div_ceil(1000) } else { figure };
        reply.int(i64::try_from(shown).unwrap_or(i64::MAX));
    }
}

fn int(reply: &mut Reply, name: &str, value: u64) {
    reply.bulk(name.as_bytes());
    reply.int(i64::try_from(value).unwrap_or(i64::MAX));
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .docs(docs("8.6.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "GET",
            "    The keys that have taken most, and what all have taken together.",
            "RESET",
            "    Forget the results. The measuring must have been stopped.",
            "START METRICS <count> [CPU] [NET] [COUNT <k>] [DURATION <seconds>] [SAMPLE <ratio>]",
            "    [SLOTS <count> <slot> ...]",
            "    Measure every command (or one in <ratio>) until STOP, or for some seconds;",
            "    GET will show <k> keys (10) by CPU time, by bytes of commands and replies, or both.",
            "    SLOTS: only keys of these slots of this node of a cluster.",
            "STOP",
            "    End the measuring; GET still answers.",
        ],
    )
}
