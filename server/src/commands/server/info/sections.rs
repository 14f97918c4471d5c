//! The sections of INFO with a fixed set of fields.
//!
//! Fields of what Dunlin does not have (replicas, append-only file) are there where
//! monitoring and clients look for them, with the value they have in a server that does not use it.

use super::Text;
use super::figures::{MemoryFigures, human, ratio};
use crate::acl::Reason;
use crate::client::ClientShared;
use crate::commands::call::Call;
use crate::commands::server::{DUNLIN_VERSION, REDIS_VERSION};
use crate::runtime::sweep::Patience;
use crate::runtime::{container, process};
use crate::server::Server;
use crate::stats::{Gauge, WorkerStats};
use dunlin_protocol::chunk;
use dunlin_storage::{AutoStats, DbId, Miss};
use std::sync::atomic::Ordering;

pub(super) fn zeros(text: &mut Text, fields: &[&str]) {
    for field in fields {
        text.line(field, 0);
    }
}

/// What scripts take: their texts, and what Lua has made of them on all workers.
fn scripts(server: &Server, text: &mut Text) {
    let gauge = |of: fn(&WorkerStats) -> &Gauge| -> u64 {
        server.stats.workers().map(|worker| of(worker).get()).sum()
    };
    let (eval, functions) = (gauge(|w| &w.lua.eval), gauge(|w| &w.lua.functions));
    let libraries = server.libraries.current();
    let (scripts, code) = (server.scripts.memory() as u64, libraries.memory() as u64);
    text.line("used_memory_vm_eval", eval);
    text.line("used_memory_lua", eval);
    text.line("used_memory_lua_human", human(eval));
    text.line("used_memory_scripts_eval", scripts);
    text.line("number_of_cached_scripts", server.scripts.len());
    text.line("number_of_functions", libraries.function_count());
    text.line("number_of_libraries", libraries.libraries.len());
    text.line("used_memory_vm_functions", functions);
    text.line("used_memory_vm_total", eval + functions);
    text.line("used_memory_vm_total_human", human(eval + functions));
    text.line("used_memory_functions", code);
    text.line("used_memory_scripts", scripts + code);
    text.line("used_memory_scripts_human", human(scripts + code));
}

pub(super) fn server(call: &mut Call<'_, '_>, text: &mut Text) {
    let server = call.server;
    let settings = server.settings();
    let uptime = call.now.saturating_sub(server.started).max(0) / 1000;
    let wall = server.clock.wall_us();
    text.line("redis_version", REDIS_VERSION);
    text.line("dunlin_version", DUNLIN_VERSION);
    text.line("server_name", "dunlin");
    text.line("redis_git_sha1", "00000000");
    text.line("redis_git_dirty", 0);
    text.line("redis_build_id", 0);
    text.line("redis_mode", server.mode());
    text.line("os", process::os());
    text.line("arch_bits", usize::BITS);
    text.line("monotonic_clock", "POSIX clock_gettime");
    text.line("multiplexing_api", "epoll");
    text.line("process_id", std::process::id());
    text.line("process_supervised", server.supervisor.name());
    text.line("run_id", &server.run_id);
    // As Redis: the port a client should try, encrypted if there is no other.
    text.line("tcp_port", if settings.port == 0 { settings.tls.port } else { settings.port });
    text.line("server_time_usec", wall);
    text.line("uptime_in_seconds", uptime);
    text.line("uptime_in_days", uptime / 86_400);
    text.line("hz", settings.hz);
    text.line("configured_hz", settings.hz);
    // 24 bits of seconds, as Redis's clock of last accesses.
    text.line("lru_clock", (wall / 1_000_000) & 0xff_ffff);
    let executable = std::env::current_exe().unwrap_or_default();
    text.line("executable", executable.display());
    let file = server.config.file().unwrap_or(std::path::Path::new(""));
    text.line("config_file", file.display());
    text.line("io_threads_active", 0);
    text.line("workers", server.workers);
}

