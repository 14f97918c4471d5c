//! The clients that hold and do the most.

use super::text::shown;
use crate::admin::clients::{each, held};
use crate::client::{ClientShared, line};
use crate::server::Server;
use dunlin_storage::Millis;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Clients with the most of each.
const TOP: usize = 12;
/// Characters of names.
const MAX_NAME: usize = 60;

/// One client.
#[derive(Serialize)]
pub(super) struct Client {
    id: u64,
    addr: String,
    name: String,
    user: String,
    library: String,
    db: u8,
    worker: usize,
    flags: String,
    command: &'static str,
    age_seconds: i64,
    idle_seconds: i64,
    memory: u64,
    commands: u64,
    net_in: u64,
    net_out: u64,
}

impl Client {
    fn read(client: &ClientShared, now: Millis) -> Self {
        let labels = client.labels();
        let library = format!("{} {}", labels.lib_name, labels.lib_ver);
        Client {
            id: client.id,
            addr: client.addr.clone(),
            name: shown(labels.name.as_bytes(), MAX_NAME),
            user: shown(&client.user().name, MAX_NAME),
            library: shown(library.trim().as_bytes(), MAX_NAME),
            db: client.db.load(Ordering::Relaxed),
            worker: client.worker(),
            flags: line::flags(client),
            command: line::last_command(client),
            age_seconds: line::seconds(now, client.created),
            idle_seconds: line::seconds(now, client.last_active.load(Ordering::Relaxed)),
            memory: held(client),
            commands: client.commands.get(),
            net_in: client.net_in.get(),
            net_out: client.net_out.get(),
        }
    }
}

/// Keeps the largest of what it is shown.
#[derive(Default)]
struct Top(BinaryHeap<Reverse<(u64, u64)>>);

impl Top {
    fn look(&mut self, figure: u64, id: u64) {
        self.0.push(Reverse((figure, id)));
        if self.0.len() > TOP {
            self.0.pop();
        }
    }

    fn ids(self) -> impl Iterator<Item = u64> {
        self.0.into_iter().map(|Reverse((_, id))| id)
    }
}

/// The clients with the most memory and those with the most commands, by number.
pub(super) fn top(server: &Server) -> Vec<Client> {
    let (mut memory, mut commands) = (Top::default(), Top::default());
    each(&server.clients, |client| {
        memory.look(held(client), client.id);
        commands.look(client.commands.get(), client.id);
    });
    let found = memory.ids().chain(commands.ids());
    let found: BTreeMap<u64, Arc<ClientShared>> =
        found.filter_map(|id| server.clients.get(id).map(|client| (id, client))).collect();
    let now = server.clock.now();
    found.values().map(|client| Client::read(client, now)).collect()
}

#[cfg(test)]
mod tests {
    use super::{TOP, Top};

    #[test]
    fn the_largest_stay() {
        let mut top = Top::default();
        (0..1000_u64).for_each(|n| top.look(n * 7919 % 1000, n));
        let mut figures: Vec<u64> = top.ids().map(|id| id * 7919 % 1000).collect();
        figures.sort_unstable();
        assert_eq!(figures, (1000 - TOP as u64..1000).collect::<Vec<_>>());
    }
}
