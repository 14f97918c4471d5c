//! The task of the first worker that has snapshots made: those that clients ask for, and those of save
//! points.

use super::points::{Seen, due, may_try};
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
    let has_flushed_keys = snapshots.has_flushed_keys();
    let is_idle = settings.save_points.is_empty() && !has_flushed_keys;
    if is_idle || !save::may_begin(server) {
        return;
    }
    let seen = Seen {
        now: server.clock.now(),
        last_save: snapshots.last_save.load(Ordering::Relaxed),
        last_try: snapshots.last_try.load(Ordering::Relaxed),
        last_ok: snapshots.last_ok.load(Ordering::Relaxed),
        changes: snapshots.changes_since(server.keyspace.stats().changes),
    };
    if has_flushed_keys && may_try(&seen) && snapshots.request(false, seen.now).is_ok() {
        tracing::info!("all keys were flushed: saving a snapshot");
    }
    if let Some((seconds, changes)) = due(&settings.save_points, &seen)
        && snapshots.request(false, seen.now).is_ok()
    {
        tracing::info!("{changes} changes in {seconds} seconds: saving a snapshot");
    }
}
