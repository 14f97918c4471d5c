//! What clients hold, and what is done when it is too much.
//!
//! All clients together may hold `maxmemory-clients` bytes: input that is not executed yet, replies that
//! are not sent yet. As long as there is plenty, replies are kept for whoever is slow to read, because a
//! client may write its whole pipeline before it reads anything, and would wait for ever for a server
//! that waits for it. When it gets scarce, a client with much unsent is not served until it reads; and
//! when the budget is exceeded, the client that holds most is closed.
//!
//! ```text
//!             80 %                    100 %
//!   [ Plenty  | Scarce                  | Exceeded
//!     buffer  | pause who has > 1 MiB   | close the largest until 98 % is left
//!          75 %
//! ```
//!
//! **Counting.** Each client's figures are known to its own task, and to look at all of them takes too
//! long for every turn. So a task reports, when what it holds has changed by [`GRAIN`] or more, and the
//! sweep adds up exactly, ten times a second. In between the sum is what the sweep has found and what was
//! reported since, so that a burst is met when it comes. Shared chunks of big values count for each client
//! that is to get them: such a client may be the last to hold them.

use crate::client::ClientShared;
use crate::runtime::logging::Every;
use crate::server::Server;
use std::fmt::Display;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

/// A client whose figures have changed by less does not report.
const GRAIN: u64 = 64 * 1024;
/// Percent of the budget from which it is scarce, and below which it is not any more.
const SCARCE: u64 = 80;
const PLENTY: u64 = 75;
/// What is left free of an exceeded budget: a fraction of it. The next bytes must not exceed it again.
const HEADROOM: u64 = 64;

static EVICTED: Every = Every::millis(1_000);

/// How much of the budget is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Stage {
    /// Replies are kept.
    #[default]
    Plenty,
    /// Who has much unsent is not served.
    Scarce,
    /// Clients are closed.
    Exceeded,
}

impl Stage {
    /// The next stage, with so much of `budget` (0 = no limit) in use.
    #[must_use]
    pub fn next(self, used: u64, budget: u64) -> Stage {
        let percent = |part: u64| u128::from(used) * 100 >= u128::from(budget) * u128::from(part);
        if budget == 0 {
            Stage::Plenty
        } else if used > budget {
            Stage::Exceeded
        } else if percent(SCARCE) || (self != Stage::Plenty && percent(PLENTY)) {
            Stage::Scarce
        } else {
            Stage::Plenty
        }
    }

    /// Its name in INFO.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Plenty => "plenty",
            Stage::Scarce => "scarce",
            Stage::Exceeded => "exceeded",
        }
    }
}

/// How much has to be freed of what is `used`, once `budget` is exceeded.
fn excess(used: u64, budget: u64) -> u64 {
    if budget == 0 || used <= budget { 0 } else { used - (budget - budget / HEADROOM) }
}

/// What one client has reported.
#[derive(Debug, Default)]
pub struct Reported(AtomicU64);

impl Reported {
    /// It is being closed, and counts no more.
    const CLOSED: u64 = u64::MAX;
}

/// The bytes of all clients.
#[derive(Debug)]
pub struct ClientBytes {
    budget: AtomicU64,
    /// Unsent replies at which a client is not served: with plenty of room, and when it is scarce.
    pauses_at: [AtomicUsize; 2],
    /// Sum of what was reported.
    reported: AtomicU64,
    /// What the sweep has found beside it; may be negative.
    beside: AtomicI64,
    stage: AtomicU8,
    /// Unsent replies at which a client is not served at present.
    pause_at: AtomicUsize,
    /// Held by whoever closes clients: the others need not do it too.
    closing: Mutex<()>,
    /// How often a client was held back because of what it had unsent.
    pub pauses: AtomicU64,
    /// Clients closed because they read nothing while they were held back.
    pub stalled: AtomicU64,
}

impl Default for ClientBytes {
    fn default() -> Self {
        ClientBytes {
            budget: AtomicU64::new(0),
            pauses_at: [AtomicUsize::new(usize::MAX), AtomicUsize::new(usize::MAX)],
            reported: AtomicU64::new(0),
            beside: AtomicI64::new(0),
            stage: AtomicU8::new(Stage::Plenty as u8),
            pause_at: AtomicUsize::new(usize::MAX),
            closing: Mutex::new(()),
            pauses: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
        }
    }
}

impl ClientBytes {
    /// The directives: the budget, and where a client is held back with plenty of room and without.
    pub fn configure(&self, budget: u64, plenty: usize, scarce: usize) {
        self.budget.store(budget, Ordering::Relaxed);
        self.pauses_at[0].store(plenty, Ordering::Relaxed);
        self.pauses_at[1].store(scarce, Ordering::Relaxed);
        self.enter(self.stage());
    }

    /// Unsent replies at which a client is not served at present.
    #[inline]
    pub fn pause_at(&self) -> usize {
        self.pause_at.load(Ordering::Relaxed)
    }