pub(super) fn clients(call: &mut Call<'_, '_>, text: &mut Text) {
    let server = call.server;
    let clients = server.clients.all();
    let most = |figure: fn(&ClientShared) -> u64| clients.iter().map(|c| figure(c)).max();
    let input = most(|client| client.query_room.load(Ordering::Relaxed));
    let output = most(ClientShared::unsent);
    // Those whom a pause makes wait are among them.
    let waits = ClientShared::BLOCKED | ClientShared::PAUSED;
    let blocked = clients.iter().filter(|c| c.has_flag(waits)).count();
    let subscribed = clients.iter().filter(|c| c.has_flag(ClientShared::PUBSUB)).count();
    let watches = || clients.iter().map(|c| c.transaction.watched()).filter(|n| *n > 0);
    let (watching, watched) = (watches().count(), watches().sum::<u64>());
    text.line("connected_clients", clients.len());
    text.line("cluster_connections", 0);
    text.line("maxclients", server.max_clients());
    text.line("client_recent_max_input_buffer", input.unwrap_or(0));
    text.line("client_recent_max_output_buffer", output.unwrap_or(0));
    text.line("blocked_clients", blocked);
    text.line("tracking_clients", server.tracker().clients());
    text.line("pubsub_clients", subscribed);
    text.line("watching_clients", watching);
    text.line("clients_in_timeout_table", 0);
    text.line("total_watched_keys", watched);
    text.line("total_blocking_keys", server.interests.queues.keys());
    text.line("total_blocking_keys_on_nokey", server.interests.queues.any_change_keys());
    text.line("monitor_clients", server.monitors.len());
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
    format!("{share:.2}%")
}

pub(super) fn memory(call: &mut Call<'_, '_>, text: &mut Text) {
    let server = call.server;
    let settings = server.settings();
    let figures = MemoryFigures::read(server);
    let MemoryFigures { store, used, peak, resident, .. } = figures;
    let mut with_human = |field: &str, bytes: u64| {
        text.line(field, bytes);
        text.line(&format!("{field}_human"), human(bytes));
    };
    with_human("used_memory", used);
    with_human("used_memory_rss", resident);
    with_human("used_memory_peak", peak);
    text.line("used_memory_peak_perc", percent(used, peak));
    text.line("used_memory_overhead", figures.overhead());
    text.line("used_memory_startup", 0);
    text.line("used_memory_dataset", figures.dataset());
    text.line("used_memory_dataset_perc", percent(figures.dataset(), used));
    text.line("used_memory_tables", store.tables);
    text.line("used_memory_eviction", store.eviction);
    text.line("used_memory_misses", store.misses);
    text.line("limbo_bytes", store.limbo);
    text.line("limbo_peak_bytes", store.limbo_peak);
    text.line("free_chunks_bytes", chunk::free_bytes());
    text.line("allocator_allocated", used);
    text.line("allocator_active", figures.active());
    text.line("allocator_resident", resident);
    text.line("slab_used_bytes", store.slab.used);
    text.line("slab_pages_bytes", store.slab.pages);
    text.line("slab_empty_bytes", store.slab.empty);
    let machine = container::detect_memory().machine;
    text.line("total_system_memory", machine);
    text.line("total_system_memory_human", human(machine));
    scripts(call.server, text);
    text.line("maxmemory", settings.maxmemory);
    text.line("maxmemory_human", human(settings.maxmemory));
    text.line("maxmemory_policy", settings.maxmemory_policy.name());
    let active = figures.active();
    for (field, whole, part) in [
        ("allocator_frag", active, used),
        ("allocator_rss", resident, active),
        ("rss_overhead", resident, resident),
    ] {
        text.line(&format!("{field}_ratio"), format_args!("{:.2}", ratio(whole, part)));
        text.line(&format!("{field}_bytes"), i128::from(whole) - i128::from(part));
    }
    let ratio = figures.fragmentation();
    text.line("mem_fragmentation_ratio", format_args!("{ratio:.2}"));
    text.line("mem_fragmentation_bytes", i128::from(resident) - i128::from(used));
    zeros(
        text,
        &[
            "mem_not_counted_for_evict",
            "mem_replication_backlog",
            "mem_total_replication_buffers",
            "mem_clients_slaves",
        ],
    );
    text.line("mem_clients_normal", figures.clients);
    zeros(text, &["mem_cluster_links", "mem_aof_buffer"]);
    text.line("mem_allocator", "mimalloc");
    text.line("active_defrag_running", u8::from(server.keyspace.is_compacting()));
    zeros(text, &["lazyfree_pending_objects", "lazyfreed_objects"]);
}

