//! How many workers serve: a pure state machine, one step per window.
//!
//! More of them are called when, for [`OVER_WINDOWS`] windows, more than [`DEEP`] connections per
//! worker are ready at once and the workers are busy; so many that no more than that are ready for each.
//! Few connections can keep a worker busy all the time without ever being so many at once: then one
//! more is called when that has lasted for [`FULL_WINDOWS`] windows. Some are parked when fewer than [`SHALLOW`] have been ready for each for [`CALM_WINDOWS`] windows and
//! the workers are mostly idle. Between the two nothing happens. After a change comes a cooldown in
//! which there is no other of its kind; calling comes soon after parking if it has to, parking does not
//! come soon after anything.
//!
//! Connections that come in a crowd call workers at once: the measure would notice a second later what
//! can be foreseen, and the connections would have to be moved then.

/// Connections ready at once, per worker, above which there are too few workers.
const DEEP: u64 = 10;
/// Connections ready at once, per worker, below which there are too many.
const SHALLOW: u64 = 2;
/// Windows in a row before workers are called.
const OVER_WINDOWS: u32 = 3;
/// Windows in a row of workers that are never idle before one more is called.
const FULL_WINDOWS: u32 = 10;
/// Windows in a row before workers are parked.
const CALM_WINDOWS: u32 = 30;
/// Windows after a call in which there is no other.
pub(super) const CALL_COOLDOWN: u32 = 10;
/// Windows after any change in which no worker is parked.
pub(super) const PARK_COOLDOWN: u32 = 60;
/// Busy above so many thousandths, workers are too few.
const BUSY: u32 = 800;
/// Busy above so many thousandths, workers are never idle.
const FULL: u32 = 950;
/// Running for less than so many thousandths, workers are too many.
const IDLE: u32 = 300;

/// What was seen in one window.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Workers that serve.
    pub active: usize,
    /// The least.
    pub min: usize,
    /// The most.
    pub max: usize,
    /// Connections ready at once on all of them, in thousandths.
    pub runnable: u64,
    /// How busy they are on average, in thousandths.
    pub busy: u32,
    /// How much of the time they run on average, in thousandths: what waits for a processor is not much
    /// to do.
    pub used: u32,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Scale {
    /// Windows in a row in which workers were too few, never idle, and too many.
    over: u32,
    full: u32,
    calm: u32,
    /// Windows since the last call, and since the last change.
    since_call: u32,
    since_change: u32,
}

impl Default for Scale {
    fn default() -> Self {
        Scale { over: 0, full: 0, calm: 0, since_call: u32::MAX, since_change: u32::MAX }
    }
}

impl Scale {
    /// One window has passed; how many workers are to serve if that changes.
    pub fn step(&mut self, sample: &Sample) -> Option<usize> {
        let Sample { active, min, max, runnable, busy, used } = *sample;
        self.since_call = self.since_call.saturating_add(1);
        self.since_change = self.since_change.saturating_add(1);
        let ready = runnable / 1_000;
        let n = active as u64;
        let over = ready > DEEP * n && busy > BUSY;
        let full = ready >= SHALLOW * n && busy > FULL;
        let calm = ready < SHALLOW * n && used < IDLE;
        self.over = if over { self.over.saturating_add(1) } else { 0 };
        self.full = if full { self.full.saturating_add(1) } else { 0 };
        self.calm = if calm { self.calm.saturating_add(1) } else { 0 };
        if active < min {
            return self.call(min);
        }
        let too_few = self.over >= OVER_WINDOWS || self.full >= FULL_WINDOWS;
        if too_few && active < max && self.since_call > CALL_COOLDOWN {
            let enough = usize::try_from(ready.div_ceil(DEEP)).unwrap_or(max);
            return self.call(enough.clamp(active + 1, max));
        }
        let rested = self.since_change > PARK_COOLDOWN;
        if self.calm >= CALM_WINDOWS && active > min && rested {
            self.changed();
            // A quarter at a time, so that large machines come to rest, too.
            return Some((active - (active / 4).max(1)).max(min));
        }
        None
    }

    /// So many connections have come in one window that `wanted` workers should serve.
    pub fn crowd(&mut self, wanted: usize, active: usize) -> Option<usize> {
        (wanted > active && self.since_call > CALL_COOLDOWN).then(|| self.call(wanted)).flatten()
    }

