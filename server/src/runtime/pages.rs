//! The thread that has full memory backed with huge pages ([`dunlin_storage::huge_pages`]).
//!
//! It looks when the store has grown and grows no more, and now and then at everything: the allocator
//! gives parts of huge pages back to the system. It runs when no worker wants its processor, for a
//! bounded share of the time, and ends where the system has no such thing.

use crate::server::Server;
use dunlin_storage::huge_pages::{self, HUGE, HugePages, Step};
use std::time::Duration;

/// Between two looks at what the store holds.
const TICK: Duration = Duration::from_millis(100);
/// Work per tick, in nanoseconds.
const BUDGET_NS: u64 = 10_000_000;
/// After this many ticks everything is looked at again: a minute.
const WHOLE_PASS: u32 = 600;
/// Rest after the kernel had no huge page: 10 seconds.
const SCARCE_TICKS: u32 = 100;

/// Starts the thread.
pub fn start(server: &'static Server) -> std::io::Result<()> {
    let body = move || {
        if huge_pages::run_when_idle().is_ok() {
            keep(server);
        }
    };
    std::thread::Builder::new().name("huge-pages".into()).spawn(body).map(drop)
}

/// What makes the thread work.
#[derive(Default)]
struct Pace {
    /// Bytes of the store when the last pass began.
    done: u64,
    /// Bytes of the store at the last tick.
    last: u64,
    /// Ticks since everything was looked at.
    ticks: u32,
    /// Ticks to rest.
    rest: u32,
}

impl Pace {
    /// One tick later: whether there is something to do, and with everything or with what is new.
    /// While the store grows fast its writers need the system's memory themselves.
    fn tick(&mut self, used: u64) -> Option<bool> {
        let growing = used > self.last + HUGE as u64;
        self.last = used;
        self.rest = self.rest.saturating_sub(1);
        self.ticks += 1;
        // What has shrunk may grow again.
        self.done = self.done.min(used);
        let whole = self.ticks >= WHOLE_PASS && used > 0;
        let grown = used > self.done + HUGE as u64;
        (self.rest == 0 && !growing && (whole || grown)).then_some(whole)
    }

    fn began(&mut self, whole: bool) {
        self.done = self.last;
        if whole {
            self.ticks = 0;
        }
    }
}

fn keep(server: &Server) {
    let (mut pages, mut pace) = (HugePages::default(), Pace::default());
    let mut under_way = false;
    while !server.shutdown.requested() {
        std::thread::sleep(TICK);
        let wanted = pace.tick(server.keyspace.memory().used);
        if !under_way {
            let Some(whole) = wanted else { continue };
            if pages.begin(whole).is_err() {
                return;
            }
            pace.began(whole);
        }
        let step = work(server, &mut pages);
        under_way = matches!(step, Step::Looked { .. });
        match step {
            Step::Unsupported => return,
            Step::Scarce => pace.rest = SCARCE_TICKS,
            Step::Over | Step::Looked { .. } => {}
        }
    }
}

/// Works for one tick's budget; how it ended.
fn work(server: &Server, pages: &mut HugePages) -> Step {
    let begin = server.clock.monotonic_ns();
    loop {
        let step = pages.step();
        let spent = server.clock.monotonic_ns().saturating_sub(begin);
        if !matches!(step, Step::Looked { .. }) || spent >= BUDGET_NS {
            return step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn it_waits_until_the_store_grows_no_more() {
        let mut pace = Pace::default();
        assert_eq!(pace.tick(0), None);
        assert_eq!(pace.tick(MB), None, "less than a huge page");
        assert_eq!(pace.tick(50 * MB), None, "growing");
        assert_eq!(pace.tick(100 * MB), None, "growing");
        assert_eq!(pace.tick(101 * MB), Some(false));
        pace.began(false);
        assert_eq!(pace.tick(102 * MB), None, "nothing new to speak of");
        assert_eq!(pace.tick(104 * MB), Some(false), "slow growth adds up");
        pace.began(false);
        assert_eq!(pace.tick(10 * MB), None);
        assert_eq!(pace.tick(12 * MB + 1), None, "growing again");
        assert_eq!(pace.tick(12 * MB + 1), Some(false));
    }

    #[test]
    fn everything_is_looked_at_once_a_minute_and_after_a_rest() {
        let mut pace = Pace::default();
        let mut wholes = 0;
        for _ in 0..3 * WHOLE_PASS {
            if let Some(whole) = pace.tick(MB) {
                assert!(whole);
                pace.began(whole);
                wholes += 1;
            }
        }
        assert_eq!(wholes, 3);
        pace.rest = SCARCE_TICKS;
        assert_eq!((1..=SCARCE_TICKS).find(|_| pace.tick(100 * MB).is_some()), Some(SCARCE_TICKS));
    }
}