#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
fn kilobytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1024.0)
}

pub(super) fn stats(call: &mut Call<'_, '_>, text: &mut Text) {
    let server = call.server;
    let stats = &server.stats;
    let store = server.keyspace.stats();
    let sum = |counter: fn(&WorkerStats) -> &crate::stats::Counter| stats.sum(counter);
    let rates = server.rates.per_second();
    text.line("total_connections_received", sum(|w| &w.connections));
    text.line("total_commands_processed", stats.calls());
    text.line("instantaneous_ops_per_sec", rates.commands);
    text.line("total_net_input_bytes", sum(|w| &w.net_in));
    text.line("total_net_output_bytes", sum(|w| &w.net_out));
    zeros(text, &["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    text.line("instantaneous_input_kbps", kilobytes(rates.net_in));
    text.line("instantaneous_output_kbps", kilobytes(rates.net_out));
    text.line("instantaneous_input_repl_kbps", "0.00");
    text.line("instantaneous_output_repl_kbps", "0.00");
    text.line("rejected_connections", stats.rejected_connections.load(Ordering::Relaxed));
    zeros(text, &["sync_full", "sync_partial_ok", "sync_partial_err"]);
    text.line("expired_keys", store.expired_keys);
    text.line("expired_subkeys", store.expired_fields);
    text.line("expired_stale_perc", "0.00");
    zeros(text, &["expired_time_cap_reached_count", "expire_cycle_cpu_milliseconds"]);
    text.line("evicted_keys", store.evicted_keys);
    text.line("evicted_clients", stats.evicted_clients.load(Ordering::Relaxed));
    zeros(text, &["total_eviction_exceeded_time", "current_eviction_exceeded_time"]);
    text.line("keyspace_hits", sum(|w| &w.hits));
    let misses = stats.misses_by_cause();
    text.line("keyspace_misses", misses.iter().sum::<u64>());
    for (why, count) in Miss::ALL.iter().zip(misses) {
        text.line(&format!("keyspace_misses_{}", why.name()), count);
    }
    text.line("pubsub_channels", server.pubsub.channels().len());
    text.line("pubsub_patterns", server.pubsub.patterns());
    text.line("pubsubshard_channels", server.pubsub.shard_channels().len());
    zeros(text, &["latest_fork_usec", "total_forks"]);
    text.line("migrate_cached_sockets", server.sockets.len());
    zeros(text, &["slave_expires_tracked_keys"]);
    text.line("active_defrag_hits", store.moved_entries);
    zeros(
        text,
        &[
            "active_defrag_misses",
            "active_defrag_key_hits",
            "active_defrag_key_misses",
            "total_active_defrag_time",
            "current_active_defrag_time",
        ],
    );
    let tracker = call.server.tracker();
    text.line("tracking_total_keys", tracker.keys());
    text.line("tracking_total_items", tracker.items());
    text.line("tracking_total_prefixes", tracker.prefix_count());
    // Those are errors on the way from a primary or a log of commands: there are none here.
    zeros(text, &["unexpected_error_replies"]);
    text.line("total_error_replies", sum(|w| &w.error_replies));
    zeros(text, &["dump_payload_sanitizations"]);
    text.line("total_reads_processed", sum(|w| &w.reads));
    text.line("total_writes_processed", sum(|w| &w.writes));
    zeros(text, &["io_threaded_reads_processed", "io_threaded_writes_processed"]);
    zeros(text, &["reply_buffer_shrinks", "reply_buffer_expands"]);
    let query = stats.query_limit_disconnections.load(Ordering::Relaxed);
    let output = stats.output_limit_disconnections.load(Ordering::Relaxed);
    text.line("client_query_buffer_limit_disconnections", query);
    text.line("client_output_buffer_limit_disconnections", output);
    let timed_out = Patience::ALL.map(|why| stats.timed_out(why).load(Ordering::Relaxed));
    text.line("client_timeout_disconnections", timed_out.iter().sum::<u64>());
    for (field, reason) in [
        ("acl_access_denied_auth", Reason::Login),
        ("acl_access_denied_cmd", Reason::Command),
        ("acl_access_denied_key", Reason::Key),
        ("acl_access_denied_channel", Reason::Channel),
    ] {
        text.line(field, stats.denied(reason).load(Ordering::Relaxed));
    }
    text.line("acl_access_denied_tls_cert", server.tls.denied.load(Ordering::Relaxed));
}

pub(super) fn replication(call: &mut Call<'_, '_>, text: &mut Text) {
    text.line("role", "master");
    text.line("connected_slaves", 0);
    text.line("master_failover_state", "no-failover");
    text.line("master_replid", &call.server.run_id);
    text.line("master_replid2", "0".repeat(40));
    text.line("master_repl_offset", 0);
    text.line("second_repl_offset", -1);
    text.line("repl_backlog_active", 0);
    text.line("repl_backlog_size", 1 << 20);
    zeros(text, &["repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
}

pub(super) fn cpu(_: &mut Call<'_, '_>, text: &mut Text) {
    let time = process::cpu_time();
    for (field, seconds) in [
        ("used_cpu_sys", time.system),
        ("used_cpu_user", time.user),
        ("used_cpu_sys_children", time.children_system),
        ("used_cpu_user_children", time.children_user),
    ] {
        text.line(field, format_args!("{seconds:.6}"));
    }
}

pub(super) fn cluster(call: &mut Call<'_, '_>, text: &mut Text) {
    text.line("cluster_enabled", u8::from(call.server.cluster.is_some()));
}

pub(super) fn keyspace(call: &mut Call<'_, '_>, text: &mut Text) {
    let keyspace = &call.server.keyspace;
    for db in 0..keyspace.databases() {
        let id = DbId(db);
        let keys = keyspace.len(id);
        if keys > 0 {
            let (expires, ttl) = (keyspace.expires(id), keyspace.avg_ttl(id, call.now));
            let value = format!("keys={keys},expires={expires},avg_ttl={ttl}");
            text.line(&format!("db{db}"), value);
        }
    }
}

/// What only Dunlin has.
pub(super) fn dunlin(call: &mut Call<'_, '_>, text: &mut Text) {
    let server = call.server;
    let store = server.keyspace.stats();
    let memory = server.keyspace.memory();
    text.line("workers", server.workers);
    text.line("shards", server.keyspace.shards());
    text.line("role_taken", store.role_taken);
    text.line("role_busy", store.role_busy);
    text.line("jobs", store.jobs);
    text.line("batches", store.batches);
    text.line("batch_max", store.batch_max);
    text.line("turns_capped", store.capped);
    text.line("limbo_bytes", memory.limbo);
    text.line("limbo_peak_bytes", memory.limbo_peak);
    text.line("table_bytes", memory.tables);
    text.line("entry_bytes", memory.entries);
    text.line("eviction_bytes", memory.eviction);
    auto(text, &store.auto);
    text.line("miss_bytes", memory.misses);
}

/// What `maxmemory-policy allkeys-auto` does: zeros under the others, and while there is room.
fn auto(text: &mut Text, auto: &AutoStats) {
    text.line("auto_shards_by_frequency", auto.shards[0]);
    text.line("auto_shards_by_recency", auto.shards[1]);
    text.line("auto_rule_changes", auto.changes);
    text.line("auto_ring_items", auto.ring);
    text.line("auto_ghost_hits", auto.ghost_hits);
    text.line("auto_contests_won", auto.admitted);
    text.line("auto_contests_lost", auto.rejected);
    text.line("auto_sample_items", auto.shadow);
    text.line("auto_sample_misses_by_frequency", auto.shadow_misses[0]);
    text.line("auto_sample_misses_by_recency", auto.shadow_misses[1]);
}
