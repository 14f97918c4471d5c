//! What commands cost, before they run.
//!
//! The table of commands says which ones take constant time. What the others take depends on their
//! keys and arguments, and is learned from their runs. A request that has taken long is *suspect*: the
//! system may have given the processor to somebody else meanwhile. So its next run is measured in
//! processor time, and if that is long, too, the request is dear until it was cheap again. It is the
//! whole request that is remembered, because `LRANGE k 0 9` says
//! nothing about `LRANGE k 0 -1`. There is room for [`SLOTS`] requests; nobody remembers cheap ones.
//!
//! Of a request that is not remembered, the command is known. If most of its unknown requests turned
//! out to be dear of late, so is the next one: reports over ever new ranges are never the same twice.
//!
//! All workers share what is known. It is written when something dear has run, and read by commands
//! that are not of constant time, and of these only by those that were ever dear.

use crate::commands::table::{Entry, table};
use dunlin_protocol::{ArgValue, Request};
use dunlin_storage::Keyspace;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Dear requests that are remembered.
const SLOTS: usize = 4096;
/// Arguments of a request that make the difference, beside their number.
const ARGUMENTS: usize = 16;
/// What each argument may cost beside the threshold, in nanoseconds: MGET of a hundred keys does the work
/// of a hundred commands that are cheap, and is no more in the way of others than a pipeline of them.
const ARGUMENT: u64 = 2_000;
/// The most that all of them may: others wait so long for one command.
const ARGUMENTS_MOST: u64 = 1_000_000;
/// A command whose unknown requests were always dear has these odds.
const CERTAIN: u32 = 1024;
/// The share of the newest run in the odds: one in so many.
const WEIGHT: u32 = 8;

/// A slot holds the upper half of a request's name, whether it was dear once only, and its cost in
/// microseconds.
const TAG: u64 = !0 << 32;
const SUSPECT: u64 = 1 << 31;
const COST: u64 = SUSPECT - 1;

/// What is to be expected of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forecast {
    /// It is not known to be dear.
    Cheap,
    /// It has taken long once: how much of that was its own is to be measured.
    Suspect,
    /// It will cost so many microseconds, 0 if that is not known.
    Dear(u64),
}

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Costs {
    slots: Box<[AtomicU64]>,
    /// Per command, how often its unknown requests are dear; 0: none ever was.
    odds: Box<[AtomicU32]>,
}

impl Default for Costs {
    fn default() -> Self {
        Costs {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            odds: table().entries().iter().map(|_| AtomicU32::new(0)).collect(),
        }
    }
}

/// What a request is remembered by.
#[derive(Clone, Copy, Debug)]
struct Name(u64);

impl Name {
    fn of(keyspace: &Keyspace, entry: &Entry, request: Request<'_>) -> Name {
        let start = u64::from(entry.id) << 32 | request.len() as u64;
        let part = |i: usize| match request.value(i) {
            ArgValue::Slice(argument) => keyspace.digest(argument),
            // Of a long value its length has to do.
            ArgValue::Chunks { len, .. } => len as u64,
        };
        Name((1..request.len()).take(ARGUMENTS).map(part).fold(start, |name, part| {
            (name.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }))
    }

    fn tag(self) -> u64 {
        // Never the one of an empty slot.
        self.0 & TAG | 1 << 32
    }

    /// The two slots in which it may be.
    fn slots(self) -> [usize; 2] {
        let first = usize::try_from(self.0 % SLOTS as u64).unwrap_or(0);
        [first, first ^ 1]
    }
}

/// What a request of so many arguments may cost beside the threshold before it is dear, in nanoseconds.
pub(super) fn allowed(arguments: usize) -> u64 {
    (arguments as u64).saturating_mul(ARGUMENT).min(ARGUMENTS_MOST)
}

impl Costs {
    /// What is to be expected of a request.
    #[inline]
    pub(super) fn forecast(
        &self,
        keyspace: &Keyspace,
        entry: &Entry,
        request: Request<'_>,
    ) -> Forecast {
        let odds = self.odds[usize::from(entry.id)].load(Ordering::Relaxed);
        if odds == 0 {
            return Forecast::Cheap;
        }
        match self.find(Name::of(keyspace, entry, request)) {
            Some((_, known)) if known & SUSPECT != 0 => Forecast::Suspect,
            Some((_, known)) => Forecast::Dear(known & COST),
            None if odds > CERTAIN / 2 => Forecast::Dear(0),
            None => Forecast::Cheap,
        }
    }

    fn find(&self, name: Name) -> Option<(usize, u64)> {
        let load = |slot: usize| (slot, self.slots[slot].load(Ordering::Relaxed));
        name.slots().map(load).into_iter().find(|(_, known)| known & TAG == name.tag())
    }

    /// Notes that a request has cost so many nanoseconds; from `threshold` on it was dear. Certain: it
    /// is processor time.
    #[inline]
    pub(super) fn note(
        &self,
        keyspace: &Keyspace,
        entry: &Entry,
        request: Request<'_>,
        nanos: u64,
        threshold: u64,
        certain: bool,
    ) {
        let dear = nanos >= threshold;
        if !dear && self.odds[usize::from(entry.id)].load(Ordering::Relaxed) == 0 {
            return;
        }
        self.learn(Name::of(keyspace, entry, request), entry, nanos / 1_000, dear, certain);
    }

    #[cold]
    fn learn(&self, name: Name, entry: &Entry, micros: u64, dear: bool, certain: bool) {
        let cost = micros.clamp(1, COST);
        match (self.find(name), dear) {
            (Some((slot, known)), true) => {
                let doubt = if certain { 0 } else { known & SUSPECT };
                let cost = cost.max(known & COST);
                self.slots[slot].store(name.tag() | doubt | cost, Ordering::Relaxed);
            }
            (Some((slot, _)), false) => self.slots[slot].store(0, Ordering::Relaxed),
            (None, _) => self.meet(name, entry, cost, dear, certain),
        }
    }

