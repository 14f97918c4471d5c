//! `expiry`: a million keys with random deadlines that nobody asks for.
//!
//! Deadlines are spread evenly over an interval that begins when all keys are written. Twice a
//! second each server is asked what it still holds; of the keys whose deadline passed more than a
//! second ago, 99 % must be gone. (The distribution is known, so is the number that should be left
//! at any time, to about 1 / sqrt(keys).) Beside it: the server's CPU time and its memory.

use std::thread;
use std::time::{Duration, Instant};

use crate::compare::fill;
use crate::load::Spec;
use crate::peer::{Server, Stage};
use crate::report::{Report, Table, number};
use crate::request::{Ttl, ValueSize};
use crate::scan::Wire;
use crate::{Outcome, unix_ms};

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Keys.
    pub keys: u64,
    /// Length of the interval of deadlines.
    pub spread: Duration,
    /// Time granted for writing the keys before the first deadline.
    pub lead: Duration,
    /// How long to wait after the last deadline for the rest to go.
    pub patience: Duration,
    /// Length of the values.
    pub size: usize,
}

const SLACK_MS: u64 = 1000;
const GOAL_GONE: f64 = 0.99;
const GOAL_CPU: f64 = 0.05;

struct Watched {
    server: Server,
    from: u64,
    to: u64,
    cpu_before: u64,
    since: Instant,
    samples: Vec<Sample>,
    emptied: Option<u64>,
}

struct Sample {
    /// Milliseconds after the first deadline.
    at: u64,
    held: u64,
    late: u64,
    /// Share of those more than a second past their deadline that are gone.
    gone: f64,
    expired: u64,
    used: u64,
    rss: u64,
}

/// Runs it on all RESP servers at the same time.
///
/// # Errors
///
/// When a server fails or the keys cannot be written in time.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let mut all = Vec::new();
    for peer in stage.peers.iter().filter(|p| p.wire == Wire::Resp) {
        let server = stage.start(peer)?;
        let from = unix_ms() + plan.lead.as_millis() as u64;
        let to = from + plan.spread.as_millis() as u64;
        let spec = Spec::fill(plan.keys, ValueSize::Fixed(plan.size), Ttl::Between(from, to));
        fill(&server, stage.load_core, spec)?;
        if unix_ms() >= from {
            return Err("writing the keys took longer than --lead".into());
        }
        let (cpu_before, since) = (server.process.cpu_ns(), Instant::now());
        let samples = Vec::new();
        all.push(Watched { server, from, to, cpu_before, since, samples, emptied: None });
    }
    let last = all.iter().map(|w| w.to).max().unwrap_or(0);
    let end = last + SLACK_MS + plan.patience.as_millis() as u64;
    let mut cpu = vec![f64::NAN; all.len()];
    loop {
        for (w, cpu) in all.iter_mut().zip(&mut cpu) {
            w.sample(plan.keys)?;
            if cpu.is_nan() && unix_ms() > w.to + SLACK_MS {
                let used = w.server.process.cpu_ns() - w.cpu_before;
                *cpu = used as f64 / w.since.elapsed().as_nanos() as f64;
            }
        }
        let emptied = all.iter().all(|w| w.emptied.is_some()) && unix_ms() > last + SLACK_MS;
        if emptied || unix_ms() > end {
            break;
        }
        thread::sleep(Duration::from_millis(500));
    }
    print(&all, &cpu, plan, report);
    Ok(())
}

impl Watched {
    fn sample(&mut self, keys: u64) -> Outcome<()> {
        let mut control = self.server.control()?;
        let held = control.items()?;
        let now = unix_ms();
        if held == 0 && self.emptied.is_none() {
            self.emptied = Some(now.saturating_sub(self.to));
        }
        let overdue = overdue(keys, self.from, self.to, now);
        let late = held.saturating_sub(keys - overdue);
        self.samples.push(Sample {
            at: now.saturating_sub(self.from),
            held,
            late,
            gone: 1.0 - late as f64 / overdue.max(1) as f64,
            expired: control.info("stats", "expired_keys")?.unwrap_or(0),
            used: control.info("memory", "used_memory")?.unwrap_or(0),
            rss: self.server.process.rss().0,
        });
        Ok(())
    }
}

/// Keys whose deadline passed more than the slack before `now`.
fn overdue(keys: u64, from: u64, to: u64, now: u64) -> u64 {
    let passed = now.saturating_sub(SLACK_MS).saturating_sub(from).min(to - from);
    (u128::from(keys) * u128::from(passed) / u128::from(to - from)) as u64
}

fn print(all: &[Watched], cpu: &[f64], plan: &Plan, report: &mut Report) {
    let mb = |bytes: u64| number(bytes as f64 / f64::from(1 << 20), 1);
    let columns =
        ["server", "at s", "held", "over 1 s late", "gone", "expired_keys", "used MB", "RSS MB"];
    let mut course = Table::new("expiry without access, course", &columns);
    let spread = plan.spread.as_millis() as u64;
    for w in all {
        let mut next = 0;
        for (i, s) in w.samples.iter().enumerate() {
            if s.at < next && i + 1 < w.samples.len() {
                continue;
            }
            next = s.at + spread / 6;
            course.row(vec![
                w.server.name.as_str().into(),
                number(s.at as f64 / 1000.0, 1),
                s.held.into(),
                s.late.into(),
                number(s.gone, 4),
                s.expired.into(),
                mb(s.used),
                mb(s.rss),
            ]);
        }
    }
    report.table(course);
    let columns = ["server", "worst share gone", "most late", "cpu of a core", "empty after s"];
    let title = format!("{} keys, deadlines over {:?}", plan.keys, plan.spread);
    let mut table = Table::new(&title, &columns);
    for (w, &cpu) in all.iter().zip(cpu) {
        // Early on a handful of keys is overdue and the estimate means nothing.
        let counted = w.samples.iter().filter(|s| s.at > 2 * SLACK_MS + spread / 20);
        let worst = counted.map(|s| s.gone).fold(1.0, f64::min);
        let late = w.samples.iter().map(|s| s.late).max().unwrap_or(0);
        table.row(vec![
            w.server.name.as_str().into(),
            number(worst, 4),
            late.into(),
            number(cpu, 4),
            w.emptied.map(|ms| number(ms as f64 / 1000.0, 1)).into(),
        ]);
        if w.server.name == "dunlin" {
            let text = format!("{worst:.4} of the keys gone 1 s after their deadline");
            report.goal(worst >= GOAL_GONE, &text);
            report.goal(cpu < GOAL_CPU, &format!("{:.2} % of a core", cpu * 100.0));
            let counted = w.samples.last().map_or(0, |s| s.expired);
            let text = format!("expired_keys counts {counted} of {}", plan.keys);
            report.goal(counted == plan.keys, &text);
        }
    }
    report.table(table);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overdue_keys() {
        assert_eq!(overdue(1000, 10_000, 20_000, 10_500), 0);
        assert_eq!(overdue(1000, 10_000, 20_000, 16_000), 500);
        assert_eq!(overdue(1000, 10_000, 20_000, 90_000), 1000);
    }
}
