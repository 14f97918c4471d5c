//! What all workers share. There is one [`Server`] per process and it lives as long as the
//! process, so everything refers to it by `&'static`.

use crate::acl::{Acl, LogContext, LogEntry, Reason};
use crate::client::{Client, ClientType, Registry, line};
use crate::cluster::Cluster;
use crate::commands::collection;
use crate::config::{Config, Settings};
use crate::insight::Insight;
use crate::interest::Interests;
use crate::latency::LatencyMonitor;
use crate::migrate::Sockets;
use crate::monitor::Monitors;
use crate::notify::{Class, Notifier};
use crate::overload::Overload;
use crate::pause::Pause;
use crate::placement::Placement;
use crate::pubsub::PubSub;
use crate::rates::Rates;
use crate::runtime::chunks;
use crate::runtime::clock::Clock;
use crate::runtime::container::{Fds, Limits};
use crate::runtime::doors::Doors;
use crate::runtime::heartbeat::Heartbeats;
use crate::runtime::logging::Log;
use crate::runtime::phase::Phases;
use crate::runtime::pool::{self, Pool};
use crate::runtime::shutdown::Shutdown;
use crate::runtime::supervisor::Supervisor;
use crate::scripting::{Libraries, Runs, ScriptCache};
use crate::slowlog::Slowlog;
use crate::snapshot::{self, Snapshots};
use crate::stats::Stats;
use crate::tls::Tls;
use crate::tracking::Tracker;
use dunlin_protocol::chunk;
use dunlin_storage::value::{hash, list, set, sorted_set, stream};
use dunlin_storage::{Keyspace, Millis, Options};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

/// The state of the process.
pub struct Server {
    /// The data.
    pub keyspace: Keyspace,
    /// Directives.
    pub config: Config,
    /// Users.
    pub acl: Acl,
    /// Connected clients.
    pub clients: Registry,
    /// Counters.
    pub stats: Stats,
    /// SLOWLOG.
    pub slowlog: Slowlog,
    /// LATENCY.
    pub latency: LatencyMonitor,
    /// What happens per second.
    pub rates: Rates,
    /// MONITOR.
    pub monitors: Monitors,
    /// Publish/subscribe.
    pub pubsub: PubSub,
    /// Keyspace events.
    pub notifier: Arc<Notifier>,
    /// Who is interested in which keys.
    pub interests: Arc<Interests>,
    /// Its part in a cluster, if it is a node of one.
    pub cluster: Option<Arc<Cluster>>,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// Scripts by their names.
    pub scripts: ScriptCache,
    /// Libraries of functions.
    pub libraries: Libraries,
    /// Connections to other servers, for MIGRATE.
    pub sockets: Sockets,
    /// Scripts and functions that run.
    pub runs: Arc<Runs>,
    /// Threads for what takes long.
    pub pool: Pool,
    /// Where it listens.
    pub doors: Doors,
    /// Certificates.
    pub tls: Tls,
    /// Time.
    pub clock: Clock,
    /// Which worker serves whom.
    pub placement: Placement,
    /// Hot and big keys, prefixes.
    pub insight: Insight,
    /// What the workers know of their load.
    pub overload: Overload,
    /// Snapshots of the data.
    pub snapshots: Snapshots,
    /// Whether the workers come round.
    pub heartbeats: Heartbeats,
    /// Between start and end.
    pub phases: Phases,
    /// Orderly end of the process.
    pub shutdown: Shutdown,
    /// Who has started us.
    pub supervisor: Supervisor,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// Time of the start.
    pub started: Millis,
    /// Number of workers.
    pub workers: usize,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS.
    pub debug_in_scripts: AtomicBool,
    /// From which size on an element of a list is kept as it is; only DEBUG changes it.
    pub list_plain_from: AtomicUsize,
    /// Peak of the store's memory.
    pub peak_memory: AtomicU64,
    /// The log.
    pub log: Log,
    /// Descriptors.
    pub fds: Fds,
    draws: AtomicU64,
    hot: Hot,
}

