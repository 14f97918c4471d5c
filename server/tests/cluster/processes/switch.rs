//! A network in the hands of a test: what one host sends to another passes through here, and is let
//! through, delayed or lost as the test wants.
//!
//! ```text
//!   namespace of node 1                this process                 namespace of node 2
//!   sockets - tun device  --- packets --->  reader of 1
//!                                           path 1 -> 2: blocked? lost? when is it due?
//!                                           now, or later by the clerk  ------>  tun device - sockets
//! ```
//!
//! A device is opened here and then given to a namespace; whoever has opened it still reads what is sent
//! through it, and writes what is to be received. Hosts have the addresses 1, 2, .. of one network, so a
//! packet says itself where it goes.

use super::super::support::Rng;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tun_rs::{DeviceBuilder, InterruptEvent, Layer, SyncDevice};

/// The longest packet.
pub(super) const MTU: u16 = 1500;

/// What becomes of packets from one host to another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Path {
    pub(super) is_blocked: bool,
    /// So many of a hundred are lost.
    pub(super) loss: usize,
    pub(super) delay: Duration,
}

/// A packet that is on its way, the next one to arrive first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Late {
    due: std::cmp::Reverse<(Instant, u64)>,
    to: usize,
    packet: Vec<u8>,
}

struct State {
    /// By sender and receiver.
    paths: Vec<Vec<Path>>,
    late: BinaryHeap<Late>,
    sent: u64,
    rng: Rng,
}

struct Shared {
    devices: Vec<SyncDevice>,
    /// Ends the readers.
    ends: Vec<InterruptEvent>,
    state: Mutex<State>,
    is_late: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet that a device has no room for is lost, as it would be elsewhere.
    fn deliver(&self, to: usize, packet: &[u8]) {
        let _ = self.devices[to].send(packet);
    }

    /// Passes on what one host sends, until the end.
    fn read(&self, from: usize) {
        let mut buffer = [0; MTU as usize];
        while !self.stop.load(SeqCst) {
            let Ok(length) = self.devices[from].recv_intr(&mut buffer, &self.ends[from]) else {
                continue;
            };
            self.pass(from, &buffer[..length]);
        }
    }

    fn pass(&self, from: usize, packet: &[u8]) {
        let Some(to) = receiver(packet).filter(|to| *to < self.devices.len()) else { return };
        let mut state = self.state();
        let path = state.paths[from][to];
        if path.is_blocked || state.rng.chance(path.loss, 100) {
            return;
        }
        if path.delay.is_zero() {
            drop(state);
            return self.deliver(to, packet);
        }
        state.sent += 1;
        let due = std::cmp::Reverse((Instant::now() + path.delay, state.sent));
        state.late.push(Late { due, to, packet: packet.to_vec() });
        self.is_late.notify_one();
    }

    /// Delivers what is late when it is due, until the end.
    fn clerk(&self) {
        let mut state = self.state();
        while !self.stop.load(SeqCst) {
            let now = Instant::now();
            let wait = match state.late.peek().map(|late| late.due.0.0) {
                None => Duration::from_secs(1),
                Some(due) if due > now => due - now,
                Some(_) => {
                    if let Some(late) = state.late.pop() {
                        self.deliver(late.to, &late.packet);
                    }
                    continue;
                }
            };
            let woken = self.is_late.wait_timeout(state, wait);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The host to which an IPv4 packet goes.
fn receiver(packet: &[u8]) -> Option<usize> {
    let is_v4 = packet.first()? >> 4 == 4;
    let host = usize::from(*packet.get(19)?);
    host.checked_sub(1).filter(|_| is_v4)
}

pub(super) struct Switch {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Switch {
    /// One with devices of these names, which are in the namespace of this process at first.
    pub(super) fn new(names: &[String]) -> io::Result<Self> {
        let device = |name: &String| {
            let builder = DeviceBuilder::new().name(name.as_str()).layer(Layer::L3);
            let device = builder.enable(false).build_sync()?;
            device.set_nonblocking(true)?;
            Ok(device)
        };
        let count = names.len();
        let state = State {
            paths: vec![vec![Path::default(); count]; count],
            late: BinaryHeap::new(),
            sent: 0,
            rng: Rng::new(1),
        };
        let shared = Arc::new(Shared {
            devices: names.iter().map(device).collect::<io::Result<_>>()?,
            ends: names.iter().map(|_| InterruptEvent::new()).collect::<io::Result<_>>()?,
            state: Mutex::new(state),
            is_late: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for from in 0..count {
            let shared = Arc::clone(&shared);
            threads.push(std::thread::spawn(move || shared.read(from)));
        }
        let clerk = Arc::clone(&shared);
        threads.push(std::thread::spawn(move || clerk.clerk()));
        Ok(Switch { shared, threads })
    }

    /// Changes paths, given their sender and receiver.
    pub(super) fn change(&self, change: impl Fn(usize, usize, &mut Path)) {
        for (from, paths) in self.shared.state().paths.iter_mut().enumerate() {
            for (to, path) in paths.iter_mut().enumerate() {
                change(from, to, path);
            }
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        for end in &self.shared.ends {
            let _ = end.trigger();
        }
        self.shared.is_late.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
