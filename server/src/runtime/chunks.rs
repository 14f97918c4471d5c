//! Free chunks of big values go back to the allocator, and it gives them to the system.
//!
//! They are [kept](dunlin_protocol::chunk) because the next big value takes them again. Those that were
//! free for the whole of a second go, a few at a time: the allocator passes them on some milliseconds
//! later, all that have come to it until then in one go, and that takes 75 us per megabyte.

use dunlin_protocol::chunk;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// So long a chunk is kept at least, and twice as long at most.
const KEPT: Duration = Duration::from_secs(1);
/// Chunks that go at once, a megabyte, and more if there are very many.
const AT_ONCE: usize = 32;
const AT_ONCE_OF_MANY: usize = 4 * AT_ONCE;
/// The longest time that giving back should take.
const STEPS: usize = 256;
/// Between two steps: longer than the allocator waits.
const STEP: Duration = Duration::from_millis(12);

/// The largest part of the budget that free chunks may take.
const SHARE_OF_BUDGET: u64 = 8;
/// What they may take without a budget.
const WITHOUT_BUDGET: u64 = 256 << 20;

/// Tells workers that are parked of chunks that went.
static GIVEN_BACK: Notify = Notify::const_new();

/// Bytes of free chunks that are kept with this budget.
pub(crate) fn limit(maxmemory: u64) -> u64 {
    if maxmemory == 0 { WITHOUT_BUDGET } else { maxmemory / SHARE_OF_BUDGET }
}

/// Gives back what is not needed, as long as the process lives.
pub(crate) async fn keep() {
    loop {
        tokio::time::sleep(KEPT).await;
        let mut left = chunk::unneeded();
        let at_once = (left / STEPS).clamp(AT_ONCE, AT_ONCE_OF_MANY);
        let any = left > 0;
        while left > 0 {
            let count = left.min(at_once);
            chunk::release(count);
            left -= count;
            tokio::time::sleep(STEP).await;
        }
        if any {
            GIVEN_BACK.notify_waiters();
        }
    }
}

/// Ends when chunks have gone to the allocator after this call. Each is memory of the thread that has made
/// it, which has to ask the allocator to pass it on.
pub(crate) fn given_back() -> Notified<'static> {
    GIVEN_BACK.notified()
}
