//! LATENCY GRAPH and DOCTOR: the slow moments for people.

use super::{OPERATOR, TIPS};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, quoting};
use crate::commands::server::docs;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::latency::{Sample, Series};
use std::fmt::Write as _;

pub(super) const GRAPH: Command = Command::new("graph", Arity::exactly(3), graph)
    .flags(OPERATOR)
    .docs(
        docs("2.8.13", "O(1)", "Draws the slow moments of one kind of event.")
            .args(&[Arg::string("event")]),
    )
    .tips(TIPS);

fn graph(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let event = call.arg(2);
    let Some((name, series)) = call.server.latency.series(event) else {
        return Err(quoting("ERR No samples available for event '", event, "'"));
    };
    let text = draw(name, &series, call.server.clock.wall_us() / 1_000_000);
    call.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

/// Columns of a graph; older samples are left out.
const COLUMNS: usize = 80;
/// Rows of bars.
const ROWS: u64 = 4;

fn draw(name: &str, series: &Series, now: i64) -> String {
    let skip = series.samples.len().saturating_sub(COLUMNS);
    let samples: Vec<&Sample> = series.samples.iter().skip(skip).collect();
    let high = samples.iter().map(|s| s.millis).max().unwrap_or(0);
    let low = samples.iter().map(|s| s.millis).min().unwrap_or(0);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ =
        writeln!(text, "{name} - high {high} ms, low {low} ms (all time high {} ms)", series.max);
    text.push_str(&"-".repeat(COLUMNS));
    text.push('\n');
    let height = |millis: u64| match high - low {
        0 => ROWS,
        range => 1 + (millis - low).saturating_mul(ROWS - 1) / range,
    };
    for row in (1..=ROWS).rev() {
        let bar = |sample: &&Sample| match height(sample.millis) {
            top if top == row => '#',
            top if top > row => '|',
            _ => ' ',
        };
        let line: String = samples.iter().map(bar).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<String> = samples.iter().map(|sample| age(now - sample.time)).collect();
    let lines = ages.iter().map(String::len).max().unwrap_or(0);
    for i in 0..lines {
        let letter = |age: &String| age.chars().nth(i).unwrap_or(' ');
        let line: String = ages.iter().map(letter).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `12s`, `3m`, `1h`, `9d`: read from top to bottom below a bar.
fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

pub(super) const DOCTOR: Command = Command::new("doctor", Arity::exactly(2), doctor)
    .flags(OPERATOR)
    .docs(docs("2.8.13", "O(1)", "Says what is remarkable about the slow moments."))
    .tips(TIPS);

fn doctor(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let monitor = &call.server.latency;
    let text = diagnose(monitor.threshold(), &monitor.all());
    call.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn diagnose(threshold: u64, events: &[(&'static str, Series)]) -> String {
    if events.is_empty() {
        return match threshold {
            0 => "Latency monitoring is disabled. CONFIG SET latency-monitor-threshold \
                  <milliseconds> enables it.\n"
                .into(),
            _ => format!("No event took {threshold} ms or longer.\n"),
        };
    }
    let mut text = String::from("Events that took too long:\n");
    for (i, (event, series)) in events.iter().enumerate() {
        let samples = &series.samples;
        let sum: u64 = samples.iter().map(|sample| sample.millis).sum();
        let mean = sum / (samples.len() as u64).max(1);
        let period = match (samples.front(), samples.back()) {
            (Some(first), Some(last)) => last.time - first.time,
            _ => 0,
        };
        let _ = writeln!(
            text,
            "{}. {event}: {} seconds with a slow moment within {period} s, {mean} ms on \
             average, {} ms at worst.",
            i + 1,
            samples.len(),
            series.max
        );
    }
    text.push_str(
        "Commands over many keys or big values take their time: SLOWLOG GET shows which. If it \
         shows none, something else on the machine takes the processor from the server.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(millis: &[u64]) -> Series {
        let samples = millis.iter().zip(1..).map(|(ms, time)| Sample { time, millis: *ms });
        Series { samples: samples.collect(), max: 100 }
    }

    #[test]
    fn graph_shows_high_and_low_and_ages() {
        let text = draw("command", &series(&[10, 40, 20]), 62);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 40 ms, low 10 ms (all time high 100 ms)");
        assert_eq!(lines[2..6], [" #", " |", " |#", "#||"]);
        assert_eq!(lines[7..], ["115", "mm9", "  s"]);
    }

    #[test]
    fn equal_samples_are_drawn() {
        assert_eq!(draw("x", &series(&[7, 7]), 2).lines().nth(2), Some("##"));
    }

    #[test]
    fn doctor_tells_apart_off_quiet_and_slow() {
        assert!(diagnose(0, &[]).contains("disabled"));
        assert!(diagnose(5, &[]).contains("5 ms"));
        assert!(diagnose(5, &[("command", series(&[6]))]).contains("1. command"));
    }
}
