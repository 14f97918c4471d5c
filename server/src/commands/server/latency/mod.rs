//! LATENCY; the samples are kept in [`crate::latency`], the histograms in [`crate::stats`].

mod histogram;
mod report;

use super::docs;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};

const OPERATOR: Flags = flag_set!(ADMIN | NOSCRIPT | LOADING | STALE);
const TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

pub(super) const LATENCY: Command = Command::new("latency", Arity::at_least(2), help::container)
    .docs(docs("2.8.13", "Depends on subcommand.", "Commands about slow moments."))
    .subcommands(&[
        report::DOCTOR,
        report::GRAPH,
        HELP,
        histogram::HISTOGRAM,
        HISTORY,
        LATEST,
        RESET,
    ]);

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

const LATEST: Command = Command::new("latest", Arity::exactly(2), latest)
    .flags(OPERATOR)
    .docs(docs("2.8.13", "O(1)", "Answers the latest slow moment of each kind of event."))
    .tips(TIPS);

fn latest(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let events = call.server.latency.all();
    let reply = &mut *call.reply;
    reply.array(events.len());
    for (event, series) in events {
        reply.array(4);
        reply.bulk(event.as_bytes());
        let (time, millis) = series.samples.back().map_or((0, 0), |s| (s.time, s.millis));
        reply.int(time);
        reply.int(count(millis));
        reply.int(count(series.max));
    }
    Ok(Outcome::Done)
}

const HISTORY: Command = Command::new("history", Arity::exactly(3), history)
    .flags(OPERATOR)
    .docs(
        docs("2.8.13", "O(1)", "Answers the slow moments of one kind of event.")
            .args(&[Arg::string("event")]),
    )
    .tips(TIPS);

fn history(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let series = call.server.latency.series(call.arg(2)).map(|(_, series)| series);
    let series = series.unwrap_or_default();
    call.reply.array(series.samples.len());
    for sample in series.samples {
        call.reply.array(2);
        call.reply.int(sample.time);
        call.reply.int(count(sample.millis));
    }
    Ok(Outcome::Done)
}

const RESET: Command = Command::new("reset", Arity::at_least(2), reset)
    .flags(OPERATOR)
    .docs(
        docs("2.8.13", "O(1)", "Forgets the slow moments of the given events, or of all.")
            .args(&[Arg::string("event").optional().multiple()]),
    )
    .tips(&["request_policy:all_nodes", "response_policy:agg_sum"]);

fn reset(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let monitor = &call.server.latency;
    let forgotten = if call.argc() == 2 {
        monitor.reset(None)
    } else {
        (2..call.argc()).map(|i| monitor.reset(Some(call.arg(i)))).sum()
    };
    call.reply.int(i64::try_from(forgotten).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .docs(docs("2.8.13", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "DOCTOR",
            "    What is remarkable about the slow moments.",
            "GRAPH <event>",
            "    Draw the slow moments of one kind of event.",
            "HISTOGRAM [<command> ...]",
            "    Cumulative histograms of the time that commands take, in microseconds.",
            "HISTORY <event>",
            "    Time and milliseconds of each slow moment of one kind of event.",
            "LATEST",
            "    The latest slow moment of each kind of event.",
            "RESET [<event> ...]",
            "    Forget the slow moments of these events, or of all.",
        ],
    )
}
