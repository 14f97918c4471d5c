//! What all workers share. There is one [`Server`] per process and it lives as long as the
//! process, so everything refers to it by `&'static`.

use crate::client::Registry;
use crate::config::{Config, Settings};
use crate::latency::LatencyMonitor;
use crate::monitor::Monitors;
use crate::pause::Pause;
use crate::runtime::clock::Clock;
use crate::runtime::shutdown::Shutdown;
use crate::slowlog::Slowlog;
use crate::stats::Stats;
use dunlin_storage::{Keyspace, Millis};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// The state of the process.
pub struct Server {
    /// The data.
    pub keyspace: Keyspace,
    /// Directives.
    pub config: Config,
    /// Connected clients.
    pub clients: Registry,
    /// Counters.
    pub stats: Stats,
    /// SLOWLOG.
    pub slowlog: Slowlog,
    /// LATENCY.
    pub latency: LatencyMonitor,
    /// MONITOR.
    pub monitors: Monitors,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// Time.
    pub clock: Clock,
    /// Orderly end of the process.
    pub shutdown: Shutdown,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// Time of the start.
    pub started: Millis,
    /// Number of workers.
    pub workers: usize,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// Peak of the store's memory.
    pub peak_memory: AtomicU64,
    hot: Hot,
}

/// Settings which every command looks at, published with relaxed stores.
#[derive(Debug, Default)]
struct Hot {
    /// Microseconds; negative: off.
    slower_than: AtomicI64,
    /// Milliseconds; 0: off.
    latency_threshold: AtomicI64,
    latency_tracking: AtomicBool,
    time_each: AtomicBool,
    output_normal: AtomicU64,
    output_pubsub: AtomicU64,
}

/// Below this threshold of the slow log every command is timed on its own.
const TIME_EACH_BELOW_MICROS: i64 = 1_000;

impl Server {
    /// Puts the parts together.
    pub fn new(config: Config, keyspace: Keyspace, workers: usize, run_id: String) -> Self {
        let clock = Clock::new();
        let server = Server {
            keyspace,
            clients: Registry::default(),
            stats: Stats::new(workers),
            slowlog: Slowlog::default(),
            latency: LatencyMonitor::default(),
            monitors: Monitors::default(),
            pause: Pause::default(),
            started: clock.wall_millis(),
            clock,
            shutdown: Shutdown::default(),
            run_id,
            workers,
            active_expire: AtomicBool::new(true),
            peak_memory: AtomicU64::new(0),
            hot: Hot::default(),
            config,
        };
        server.apply();
        server
    }

    /// The directives in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.config.settings()
    }

    /// Publishes the directives that the hot path and the store look at. Called after CONFIG SET.
    pub fn apply(&self) {
        let settings = self.settings();
        let hot = &self.hot;
        hot.slower_than.store(settings.slowlog_log_slower_than, Ordering::Relaxed);
        let each = (0..TIME_EACH_BELOW_MICROS).contains(&settings.slowlog_log_slower_than)
            || (1..2).contains(&settings.latency_monitor_threshold);
        hot.time_each.store(each, Ordering::Relaxed);
        hot.latency_threshold.store(settings.latency_monitor_threshold, Ordering::Relaxed);
        hot.latency_tracking.store(settings.latency_tracking, Ordering::Relaxed);
        let limits = &settings.client_output_buffer_limit;
        hot.output_normal.store(limits.normal.hard, Ordering::Relaxed);
        hot.output_pubsub.store(limits.pubsub.hard, Ordering::Relaxed);
        self.slowlog.set_max_len(settings.slowlog_max_len);
        self.keyspace.set_max_memory(settings.maxmemory);
        self.keyspace.set_policy(settings.maxmemory_policy);
    }

    /// Microseconds from which on a command enters the slow log.
    #[inline]
    pub fn slower_than(&self) -> Option<u64> {
        u64::try_from(self.hot.slower_than.load(Ordering::Relaxed)).ok()
    }

    /// Milliseconds from which on a command is a latency event.
    #[inline]
    pub fn latency_threshold(&self) -> Option<u64> {
        u64::try_from(self.hot.latency_threshold.load(Ordering::Relaxed)).ok().filter(|t| *t > 0)
    }

    /// Whether histograms of commands are kept.
    #[inline]
    pub fn latency_tracking(&self) -> bool {
        self.hot.latency_tracking.load(Ordering::Relaxed)
    }

    /// Whether every command is timed on its own.
    #[inline]
    pub fn time_each(&self) -> bool {
        self.hot.time_each.load(Ordering::Relaxed)
    }

    /// Hard limit of pending replies in bytes, 0 = none.
    pub fn output_limit(&self, monitor: bool) -> u64 {
        let limit = if monitor { &self.hot.output_pubsub } else { &self.hot.output_normal };
        limit.load(Ordering::Relaxed)
    }
}
