//! The task of the first worker that has snapshots made: those that clients ask for, and those of save
//! points.

use super::points::{Seen, due};
use super::save;
use crate::server::Server;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two looks at the save points.
const TICK: Duration = Duration::from_millis(100);

/// Runs until the process ends.
pub(crate) async fn keep(server: &'static Server) {
    let snapshots = &server.snapshots;
    loop {
        tokio::select! {
            () = snapshots.wanted.notified() => {}
            () = tokio::time::sleep(TICK) => {
                look_at_points(server);
                continue;
            }
        }
        let job = snapshots.current().clone();
        if let Some(job) = job {
            save::start(server, job).await;
        }
    }
}

fn look_at_points(server: &'static Server) {
    let (snapshots, settings) = (&server.snapshots, server.settings());
    if snapshots.flushed.load(Ordering::Relaxed)
        && save::may_begin(server)
        && snapshots.request(false, server.clock.now()).is_ok()
    {
        snapshots.flushed.store(false, Ordering::Relaxed);
        tracing::info!("all keys were flushed: saving a snapshot");
    }
    if settings.save_points.is_empty() || !save::may_begin(server) {
        return;
    }
    let seen = Seen {
        now: server.clock.now(),
        last_save: snapshots.last_save.load(Ordering::Relaxed),
        last_try: snapshots.last_try.load(Ordering::Relaxed),
        last_ok: snapshots.last_ok.load(Ordering::Relaxed),
        changes: snapshots.changes_since(server.keyspace.stats().changes),
    };
    if let Some((seconds, changes)) = due(&settings.save_points, &seen)
        && snapshots.request(false, seen.now).is_ok()
    {
        tracing::info!("{changes} changes in {seconds} seconds: saving a snapshot");
    }
}