    /// How much of the budget is used.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Plenty,
            1 => Stage::Scarce,
            _ => Stage::Exceeded,
        }
    }

    /// What the clients hold, as far as it is known now.
    pub fn used(&self) -> u64 {
        let beside = self.beside.load(Ordering::Relaxed);
        self.reported.load(Ordering::Relaxed).saturating_add_signed(beside)
    }

    /// Called by a client's own task when its buffers may have changed. True: the budget is exceeded, and
    /// somebody has to call [`ClientBytes::relieve`].
    #[inline]
    #[must_use]
    pub fn note(&self, client: &ClientShared) -> bool {
        let held = client.buffers();
        let before = client.reported.0.load(Ordering::Relaxed);
        held.abs_diff(before) >= GRAIN && self.report(client, before, held)
    }

    #[cold]
    fn report(&self, client: &ClientShared, before: u64, held: u64) -> bool {
        let reported = &client.reported.0;
        // Only the client's own task reports; anybody may have closed it.
        if before == Reported::CLOSED
            || reported
                .compare_exchange(before, held, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return false;
        }
        self.reported.fetch_add(held.wrapping_sub(before), Ordering::Relaxed);
        self.step() == Stage::Exceeded
    }

    /// The client counts no more: it has ended, or is to.
    pub fn forget(&self, client: &ClientShared) {
        let reported = client.reported.0.swap(Reported::CLOSED, Ordering::Relaxed);
        if reported != Reported::CLOSED {
            self.reported.fetch_sub(reported, Ordering::Relaxed);
        }
    }

    /// Called by the sweep with what the clients hold, exactly. True as in [`ClientBytes::note`].
    pub fn correct(&self, held: u64) -> bool {
        let reported = self.reported.load(Ordering::Relaxed);
        self.beside.store(held.wrapping_sub(reported).cast_signed(), Ordering::Relaxed);
        self.step() == Stage::Exceeded
    }

    fn step(&self) -> Stage {
        let (before, budget) = (self.stage(), self.budget.load(Ordering::Relaxed));
        let stage = before.next(self.used(), budget);
        if stage != before {
            self.enter(stage);
        }
        stage
    }

    fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
        let pause_at = &self.pauses_at[usize::from(stage != Stage::Plenty)];
        self.pause_at.store(pause_at.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Closes the clients that hold most until the rest fits the budget.
    #[cold]
    pub fn relieve(&self, server: &Server) {
        let _closing = match self.closing.try_lock() {
            Ok(closing) => closing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let budget = self.budget.load(Ordering::Relaxed);
        let mut excess = excess(self.used(), budget);
        if excess == 0 {
            return;
        }
        for (client, bytes) in by_size(server.clients.all()) {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(bytes);
            server.stats.evicted_clients.fetch_add(1, Ordering::Relaxed);
            if let Some(folded) = EVICTED.admit(server.clock.now()) {
                tracing::warn!(
                    id = client.id,
                    bytes,
                    budget,
                    folded,
                    "closing a client: maxmemory-clients"
                );
            }
            self.close(&client, bytes);
        }
        self.step();
    }

    /// Whether the client was closed here, or has ended.
    pub fn is_forgotten(&self, client: &ClientShared) -> bool {
        client.reported.0.load(Ordering::Relaxed) == Reported::CLOSED
    }

    /// Its bytes are as good as free: its task lets go of them as soon as it runs.
    fn close(&self, client: &ClientShared, held: u64) {
        let reported = client.reported.0.load(Ordering::Relaxed);
        self.forget(client);
        if reported != Reported::CLOSED {
            let beside = held.wrapping_sub(reported).cast_signed();
            self.beside.fetch_sub(beside, Ordering::Relaxed);
        }
        client.kill();
    }

    /// The lines of INFO overload.
    pub fn show(&self, server: &Server, line: &mut dyn FnMut(&str, &dyn Display)) {
        let held_back = |client: &Arc<ClientShared>| client.has_flag(ClientShared::HELD_BACK);
        let paused = server.clients.all().iter().filter(|client| held_back(client)).count();
        line("client_bytes", &self.used());
        line("client_bytes_budget", &self.budget.load(Ordering::Relaxed));
        line("client_bytes_stage", &self.stage().name());
        line("client_output_pause_at", &self.pause_at());
        line("clients_held_back", &paused);
        line("client_pauses", &self.pauses.load(Ordering::Relaxed));
        line("clients_stalled", &self.stalled.load(Ordering::Relaxed));
        line("clients_evicted", &server.stats.evicted_clients.load(Ordering::Relaxed));
    }
}

/// The clients that may be closed, the largest first.
fn by_size(clients: Vec<Arc<ClientShared>>) -> Vec<(Arc<ClientShared>, u64)> {
    let evictable = |client: &Arc<ClientShared>| {
        !client.has_flag(ClientShared::NO_EVICT) && !client.kill.load(Ordering::Relaxed)
    };
    let mut clients: Vec<_> = clients
        .into_iter()
        .filter(evictable)
        .map(|client| {
            let held = client.held();
            (client, held)
        })
        .collect();
    clients.sort_unstable_by_key(|(_, held)| std::cmp::Reverse(*held));
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: usize = 64;
    const SCARCE_PAUSE: usize = 1;

    fn client(id: u64) -> Arc<ClientShared> {
        Arc::new(ClientShared::new(id, "a:1".into(), "b:2".into(), 9, 0, 0))
    }

    fn holds(bytes: &ClientBytes, client: &ClientShared, held: u64) -> bool {
        client.reply_room.store(held, Ordering::Relaxed);
        bytes.note(client)
    }

    #[test]
    fn stages_follow_the_budget_and_do_not_flutter() {
        let budget = 1_000;
        let mut stage = Stage::Plenty;
        let mut at = |used| {
            stage = stage.next(used, budget);
            stage
        };
        assert_eq!([at(0), at(799), at(800)], [Stage::Plenty, Stage::Plenty, Stage::Scarce]);
        assert_eq!(
            [at(1_000), at(1_001), at(1_000)],
            [Stage::Scarce, Stage::Exceeded, Stage::Scarce]
        );
        assert_eq!([at(799), at(750), at(749)], [Stage::Scarce, Stage::Scarce, Stage::Plenty]);
        assert_eq!([at(751), at(u64::MAX)], [Stage::Plenty, Stage::Exceeded]);
        assert_eq!(Stage::Exceeded.next(u64::MAX, 0), Stage::Plenty, "there is no limit");
    }

    #[test]
    fn an_exceeded_budget_is_left_with_a_little_headroom() {
        assert_eq!(excess(6_400, 6_400), 0);
        assert_eq!(excess(6_401, 6_400), 101);
        assert_eq!(excess(u64::MAX, 0), 0);
        assert_eq!(excess(5, 4), 1);
    }

    #[test]
    fn what_is_reported_adds_up_and_pauses_those_who_do_not_read() {
        let bytes = ClientBytes::default();
        bytes.configure(100 * GRAIN, ALWAYS, SCARCE_PAUSE);
        let (one, two) = (client(1), client(2));
        assert!(!holds(&bytes, &one, GRAIN - 1));
        assert_eq!(bytes.used(), 0, "too little to report");
        assert!(!holds(&bytes, &one, 79 * GRAIN));
        assert_eq!((bytes.used(), bytes.pause_at()), (79 * GRAIN, ALWAYS));
        assert!(!holds(&bytes, &two, 2 * GRAIN));
        assert_eq!((bytes.used(), bytes.pause_at()), (81 * GRAIN, SCARCE_PAUSE));
        assert!(holds(&bytes, &two, 22 * GRAIN), "101 of 100");
        assert!(!holds(&bytes, &one, GRAIN));
        assert_eq!((bytes.used(), bytes.pause_at()), (23 * GRAIN, ALWAYS));
        bytes.forget(&one);
        bytes.forget(&one);
        assert!(!holds(&bytes, &one, 90 * GRAIN), "it counts no more");
        assert_eq!(bytes.used(), 22 * GRAIN);
    }

    #[test]
    fn the_sweep_adds_what_nobody_reports() {
        let bytes = ClientBytes::default();
        bytes.configure(100 * GRAIN, ALWAYS, SCARCE_PAUSE);
        let one = client(1);
        assert!(!holds(&bytes, &one, 50 * GRAIN));
        assert!(!bytes.correct(70 * GRAIN));
        assert_eq!(bytes.used(), 70 * GRAIN);
        assert!(!holds(&bytes, &one, 60 * GRAIN));
        assert_eq!((bytes.used(), bytes.stage()), (80 * GRAIN, Stage::Scarce));
        assert!(!bytes.correct(60 * GRAIN), "less than was reported is true as well");
        assert_eq!((bytes.used(), bytes.stage()), (60 * GRAIN, Stage::Plenty));
        assert!(bytes.correct(101 * GRAIN));
        // Closing it takes all of it out, reported or not.
        bytes.close(&one, 101 * GRAIN);
        assert_eq!(bytes.used(), 0);
        assert!(one.kill.load(Ordering::Relaxed) && bytes.is_forgotten(&one));
    }

    #[test]
    fn without_stages_only_the_budget_counts() {
        let bytes = ClientBytes::default();
        bytes.configure(100 * GRAIN, 9, 9);
        let one = client(1);
        assert!(!holds(&bytes, &one, 99 * GRAIN));
        assert_eq!(bytes.pause_at(), 9);
        assert!(holds(&bytes, &one, 101 * GRAIN));
        bytes.configure(100 * GRAIN, 9, 5);
        assert_eq!(bytes.pause_at(), 5);
    }

    #[test]
    fn the_largest_are_closed_first_and_some_never() {
        let all: Vec<_> = (0..5).map(client).collect();
        for (client, held) in all.iter().zip([5, 50, 500, 40, 400]) {
            client.reply_room.store(held, Ordering::Relaxed);
        }
        all[2].set_flag(ClientShared::NO_EVICT, true);
        all[3].kill();
        let order: Vec<u64> = by_size(all).iter().map(|(client, _)| client.id).collect();
        assert_eq!(order, [4, 1, 0]);
    }
}
