//! Time. The only module that asks the operating system what time it is.
//!
//! **Server time.** Commands and the store see one [`Millis`] count: the wall clock as it was when
//! the server started, carried on by a clock that is never set (the monotonic clock that also
//! counts suspended time). So a TTL given as a duration lasts that long even when somebody sets the wall
//! clock: without this, the first time correction after a boot expires everything at once, or
//! nothing for hours.
//!
//! **Wall time.** `EXPIREAT`, `EXAT`, `EXPIRETIME` and `TIME` speak of the wall clock. The
//! difference between the two, the *skew*, is measured once a second by [`Clock::resync`]; a
//! difference of up to 10 ms is noise and ignored. A deadline is converted when it enters
//! ([`Clock::from_wall`]) and when it is shown ([`Clock::to_wall`]); without a step of the wall
//! clock the skew is 0 and both are the identity. A deadline set before a step stays the duration
//! it was when it was set.
//!
//! **Cost.** A reading is a call into the vDSO, 20 to 25 ns. A turn begins with one [`Reading`], which
//! serves as its time and as the start of its first command.

#![allow(clippy::disallowed_methods, reason = "this module is the one place that reads clocks")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since 1970.
pub type Millis = i64;

/// Differences up to this many microseconds between the clocks are noise.
const TOLERANCE_US: i64 = 10_000;

/// The clock of the process; share it.
#[derive(Debug)]
pub struct Clock {
    /// Server time minus steady time, in microseconds; fixed at the start.
    base_us: i64,
    /// Wall time minus server time, in microseconds; 0 until the wall clock is set.
    skew_us: AtomicI64,
}

impl Clock {
    /// Starts with the wall clock's time.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "reading a clock is not a default value")]
    pub fn new() -> Clock {
        Clock { base_us: wall_us() - steady_ns() / 1000, skew_us: AtomicI64::new(0) }
    }

    /// Server time.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.now_us().div_euclid(1000)
    }

    /// Server time in microseconds.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        self.base_us + steady_ns() / 1000
    }

    /// Wall time in microseconds, for TIME and LASTSAVE.
    #[must_use]
    pub fn wall_us(&self) -> i64 {
        self.now_us() + self.skew_us.load(Ordering::Relaxed)
    }

    /// Nanoseconds that never go back, for durations.
    #[must_use]
    pub fn monotonic_ns(&self) -> u64 {
        u64::try_from(steady_ns()).unwrap_or(0)
    }

    /// Nanoseconds of processor time that the calling thread has used. Unlike the others this asks the
    /// kernel: some hundred nanoseconds.
    #[must_use]
    pub fn thread_cpu_ns() -> u64 {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
    }

    /// Server time and steady time of one moment.
    #[must_use]
    pub fn read(&self) -> Reading {
        let steady = steady_ns();
        let now = (self.base_us + steady / 1000).div_euclid(1000);
        Reading { now, monotonic_ns: u64::try_from(steady).unwrap_or(0) }
    }

    /// Server time of a moment given as wall time.
    #[must_use]
    pub fn from_wall(&self, at: Millis) -> Millis {
        self.skew().from_wall(at)
    }

    /// Wall time of a moment given as server time.
    #[must_use]
    pub fn to_wall(&self, at: Millis) -> Millis {
        self.skew().to_wall(at)
    }

    /// The skew as it is now, for many conversions that have to agree.
    #[must_use]
    pub fn skew(&self) -> Skew {
        Skew(self.skew_us.load(Ordering::Relaxed) / 1000)
    }

    /// Compares the clocks; call it once a second. Returns by how many milliseconds the wall clock
    /// was set since the last call, if it was.
    pub fn resync(&self) -> Option<i64> {
        let server = self.now_us();
        self.observe(wall_us() - server)
    }

    fn observe(&self, skew: i64) -> Option<i64> {
        let known = self.skew_us.load(Ordering::Relaxed);
        let step = skew - known;
        if step.abs() <= TOLERANCE_US {
            return None;
        }
        // A wall clock that is back where the server's is needs no conversion at all.
        let skew = if skew.abs() <= TOLERANCE_US { 0 } else { skew };
        self.skew_us.store(skew, Ordering::Relaxed);
        Some(step / 1000)
    }
}

/// Wall time minus server time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew(pub Millis);

impl Skew {
    /// Whether both times are the same.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Server time of a moment given as wall time.
    #[must_use]
    pub fn from_wall(self, at: Millis) -> Millis {
        at.saturating_sub(self.0)
    }

    /// Wall time of a moment given as server time.
    #[must_use]
    pub fn to_wall(self, at: Millis) -> Millis {
        at.saturating_add(self.0)
    }
}

/// One reading of the clock.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Server time.
    pub now: Millis,
    /// The same moment by [`Clock::monotonic_ns`].
    pub monotonic_ns: u64,
}

/// The wall clock as it is, for log lines: microseconds since 1970.
#[must_use]
pub fn wall_us() -> i64 {
    let since = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i128::try_from(after.as_micros()).unwrap_or(i128::MAX),
        Err(before) => -i128::try_from(before.duration().as_micros()).unwrap_or(i128::MAX),
    };
    i64::try_from(since).unwrap_or(0)
}

/// Nanoseconds of the clock nobody can set.
fn steady_ns() -> i64 {
    #[cfg(target_os = "linux")]
    const STEADY: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const STEADY: ClockId = ClockId::Monotonic;
    let time = clock_gettime(STEADY);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_time_starts_as_wall_time_and_only_advances() {
        let clock = Clock::new();
        assert!((clock.now_us() - wall_us()).abs() < 1_000_000);
        let mut last = clock.now_us();
        for _ in 0..1000 {
            let now = clock.now_us();
            assert!(now >= last);
            last = now;
        }
        assert_eq!(clock.from_wall(12), 12);
        assert_eq!(clock.to_wall(12), 12);
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_wall_time_only() {
        let clock = Clock::new();
        let before = clock.now();
        assert_eq!(clock.observe(9_000), None);
        assert_eq!(clock.observe(3_600_000_000), Some(3_600_000));
        assert!(clock.now() - before < 60_000, "server time does not jump");
        assert!(clock.wall_us() - clock.now_us() >= 3_599_000_000);
        assert_eq!(clock.to_wall(1_000), 3_601_000);
        assert_eq!(clock.from_wall(3_601_000), 1_000);
        assert_eq!((clock.skew(), clock.skew().is_zero()), (Skew(3_600_000), false));
        assert_eq!(clock.observe(3_600_005_000), None, "noise around the new difference");
        assert_eq!(clock.observe(-2_000), Some(-3_600_002));
        assert_eq!(clock.to_wall(5), 5, "back in step");
        assert!(clock.skew().is_zero());
        assert_eq!(clock.from_wall(i64::MIN), i64::MIN);
        assert_eq!(clock.to_wall(i64::MAX), i64::MAX);
    }

    #[test]
    fn a_reading_is_one_moment_on_both_scales() {
        let clock = Clock::new();
        let (before, steady_before) = (clock.now(), clock.monotonic_ns());
        let Reading { now, monotonic_ns } = clock.read();
        assert!((before..=clock.now()).contains(&now));
        assert!((steady_before..=clock.monotonic_ns()).contains(&monotonic_ns));
    }
}
