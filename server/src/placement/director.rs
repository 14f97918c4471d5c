//! The task that feeds the controllers and carries out what they say: one, on the first worker.

use super::balance::RESIDENCE;
use super::{Balance, Meter, Move, Sample, Tenant};
use crate::client::ClientShared;
use crate::config::Settings;
use crate::server::Server;
use dunlin_storage::Millis;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Measurements per window.
const MEASUREMENTS: u32 = 4;
/// Connections asked to leave a worker in one window, beyond what balancing moves.
const EXODUS: usize = 1_024;
/// Windows after which a worker that could not be emptied serves again.
const DRAIN_WINDOWS: u32 = 10;

/// Measures, decides and moves until the server ends.
pub async fn direct(server: &'static Server) {
    let mut director = Director::new(server);
    while !server.shutdown.requested() {
        let window = server.settings().placement_window;
        for _ in 0..MEASUREMENTS {
            tokio::time::sleep(Duration::from_millis(u64::from(window)) / MEASUREMENTS).await;
            director.measure(window);
        }
        director.step();
    }
}

struct Director {
    server: &'static Server,
    meters: Vec<Meter>,
    balance: Balance,
    /// Clients that were asked to go in the last window.
    asked: Vec<Arc<ClientShared>>,
    /// Windows for which workers have been inactive with connections.
    draining: u32,
}

impl Director {
    fn new(server: &'static Server) -> Self {
        let workers = server.placement.workers();
        Director {
            server,
            meters: (0..workers).map(|_| Meter::default()).collect(),
            balance: Balance::default(),
            asked: Vec::new(),
            draining: 0,
        }
    }

    fn measure(&mut self, window: u32) {
        let now = self.server.clock.monotonic_ns();
        for (index, meter) in self.meters.iter_mut().enumerate() {
            meter.measure(self.server.placement.load(index), now, u64::from(window) * 1_000_000);
        }
    }

    /// One window has passed.
    fn step(&mut self) {
        let placement = &self.server.placement;
        if placement.workers() == 1 {
            return;
        }
        // Who has not gone by now stays.
        self.asked.drain(..).for_each(|client| client.set_destination(None));
        placement.arrivals.store(0, Ordering::Relaxed);
        let (settings, before) = (self.server.settings(), placement.active());
        let wanted = placement.scale().step(&self.sample());
        match wanted {
            Some(wanted) if wanted > before => {
                placement.set_active(wanted);
                self.spread(before, wanted);
            }
            Some(wanted) if self.can_be_emptied(wanted) => placement.set_active(wanted),
            Some(_) | None => {}
        }
        if wanted.is_some() {
            self.balance.forget();
        } else {
            self.even_out(&settings);
        }
        self.drain();
    }

    fn loads(&self) -> Vec<u32> {
        let placement = &self.server.placement;
        (0..placement.active()).map(|index| placement.load(index).busy()).collect()
    }

    fn sample(&self) -> Sample {
        let placement = &self.server.placement;
        let busy = self.loads();
        let active = busy.len();
        let runnable = |index| u64::from(placement.load(index).runnable());
        let mean = busy.iter().map(|busy| u64::from(*busy)).sum::<u64>() / (active.max(1) as u64);
        Sample {
            active,
            min: placement.min.load(Ordering::Relaxed),
            max: placement.workers(),
            runnable: (0..active).map(runnable).sum(),
            busy: u32::try_from(mean).unwrap_or(u32::MAX),
        }
    }

    /// Moves a few connections from the busiest worker to the idlest, if they differ too much.
    fn even_out(&mut self, settings: &Settings) {
        let server = self.server;
        let busy = self.loads();
        let residence = Millis::from(settings.placement_window) * Millis::from(RESIDENCE);
        let latest = server.clock.now() - residence;
        let tenants = || {
            let clients = server.clients.all();
            clients.iter().map(|client| tenant(client, latest)).collect()
        };
        let moves = self.balance.step(&busy, settings.placement_gap.saturating_mul(10), tenants);
        for Move { id, to } in moves {
            if let Some(client) = server.clients.get(id) {
                self.ask(client, to);
            }
        }
    }

    /// New workers get their part of the connections of the others.
    fn spread(&mut self, before: usize, after: usize) {
        let mut turn = vec![0_usize; before];
        let mut to = before;
        for client in self.server.clients.all() {
            let worker = client.worker();
            let Some(turn) = turn.get_mut(worker).filter(|_| client.may_move()) else { continue };
            // Of as many as there are workers in all, those go for which there are new ones.
            let goes = *turn % after >= before;
            *turn += 1;
            if goes && self.asked.len() < EXODUS {
                self.ask(client, to);
                to = if to + 1 < after { to + 1 } else { before };
            }
        }
    }

    /// Whether all connections of the workers from `wanted` on could go. If not it is not tried again
    /// for a while.
    fn can_be_emptied(&self, wanted: usize) -> bool {
        let clients = self.server.clients.all();
        let can = clients.iter().all(|client| client.worker() < wanted || client.may_move());
        if !can {
            self.server.placement.scale().kept();
        }
        can
    }

    /// Empties workers that do not serve any more. One that holds on to a connection serves again.
    fn drain(&mut self) {
        let placement = &self.server.placement;
        let active = placement.active();
        let occupied = (active..placement.workers()).rfind(|i| placement.connections(*i) > 0);
        let Some(occupied) = occupied else {
            self.draining = 0;
            return;
        };
        self.draining += 1;
        if self.draining > DRAIN_WINDOWS {
            placement.set_active(occupied + 1);
            placement.scale().kept();
            self.draining = 0;
            return;
        }
        let clients = self.server.clients.all();
        let leaving = clients.into_iter().filter(|c| c.worker() >= active && c.may_move());
        for (number, client) in leaving.take(EXODUS).enumerate() {
            self.ask(client, number % active);
        }
    }

    fn ask(&mut self, client: Arc<ClientShared>, to: usize) {
        self.server.placement.ask(&client, to);
        self.asked.push(client);
    }
}

/// A connection as the balance sees it; who has come after `latest` stays.
fn tenant(client: &ClientShared, latest: Millis) -> Tenant {
    // What a command costs beside its bytes is about what a hundred bytes cost.
    const BYTES: u64 = 128;
    let bytes = client.net_in.get().wrapping_add(client.net_out.get());
    Tenant {
        id: client.id,
        worker: client.worker(),
        work: client.commands.get().wrapping_add(bytes / BYTES),
        free: client.placed.load(Ordering::Relaxed) <= latest && client.may_move(),
    }
}
