//! What openraft is told about us: the types of its entries, and how it gets time and randomness.

use super::super::change::{Change, Life, Verdict};
use super::super::node::NodeId;
use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::future::Future;
use std::io::Cursor;
use std::time::Duration;

/// Why a future of openraft's has failed.
type Elapsed = tokio::time::error::Elapsed;

openraft::declare_raft_types!(
    /// The types of our log.
    pub(super) Types:
        D = Proposal,
        R = Decided,
        NodeId = NodeId,
        Node = openraft::BasicNode,
        Entry = openraft::Entry<Types>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = Runtime,
);

pub(super) type Raft = openraft::Raft<Types>;
pub(super) type Entry = openraft::Entry<Types>;
pub(super) type LogId = openraft::LogId<NodeId>;
pub(super) type Vote = openraft::Vote<NodeId>;
pub(super) type Membership = openraft::StoredMembership<NodeId, openraft::BasicNode>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<NodeId, openraft::BasicNode>;
pub(super) type StorageError = openraft::StorageError<NodeId>;

/// An entry of the log: a change, and which one of whose it is, because a proposal that is made again
/// must not be applied twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proposal {
    /// Who proposes.
    pub from: Life,
    /// The number of the proposal among those of this life.
    pub number: u64,
    /// Nobody waits for proposals with lower numbers any more.
    pub floor: u64,
    /// It is meant for the log of this term only: what a leader decides because of what it knows as a
    /// leader (removals) is void if another has led meanwhile.
    pub term: Option<u64>,
    /// What.
    pub change: Change,
}

/// What has come of an entry. None for those that are not proposals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Decided(pub Option<Verdict>);

/// Tokio, with random numbers that a simulation can repeat.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Runtime;

thread_local! {
    /// The state of the generator; 0: not begun.
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// A thread's random numbers, for election timeouts: SplitMix64, begun with the system's randomness
/// unless somebody has set it.
#[derive(Clone, Copy, Debug)]
pub struct Random;

impl Random {
    /// Lets this thread's numbers begin with a seed.
    pub fn seed(seed: u64) {
        RANDOM.set(seed | 1);
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        let mut state = RANDOM.get();
        if state == 0 {
            state = getrandom::u64().unwrap_or(1) | 1;
        }
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        RANDOM.set(state);
        let mut z = state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next_u64().to_le_bytes();
            chunk.iter_mut().zip(random).for_each(|(to, from)| *to = from);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

type Tokio = openraft::TokioRuntime;

impl openraft::AsyncRuntime for Runtime {
    type JoinError = tokio::task::JoinError;
    type JoinHandle<T: Send + 'static> = tokio::task::JoinHandle<T>;
    type Sleep = tokio::time::Sleep;
    type Instant = tokio::time::Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + Send> = tokio::time::Timeout<T>;
    type ThreadLocalRng = Random;
    type OneshotSender<T: Send> = <Tokio as openraft::AsyncRuntime>::OneshotSender<T>;
    type OneshotReceiverError = tokio::sync::oneshot::error::RecvError;
    type OneshotReceiver<T: Send> = tokio::sync::oneshot::Receiver<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        tokio::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        tokio::time::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        tokio::time::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + Send>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio::time::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + Send>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio::time::timeout_at(deadline, future)
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        error.is_panic()
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        Random
    }

    fn oneshot<T: Send>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>) {
        Tokio::oneshot()
    }
}