/// Settings which every command looks at, published with relaxed stores.
#[derive(Debug, Default)]
struct Hot {
    latency_tracking: AtomicBool,
    time_each: AtomicBool,
    output_normal: AtomicU64,
    max_clients: AtomicUsize,
    query_limit: AtomicUsize,
    max_bulk: AtomicUsize,
    list_max_listpack_size: AtomicI64,
    collections: [AtomicUsize; 9],
    hll_sparse_max: AtomicUsize,
}

/// Below this threshold of the slow log every command is timed on its own.
const TIME_EACH_BELOW_MICROS: i64 = 1_000;

impl Server {
    /// Puts the parts together.
    pub fn new(
        config: Config,
        acl: Acl,
        log: Log,
        store: Options,
        cluster: Option<Arc<Cluster>>,
        limits: &Limits,
    ) -> Self {
        let clock = Clock::new();
        let pubsub = PubSub::default();
        let notifier = Arc::new(Notifier::new(pubsub.clone()));
        let threads = limits.workers + pool::NUMBERS;
        let interests =
            Arc::new(Interests::new(store.shard_count(), threads, Arc::clone(&notifier)));
        let keyspace = Keyspace::observed(store, Arc::clone(&interests) as _);
        let run_id = run_id(&keyspace);
        let insight = Insight::new(keyspace.shards());
        let server = Server {
            keyspace,
            acl,
            clients: Registry::default(),
            stats: Stats::new(limits.workers),
            slowlog: Slowlog::default(),
            latency: LatencyMonitor::default(),
            rates: Rates::default(),
            monitors: Monitors::default(),
            pubsub,
            notifier,
            interests,
            cluster,
            pause: Pause::default(),
            scripts: ScriptCache::default(),
            libraries: Libraries::default(),
            sockets: Sockets::default(),
            runs: Arc::default(),
            pool: Pool::new(limits.workers, limits.workers),
            doors: Doors::default(),
            tls: Tls::default(),
            started: clock.now(),
            snapshots: Snapshots::new(clock.now()),
            clock,
            placement: Placement::new(limits.workers),
            insight,
            overload: Overload::new(limits.workers),
            heartbeats: Heartbeats::new(limits.workers),
            phases: snapshot::first_phase(&config.settings()),
            shutdown: Shutdown::default(),
            supervisor: Supervisor::default(),
            run_id,
            workers: limits.workers,
            active_expire: AtomicBool::new(true),
            debug_in_scripts: AtomicBool::new(false),
            list_plain_from: AtomicUsize::new(list::Limits::default().plain_from),
            peak_memory: AtomicU64::new(0),
            log,
            fds: limits.fds,
            draws: AtomicU64::new(0),
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
        let slow = settings.slowlog_log_slower_than;
        self.time_commands();
        hot.latency_tracking.store(settings.latency_tracking, Ordering::Relaxed);
        hot.query_limit.store(settings.client_query_buffer_limit, Ordering::Relaxed);
        hot.max_bulk.store(settings.proto_max_bulk_len, Ordering::Relaxed);
        hot.output_normal.store(settings.output_limits.normal.hard, Ordering::Relaxed);
        hot.max_clients
            .store(self.fds.max_clients(settings.maxclients) as usize, Ordering::Relaxed);
        hot.list_max_listpack_size.store(settings.list_max_listpack_size, Ordering::Relaxed);
        for (limit, &value) in hot.collections.iter().zip(&settings.collections) {
            limit.store(value, Ordering::Relaxed);
        }
        hot.hll_sparse_max.store(settings.hll_sparse_max_bytes, Ordering::Relaxed);
        self.placement.configure(settings.workers_min);
        self.acl.apply(&settings);
        self.log.set_level(settings.loglevel);
        self.slowlog.configure(slow, settings.slowlog_max_len);
        self.runs.set_patience(settings.busy_reply_threshold);
        self.latency.configure(settings.latency_monitor_threshold);
        self.overload.configure(&settings);
        self.notifier.configure(settings.notify_keyspace_events);
        self.insight.configure(&settings);
        self.monitors.configure(settings.output_limits.normal.hard);
        let limits = &settings.output_limits;
        self.pubsub.configure(limits.pubsub.hard);
        let max_keys = settings.tracking_table_max_keys;
        self.tracker().configure(max_keys, limits.normal.hard, limits.pubsub.hard);
        if let Some(cluster) = &self.cluster {
            cluster.set_reads_when_down(settings.cluster.allow_reads_when_down);
            cluster.view().prefer(settings.cluster.preferred_endpoint);
        }
        self.keyspace.set_max_memory(settings.maxmemory);
        chunk::keep(chunks::limit(settings.maxmemory));
        self.keyspace.set_policy(settings.maxmemory_policy);
    }

    /// Decides whether commands are timed one by one: the slow log wants it, or HOTKEYS.
    pub(crate) fn time_commands(&self) {
        let slow = self.settings().slowlog_log_slower_than;
        let each = (0..TIME_EACH_BELOW_MICROS).contains(&slow) || self.insight.tracking.is_active();
        self.hot.time_each.store(each, Ordering::Relaxed);
    }

    /// What INFO and HELLO call the server.
    pub fn mode(&self) -> &'static str {
        if self.cluster.is_some() { "cluster" } else { "standalone" }
    }

