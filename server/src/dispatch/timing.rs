//! The time of commands, for their statistics, the slow log and LATENCY.

use super::Context;
use crate::commands::table::Entry;
use crate::runtime::clock::Clock;

/// Accounts the time of commands. Reading the clock costs as much as a quarter of a GET, so
/// constant-time commands are timed in runs and the time is divided evenly; others one by one.
pub(crate) struct Run {
    started: u64,
    /// The turn should end with the run that ends later than this.
    until: u64,
    /// Commands of the current run: entry and calls. A pipeline seldom mixes more than a few.
    calls: [(u16, u32); Run::KINDS],
    kinds: usize,
    total: u64,
    /// Processor time that the thread had used before the command that runs; 0: it is not measured.
    processor: u64,
}

impl Run {
    const KINDS: usize = 4;

    /// The first run of a turn; its time includes that of reading the arguments.
    pub(crate) fn start(ctx: &Context<'_, '_>) -> Run {
        Run::within(ctx, u64::MAX)
    }

    /// The same, of a turn that should take so many nanoseconds at most.
    #[inline]
    pub(crate) fn within(ctx: &Context<'_, '_>, nanos: u64) -> Run {
        Run {
            started: ctx.began,
            until: ctx.began.saturating_add(nanos),
            calls: [(0, 0); Run::KINDS],
            kinds: 0,
            total: 0,
            processor: 0,
        }
    }

    /// Whether the turn has taken as long as it should, as far as that is known: until the end of the
    /// last run.
    #[inline(always)]
    pub(crate) fn is_late(&self) -> bool {
        self.started > self.until
    }

    /// Whether the processor time of the command that comes is to be measured.
    #[inline]
    pub(super) fn measure_processor(&mut self, wanted: bool) {
        self.processor = if wanted { Clock::thread_cpu_ns() } else { 0 };
    }

    /// The processor time of the command that has run, if it was to be measured.
    #[inline]
    pub(super) fn processor(&mut self) -> Option<u64> {
        let before = std::mem::take(&mut self.processor);
        (before > 0).then(|| Clock::thread_cpu_ns().saturating_sub(before))
    }

    #[inline(always)]
    pub(super) fn add(&mut self, ctx: &Context<'_, '_>, entry: &Entry) {
        let known = self.calls[..self.kinds].iter_mut().find(|(id, _)| *id == entry.id);
        if let Some((_, calls)) = known {
            *calls += 1;
        } else {
            if self.kinds == Run::KINDS {
                self.close(ctx);
            }
            self.calls[self.kinds] = (entry.id, 1);
            self.kinds += 1;
        }
        self.total += 1;
    }

    /// Ends the run: divides its time among its commands. Returns nanoseconds per command.
    pub(super) fn close(&mut self, ctx: &Context<'_, '_>) -> u64 {
        if self.total == 0 {
            return 0;
        }
        let now = ctx.server.clock.monotonic_ns();
        let each = now.saturating_sub(self.started) / self.total;
        let histogram = ctx.server.latency_tracking();
        for (id, calls) in &self.calls[..self.kinds] {
            let stats = ctx.stats.command(*id);
            stats.calls.add(u64::from(*calls));
            stats.time(u64::from(*calls), each * u64::from(*calls), histogram);
        }
        self.started = now;
        self.kinds = 0;
        self.total = 0;
        each
    }

    /// When the current run has begun.
    pub(super) fn started(&self) -> u64 {
        self.started
    }

    /// Ends the last run. Returns the nanoseconds of all.
    pub(crate) fn finish(mut self, ctx: &Context<'_, '_>) -> u64 {
        self.close(ctx);
        self.started.saturating_sub(ctx.began)
    }
}
