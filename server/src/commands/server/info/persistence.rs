//! INFO persistence. Fields of append-only files are there where monitoring looks for them.

use super::Text;
use super::figures::human;
use super::sections::zeros;
use crate::commands::call::Call;
use crate::server::Server;
use dunlin_storage::Millis;
use std::sync::atomic::Ordering;

pub(super) fn persistence(call: &mut Call<'_, '_>, text: &mut Text) {
    let (server, now) = (call.server, call.now);
    let is_loading = server.phases.is_loading();
    text.line("loading", u8::from(is_loading));
    zeros(text, &["async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    text.line("current_fork_perc", "0.00");
    snapshots(server, now, text);
    zeros(text, &["aof_enabled", "aof_rewrite_in_progress", "aof_rewrite_scheduled"]);
    text.line("aof_last_rewrite_time_sec", -1);
    text.line("aof_current_rewrite_time_sec", -1);
    text.line("aof_last_bgrewrite_status", "ok");
    zeros(text, &["aof_rewrites", "aof_rewrites_consecutive_failures"]);
    text.line("aof_last_write_status", "ok");
    zeros(text, &["aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"]);
    if is_loading {
        loading(server, now, text);
    }
}

fn snapshots(server: &Server, now: Millis, text: &mut Text) {
    let figures = server.snapshots.figures();
    text.line("current_save_keys_processed", figures.keys_done);
    text.line("current_save_keys_total", figures.keys_total);
    let changes = server.snapshots.changes_since(server.keyspace.stats().changes);
    text.line("rdb_changes_since_last_save", changes);
    text.line("rdb_bgsave_in_progress", u8::from(figures.began.is_some()));
    text.line("rdb_last_save_time", figures.last_save / 1000);
    text.line("rdb_last_bgsave_status", if figures.last_ok { "ok" } else { "err" });
    text.line("rdb_last_bgsave_time_sec", figures.last_seconds);
    let running = figures.began.map_or(-1, |began| now.saturating_sub(began).max(0) / 1000);
    text.line("rdb_current_bgsave_time_sec", running);
    text.line("rdb_saves", figures.saves);
    text.line("rdb_failures", figures.failures);
    text.line("rdb_last_bgsave_bytes", figures.last_bytes);
    zeros(text, &["rdb_last_cow_size"]);
    let loading = &server.snapshots.loading;
    text.line("rdb_last_load_keys_expired", loading.expired.load(Ordering::Relaxed));
    text.line("rdb_last_load_keys_loaded", loading.loaded.load(Ordering::Relaxed));
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn loading(server: &Server, now: Millis, text: &mut Text) {
    let loading = &server.snapshots.loading;
    let began = loading.began.load(Ordering::Relaxed);
    let (total, read) =
        (loading.total_bytes.load(Ordering::Relaxed), loading.bytes.load(Ordering::Relaxed));
    let used = server.keyspace.memory().used;
    let seconds = now.saturating_sub(began).max(0) / 1000;
    let part = if total == 0 { 0.0 } else { read as f64 / total as f64 };
    // As long as it has taken so far, for each part that is left.
    let eta = match read {
        0 => 1,
        _ => {
            let left = total.saturating_sub(read);
            let eta = u128::from(left) * seconds.unsigned_abs() as u128 / u128::from(read);
            u64::try_from(eta).unwrap_or(u64::MAX)
        }
    };
    text.line("loading_start_time", began / 1000);
    text.line("loading_total_bytes", total);
    text.line("loading_rdb_used_mem", used);
    text.line("loading_rdb_used_mem_human", human(used));
    text.line("loading_loaded_bytes", read);
    text.line("loading_loaded_perc", format_args!("{:.2}", part * 100.0));
    text.line("loading_eta_seconds", eta);
}