    /// A worker that was to be parked could not let go of a connection. It serves again, and there is
    /// a cooldown before the next attempt.
    pub fn kept(&mut self) {
        self.changed();
    }

    fn call(&mut self, workers: usize) -> Option<usize> {
        self.changed();
        self.since_call = 0;
        Some(workers)
    }

    fn changed(&mut self) {
        (self.over, self.full, self.calm, self.since_change) = (0, 0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE_SAMPLE: Sample = Sample { active: 1, min: 1, max: 4, runnable: 0, busy: 5, used: 5 };

    /// Runs windows and returns in which of them the number changed, and to what.
    fn run(scale: &mut Scale, sample: &mut Sample, windows: u32) -> Vec<(u32, usize)> {
        let mut changes = Vec::new();
        for window in 1..=windows {
            if let Some(active) = scale.step(sample) {
                sample.active = active;
                changes.push((window, active));
            }
        }
        changes
    }

    #[test]
    fn an_idle_server_parks_all_but_the_least() {
        let (mut scale, mut sample) = (Scale::default(), Sample { active: 4, ..IDLE_SAMPLE });
        assert_eq!(run(&mut scale, &mut sample, 300), [(30, 3), (91, 2), (152, 1)]);
        let (mut scale, mut sample) =
            (Scale::default(), Sample { active: 2, min: 2, ..IDLE_SAMPLE });
        assert!(run(&mut scale, &mut sample, 300).is_empty());
        let mut large = Sample { active: 64, max: 64, ..IDLE_SAMPLE };
        let changes = run(&mut Scale::default(), &mut large, 900);
        assert_eq!(large.active, 1, "{changes:?}");
    }

    #[test]
    fn a_deep_queue_calls_as_many_as_it_takes_once_per_cooldown() {
        let (mut scale, mut sample) = (Scale::default(), IDLE_SAMPLE);
        (sample.runnable, sample.busy, sample.used) = (15_000, 950, 950);
        assert_eq!(run(&mut scale, &mut sample, 2), []);
        assert_eq!(run(&mut scale, &mut sample, 1), [(1, 2)]);
        // It does not help: the next call waits.
        sample.runnable = 90_000;
        assert_eq!(run(&mut scale, &mut sample, 30), [(CALL_COOLDOWN + 1, 4)]);
    }

    #[test]
    fn depth_alone_or_busyness_alone_change_nothing() {
        for (runnable, busy) in
            [(50_000, 500), (3_000, 1_000), (5_000, 900), (5_000, 100), (500, 400)]
        {
            let mut sample = Sample { active: 2, runnable, busy, used: busy, ..IDLE_SAMPLE };
            let changes = run(&mut Scale::default(), &mut sample, 500);
            assert!(changes.is_empty(), "{runnable} {busy}: {changes:?}");
        }
    }

    #[test]
    fn a_few_connections_that_never_leave_a_worker_idle_get_another_one() {
        let mut sample = Sample { runnable: 4_000, busy: 990, used: 990, ..IDLE_SAMPLE };
        assert_eq!(run(&mut Scale::default(), &mut sample, FULL_WINDOWS), [(FULL_WINDOWS, 2)]);
        sample.active = 1;
        sample.runnable = 1_000;
        assert_eq!(run(&mut Scale::default(), &mut sample, 500), [], "one alone cannot be split");
    }

    #[test]
    fn whatever_the_load_there_is_one_change_of_a_kind_per_cooldown() {
        let mut random = 99_u64;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let (mut scale, mut sample) = (Scale::default(), Sample { max: 8, ..IDLE_SAMPLE });
        let (mut last_call, mut last_change) = (None::<u32>, None::<u32>);
        let mut changes = 0;
        for window in 0..100_000 {
            if draw(50) == 0 {
                let loaded = draw(2) == 0;
                (sample.runnable, sample.busy) = if loaded { (200_000, 1_000) } else { (0, 0) };
                sample.used = sample.busy;
            }
            let before = sample.active;
            let may = before < sample.max && draw(40) == 0;
            let crowd = may.then(|| scale.crowd(before + 1, before)).flatten();
            let Some(after) = crowd.or_else(|| scale.step(&sample)) else { continue };
            sample.active = after;
            changes += 1;
            let passed = |last: Option<u32>| last.map_or(u32::MAX, |last| window - last);
            if after > before {
                assert!(passed(last_call) >= CALL_COOLDOWN, "{window}: a call too early");
                last_call = Some(window);
            } else {
                assert!(passed(last_change) >= PARK_COOLDOWN, "{window}: parked too early");
            }
            last_change = Some(window);
        }
        assert!(changes > 100, "{changes}");
    }

    #[test]
    fn a_crowd_calls_at_once_and_a_kept_worker_is_not_parked_again_soon() {
        let mut scale = Scale::default();
        assert_eq!(scale.crowd(1, 1), None);
        assert_eq!(scale.crowd(3, 1), Some(3));
        let mut sample = Sample { active: 3, runnable: 9_000, ..IDLE_SAMPLE };
        assert_eq!(run(&mut scale, &mut sample, CALL_COOLDOWN), []);
        assert_eq!(scale.crowd(4, 3), None, "cooldown");
        assert_eq!(run(&mut scale, &mut sample, 1), []);
        assert_eq!(scale.crowd(4, 3), Some(4));
        let (mut scale, mut sample) = (Scale::default(), Sample { active: 2, ..IDLE_SAMPLE });
        assert_eq!(run(&mut scale, &mut sample, 30), [(30, 1)]);
        sample.active = 2;
        assert_eq!(run(&mut scale, &mut sample, 5), []);
        scale.kept();
        assert_eq!(run(&mut scale, &mut sample, 100), [(PARK_COOLDOWN + 1, 1)]);
    }

    #[test]
    fn a_raised_least_is_reached_at_once() {
        let mut sample = Sample { min: 3, ..IDLE_SAMPLE };
        assert_eq!(run(&mut Scale::default(), &mut sample, 5), [(1, 3)]);
    }

    #[test]
    fn each_measure_counts_from_its_bound_on() {
        // Ready in thousandths, busy, used; the first change of two workers of at most eight.
        let first = |runnable, busy, used| {
            let mut sample = Sample { active: 2, max: 8, runnable, busy, used, ..IDLE_SAMPLE };
            run(&mut Scale::default(), &mut sample, 100).first().copied()
        };
        let over = |workers| Some((OVER_WINDOWS, workers));
        assert_eq!(first(20_999, 801, 801), None, "ten for each");
        assert_eq!(first(21_000, 800, 800), None);
        assert_eq!(first(21_000, 801, 801), over(3));
        assert_eq!(first(30_000, 801, 801), over(3));
        assert_eq!(first(31_000, 801, 801), over(4));
        assert_eq!(first(500_000, 801, 801), over(8));
        let full = Some((FULL_WINDOWS, 3));
        assert_eq!(first(4_000, 950, 950), None);
        assert_eq!(first(3_999, 951, 951), None);
        assert_eq!(first(4_000, 951, 951), full);
        let calm = Some((CALM_WINDOWS, 1));
        assert_eq!(first(3_999, 0, 300), None);
        assert_eq!(first(4_000, 0, 299), None);
        assert_eq!(first(3_999, 0, 299), calm);
        // Of three workers.
        let first = |runnable, busy, used| {
            let mut sample = Sample { active: 3, max: 8, runnable, busy, used, ..IDLE_SAMPLE };
            run(&mut Scale::default(), &mut sample, 100).first().copied()
        };
        assert_eq!(first(5_999, 951, 951), None);
        assert_eq!(first(6_000, 951, 951), Some((FULL_WINDOWS, 4)));
        assert_eq!(first(5_999, 0, 299), Some((CALM_WINDOWS, 2)));
    }

    #[test]
    fn a_quarter_is_parked_at_a_time_but_not_the_least() {
        let first = |active, min| {
            let mut sample = Sample { active, min, max: 64, ..IDLE_SAMPLE };
            run(&mut Scale::default(), &mut sample, CALM_WINDOWS)
        };
        assert_eq!(first(64, 1), [(CALM_WINDOWS, 48)]);
        assert_eq!(first(8, 7), [(CALM_WINDOWS, 7)]);
        assert_eq!(first(7, 7), []);
    }
}
