//! The thread that has full memory backed with huge pages ([`dunlin_storage::huge_pages`]).
//!
//! It looks when the store has grown, and now and then at everything: the allocator gives parts of
//! huge pages back to the system. It works for a bounded share of the time, at a low priority, and
//! ends where the system has no such thing.

use super::worker::yield_to_workers;
use crate::server::Server;
use dunlin_storage::huge_pages::{HUGE, HugePages, Step};
use std::time::Duration;

/// Between two looks at what the store holds.
const TICK: Duration = Duration::from_millis(100);
/// Work per tick.
const BUDGET: Duration = Duration::from_millis(10);
/// After this many ticks everything is looked at again: a minute.
const WHOLE_PASS: u32 = 600;
/// Rest after the kernel had no huge page: 10 seconds.
const SCARCE_TICKS: u32 = 100;

/// Starts the thread.
pub fn start(server: &'static Server) -> std::io::Result<()> {
    let body = move || {
        yield_to_workers();
        keep(server);
    };
    std::thread::Builder::new().name("huge-pages".into()).spawn(body).map(drop)
}

fn keep(server: &Server) {
    let mut pages = HugePages::default();
    let (mut seen, mut ticks, mut rest) = (0, 0_u32, 0_u32);
    let mut under_way = false;
    while !server.shutdown.requested() {
        std::thread::sleep(TICK);
        rest = rest.saturating_sub(1);
        ticks += 1;
        if rest > 0 {
            continue;
        }
        if !under_way {
            let used = server.keyspace.memory().used;
            let whole = ticks >= WHOLE_PASS && used > 0;
            if !whole && used <= seen + HUGE as u64 {
                // What has shrunk may grow again.
                seen = seen.min(used);
                continue;
            }
            if pages.begin(whole).is_err() {
                return;
            }
            seen = used;
            if whole {
                ticks = 0;
            }
        }
        let step = work(server, &mut pages);
        under_way = matches!(step, Step::Looked { .. });
        match step {
            Step::Unsupported => return,
            Step::Scarce => rest = SCARCE_TICKS,
            Step::Over | Step::Looked { .. } => {}
        }
    }
}

/// Works for one tick's budget; how it ended.
fn work(server: &Server, pages: &mut HugePages) -> Step {
    let begin = server.clock.monotonic_ns();
    loop {
        let step = pages.step();
        let spent = server.clock.monotonic_ns() - begin;
        if !matches!(step, Step::Looked { .. }) || spent >= BUDGET.as_nanos() as u64 {
            return step;
        }
    }
}
