//! How loaded a worker is, measured without asking it.
//!
//! The kernel counts for every thread how long it has run and how long it has waited for a processor
//! (`/proc/thread-self/schedstat`). What is left is sleep, so the sum is how busy the worker is, also
//! where it shares its processor or a quota holds it still. Reading that a few times per second costs the
//! worker nothing; a clock at every sleep would cost every command of a client that does not pipeline.
//! A system without that file shows all workers idle, and then the number of connections decides.

use std::fs::File;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The whole of a figure in thousandths.
pub(super) const WHOLE: u32 = 1_000;

/// The load of one worker. Figures only: nothing is ordered by them.
#[derive(Debug, Default)]
pub struct Load {
    /// Connections, those on the way to the worker included.
    pub connections: AtomicUsize,
    /// Connections placed here since `busy` was measured.
    newcomers: AtomicUsize,
    busy: AtomicU32,
    runnable: AtomicU32,
    /// The kernel's figures of the worker's thread.
    schedstat: OnceLock<File>,
}

impl Load {
    /// Says that the calling thread is the worker.
    pub fn attach(&self) {
        if let Ok(file) = File::open("/proc/thread-self/schedstat") {
            // A worker has one thread.
            let _ = self.schedstat.set(file);
        }
    }

    /// Thousandths of the time in which the thread ran or waited for a processor; an average over
    /// about a window.
    #[must_use]
    pub fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// Thousandths of connections that were ready at once; an average over about a second.
    #[must_use]
    pub fn runnable(&self) -> u32 {
        self.runnable.load(Ordering::Relaxed)
    }

    /// Accounts for one look at the queue, the worker's own: so many connections were ready, `after` so
    /// many milliseconds.
    pub fn saw_ready(&self, connections: u32, after: u64) {
        let seen = connections.saturating_mul(WHOLE);
        self.runnable.store(blend(self.runnable(), seen, after, 1_000), Ordering::Relaxed);
    }

    /// A worker that does not look any more has nothing to do.
    pub fn rests(&self) {
        self.runnable.store(0, Ordering::Relaxed);
    }

    pub(super) fn newcomers(&self) -> usize {
        self.newcomers.load(Ordering::Relaxed)
    }

    pub(super) fn add_newcomer(&self) {
        self.newcomers.fetch_add(1, Ordering::Relaxed);
    }

    /// Nanoseconds the worker's thread has run or waited for a processor.
    fn wanted_ns(&self) -> Option<u64> {
        use std::os::unix::fs::FileExt as _;
        let mut text = [0; 96];
        let length = self.schedstat.get()?.read_at(&mut text, 0).ok()?;
        parse(text.get(..length)?)
    }
}

/// The first two numbers of the kernel's line, together.
fn parse(line: &[u8]) -> Option<u64> {
    let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let mut next = || numbers.next()?.parse::<u64>().ok();
    next()?.checked_add(next()?)
}

/// Measures one worker again and again.
#[derive(Debug, Default)]
pub struct Meter {
    /// Nanoseconds: wanted, and the time then.
    last: Option<(u64, u64)>,
}

impl Meter {
    /// Measures; `now` in nanoseconds. Averages over about `window` nanoseconds.
    pub fn measure(&mut self, load: &Load, now: u64, window: u64) {
        let Some(wanted) = load.wanted_ns() else { return };
        if let Some((before, then)) = self.last.replace((wanted, now)) {
            let passed = now.saturating_sub(then);
            let busy = share(wanted.saturating_sub(before), passed);
            load.busy.store(blend(load.busy(), busy, passed, window), Ordering::Relaxed);
        }
        load.newcomers.store(0, Ordering::Relaxed);
    }
}

/// Thousandths that `part` is of `whole`.
fn share(part: u64, whole: u64) -> u32 {
    let share = part.min(whole).saturating_mul(u64::from(WHOLE)) / whole.max(1);
    u32::try_from(share).unwrap_or(WHOLE)
}

/// An average that has forgotten two thirds of what is older than `window`; `seen` was so during the last
/// `passed`.
fn blend(average: u32, seen: u32, passed: u64, window: u64) -> u32 {
    let weight = share(passed, passed.saturating_add(window));
    let part = |value: u32, weight: u32| u64::from(value) * u64::from(weight);
    // Rounded, or it would never reach the last thousandth.
    let sum = part(average, WHOLE - weight) + part(seen, weight) + u64::from(WHOLE / 2);
    u32::try_from(sum / u64::from(WHOLE)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_follows_and_forgets() {
        let mut average = 0;
        for _ in 0..40 {
            average = blend(average, WHOLE, 250, 1_000);
        }
        assert!(average > 990, "{average}");
        for _ in 0..4 {
            average = blend(average, 0, 250, 1_000);
        }
        assert!((350..450).contains(&average), "after one window: {average}");
        assert!(blend(0, WHOLE, 1_000_000, 1_000) >= 999, "a long silence counts for itself");
        assert_eq!(blend(500, 500, 7, 0), 500);
    }

    #[test]
    fn reads_what_the_kernel_says() {
        assert_eq!(parse(b"139278 2788461 2\n"), Some(2_927_739));
        assert_eq!(parse(b"1"), None);
        assert_eq!(parse(b"18446744073709551615 1 0"), None);
    }

    #[test]
    fn a_thread_that_works_is_busy_and_one_that_sleeps_is_not() {
        let load = Load::default();
        load.attach();
        if load.wanted_ns().is_none() {
            return;
        }
        let clock = crate::runtime::clock::Clock::new();
        let mut meter = Meter::default();
        meter.measure(&load, clock.monotonic_ns(), 1);
        let end = clock.monotonic_ns() + 200_000_000;
        while clock.monotonic_ns() < end {}
        meter.measure(&load, clock.monotonic_ns(), 1);
        let working = load.busy();
        std::thread::sleep(std::time::Duration::from_millis(200));
        meter.measure(&load, clock.monotonic_ns(), 1);
        assert!(working > load.busy(), "{working} and {}", load.busy());
        assert!(working > WHOLE / 2, "{working}");
    }
}
