//! How other threads wake the task of a connection.

use atomic_waker::AtomicWaker;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// Wakes the one task that serves a connection. Signals are not counted: any number of them before
/// the task looks are one. A task looks for it each time it waits for its socket, so this has to
/// cost next to nothing, which is why it is not [`tokio::sync::Notify`]: that serves any number of
/// tasks, and takes a lock to enter its list and one to leave it.
#[derive(Debug, Default)]
pub struct Signal {
    /// Set (Release) before the waker is woken; taken (Acquire) by the task after it has registered,
    /// so that what was stored before the signal is seen, and no signal falls between.
    set: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    /// Wakes the task, now or as soon as it waits.
    pub fn notify(&self) {
        self.set.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Ready, once, when there was a signal since this was last ready.
    #[inline]
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        match self.set.load(Ordering::Relaxed) && self.set.swap(false, Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Waits for a signal.
    pub async fn notified(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_signal_is_seen_once_whenever_it_comes() {
        let (signal, woken) = (Signal::default(), Arc::<Woken>::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        // Before anybody waits: two are one.
        signal.notify();
        signal.notify();
        assert_eq!((signal.poll(&cx), signal.poll(&cx)), (Poll::Ready(()), Poll::Pending));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        // While the task waits.
        signal.notify();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!((signal.poll(&cx), signal.poll(&cx)), (Poll::Ready(()), Poll::Pending));
    }

    #[test]
    fn what_was_stored_before_a_signal_is_seen_after_it() {
        let (signal, stored) = (Arc::<Signal>::default(), Arc::<AtomicU32>::default());
        let (theirs, figures) = (Arc::clone(&signal), Arc::clone(&stored));
        const ROUNDS: u32 = 10_000;
        let sender = std::thread::spawn(move || {
            for round in 1..=ROUNDS {
                figures.store(round, Ordering::Relaxed);
                theirs.notify();
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            // The last signal is never lost.
            while stored.load(Ordering::Relaxed) < ROUNDS {
                signal.notified().await;
            }
        });
        sender.join().expect("the sender ends");
    }
}