    /// A request that was not known.
    fn meet(&self, name: Name, entry: &Entry, cost: u64, dear: bool, certain: bool) {
        let odds = &self.odds[usize::from(entry.id)];
        let known = odds.load(Ordering::Relaxed);
        let now = match dear {
            true => known + (CERTAIN - known).div_ceil(WEIGHT),
            // Never back to 0: there are slots to look at.
            false => known - known / WEIGHT,
        };
        if now != known {
            odds.store(now.max(1), Ordering::Relaxed);
        }
        if dear {
            let load = |slot: usize| self.slots[slot].load(Ordering::Relaxed);
            let [one, other] = name.slots();
            let slot = if load(one) & COST <= load(other) & COST { one } else { other };
            let doubt = if certain { 0 } else { SUSPECT };
            self.slots[slot].store(name.tag() | doubt | cost, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_protocol::{Decoder, Limits};
    use dunlin_storage::Options;

    const THRESHOLD: u64 = 50_000;

    struct Fixture {
        costs: Costs,
        keyspace: Keyspace,
    }

    impl Fixture {
        fn new() -> Fixture {
            Fixture { costs: Costs::default(), keyspace: Keyspace::new(Options::default()) }
        }

        fn with<T>(
            &self,
            line: &str,
            f: impl FnOnce(&Costs, &Keyspace, &Entry, Request<'_>) -> T,
        ) -> T {
            let mut decoder = Decoder::new(Limits::AUTHENTICATED);
            decoder.read_buf().extend_from_slice(format!("{line}\r\n").as_bytes());
            assert_eq!(decoder.parse(1), 1);
            let request = decoder.request(0);
            let entry = table().get(request.arg(0)).expect("a command");
            f(&self.costs, &self.keyspace, entry, request)
        }

        /// A run that is measured as it should be.
        fn ran(&self, line: &str, micros: u64) {
            let suspect = self.forecast(line) != Forecast::Cheap;
            self.took(line, micros, suspect);
        }

        fn took(&self, line: &str, micros: u64, certain: bool) {
            self.with(line, |costs, keyspace, entry, request| {
                let threshold = THRESHOLD + allowed(request.len());
                costs.note(keyspace, entry, request, micros * 1000, threshold, certain);
            });
        }

        fn forecast(&self, line: &str) -> Forecast {
            self.with(line, |costs, keyspace, entry, request| {
                costs.forecast(keyspace, entry, request)
            })
        }

        fn is_dear(&self, line: &str) -> bool {
            matches!(self.forecast(line), Forecast::Dear(_))
        }
    }

    #[test]
    fn many_keys_are_as_many_commands() {
        let costs = Fixture::new();
        let many = |count: usize| format!("MGET {}", vec!["k"; count].join(" "));
        for _ in 0..3 {
            costs.ran("MGET k", 100);
            costs.ran(&many(100), 200);
        }
        assert!(costs.is_dear("MGET k") && !costs.is_dear(&many(100)));
        for _ in 0..3 {
            costs.ran(&many(100), 300);
            costs.ran(&many(10_000), 2_000);
        }
        assert!(costs.is_dear(&many(100)) && costs.is_dear(&many(10_000)));
    }

    #[test]
    fn twice_in_a_row_is_dear_if_it_was_processor_time_and_until_it_is_cheap() {
        let costs = Fixture::new();
        assert!(!costs.is_dear("SORT k"));
        costs.ran("SORT k", 2_000);
        assert!(!costs.is_dear("SORT k"), "the system may have taken the time");
        costs.ran("SORT k", 10);
        costs.ran("SORT k", 2_000);
        assert!(!costs.is_dear("SORT k"), "it was cheap in between");
        costs.took("SORT k", 2_000, false);
        assert_eq!(costs.forecast("SORT k"), Forecast::Suspect, "it may be so again");
        costs.ran("SORT k", 2_000);
        assert_eq!(costs.forecast("SORT k"), Forecast::Dear(2_000));
        assert!(!costs.is_dear("SORT other") && !costs.is_dear("SMEMBERS k"));
        costs.ran("SORT k", 49);
        assert!(!costs.is_dear("SORT k"));
    }

    #[test]
    fn the_same_key_may_be_cheap_with_other_arguments() {
        let costs = Fixture::new();
        for _ in 0..20 {
            costs.ran("LRANGE k 0 -1", 300);
            costs.ran("LRANGE k 0 9", 1);
        }
        assert!(costs.is_dear("LRANGE k 0 -1"));
        assert!(!costs.is_dear("LRANGE k 0 9") && !costs.is_dear("LRANGE k 0 99"));
    }

    #[test]
    fn a_command_that_is_always_dear_is_so_for_new_keys() {
        let costs = Fixture::new();
        (0..10).for_each(|i| costs.ran(&format!("SORT k{i}"), 900));
        assert!(costs.is_dear("SORT never-seen"));
        (10..30).for_each(|i| costs.ran(&format!("SORT k{i}"), 3));
        assert!(!costs.is_dear("SORT never-seen"));
    }

    #[test]
    fn many_dear_requests_need_no_more_room() {
        let costs = Fixture::new();
        for i in 0..4 * SLOTS {
            costs.ran(&format!("SMEMBERS k{i}"), 100);
            costs.ran(&format!("SMEMBERS k{i}"), 100);
            assert!(costs.is_dear(&format!("SMEMBERS k{i}")));
        }
    }
}