    /// The clients that keep copies of values.
    #[inline]
    pub fn tracker(&self) -> &Tracker {
        self.interests.tracker()
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

    /// Hard limit of what waits to be sent to such a client, in bytes, 0 = none.
    pub fn output_limit(&self, kind: ClientType) -> u64 {
        match kind {
            ClientType::Normal => self.hot.output_normal.load(Ordering::Relaxed),
            ClientType::PubSub => self.pubsub.output_limit(),
        }
    }

    /// The classes of keyspace events that are published.
    #[inline]
    pub fn events(&self) -> Class {
        self.notifier.wanted()
    }

    /// Bytes of the longest argument that an authenticated client may send.
    #[inline]
    pub fn max_bulk(&self) -> usize {
        self.hot.max_bulk.load(Ordering::Relaxed)
    }

    /// Bytes of a client's input that may wait.
    pub fn query_limit(&self) -> usize {
        self.hot.query_limit.load(Ordering::Relaxed)
    }

    /// When collections change their form.
    pub fn limits(&self) -> collection::Limits {
        let limit = |i: usize| self.hot.collections[i].load(Ordering::Relaxed);
        let seed = self.keyspace.digest(b"collections");
        collection::Limits {
            hash: hash::Limits { listpack_entries: limit(0), listpack_value: limit(1), seed },
            list: list::Limits {
                listpack_size: self.hot.list_max_listpack_size.load(Ordering::Relaxed),
                plain_from: self.list_plain_from.load(Ordering::Relaxed),
            },
            set: set::Limits {
                intset_entries: limit(2),
                listpack_entries: limit(3),
                listpack_value: limit(4),
                seed,
            },
            sorted_set: sorted_set::Limits {
                listpack_entries: limit(5),
                listpack_value: limit(6),
                seed,
            },
            stream: stream::Limits { node_max_bytes: limit(7), node_max_entries: limit(8) as u64 },
        }
    }

    /// Longest HyperLogLog in the sparse encoding.
    pub fn hll_sparse_max(&self) -> usize {
        self.hot.hll_sparse_max.load(Ordering::Relaxed)
    }

    /// Clients served at once: the directive, as far as descriptors allow.
    pub fn max_clients(&self) -> usize {
        self.hot.max_clients.load(Ordering::Relaxed)
    }

    /// Counts and notes that a client has no right to `object`; `user` is whose right was looked at.
    pub fn log_denied(
        &self,
        client: &Client,
        reason: Reason,
        context: LogContext,
        object: &[u8],
        user: &[u8],
        now: Millis,
    ) {
        self.stats.denied(reason).fetch_add(1, Ordering::Relaxed);
        let mut info = String::new();
        line::write(&client.shared, now, &mut info);
        info.truncate(info.trim_end().len());
        self.acl.log.add(LogEntry::new(reason, context, object, user, info, now));
    }

    /// A random number (the store's keyed hash of a counter).
    pub fn random(&self) -> u64 {
        let count = self.draws.fetch_add(1, Ordering::Relaxed);
        self.keyspace.digest(&count.to_le_bytes())
    }
}

/// 40 hexadecimal digits from the store's random seed.
fn run_id(keyspace: &Keyspace) -> String {
    let word = |i: u8| keyspace.digest(&[b'r', i]);
    let digits = format!("{:016x}{:016x}{:016x}", word(0), word(1), word(2));
    digits[..40].to_owned()
}
