//! The table of directives: one row each, and everything else derives from it.
//!
//! A row names the directive, its type, default, flags and help line, and how its value reaches
//! [`Settings`]. The configuration file, the command line, the environment, `CONFIG GET`, `SET` and
//! `REWRITE`, `--help` and the documentation read this table; nothing about a directive is written
//! down anywhere else. A row whose help ends in `(accepted, no effect)` exists because clients,
//! scripts or packaged files set it; Dunlin keeps the value and acts on nothing.

use super::settings::{
    Access, LoadOnCorrupt, LogFormat, LogLevel, Replication, Settings, Supervision, TlsAuthClients,
};
use super::split;
use super::value::{Kind, Value};
use crate::cluster::view::Preferred;

/// How a row's value reaches the typed fields.
pub(super) type Apply = fn(&mut Settings, &Value);

/// One directive.
#[derive(Debug)]
pub struct Directive {
    /// Its name, lower case.
    pub name: &'static str,
    /// Older names, accepted wherever the name is.
    pub aliases: &'static [&'static str],
    /// Its type and bounds.
    pub kind: Kind,
    /// Its default, as it would stand in a file.
    pub default: &'static str,
    /// Who may change it, and when.
    pub flags: Flags,
    /// One line for `--help` and the documentation.
    pub help: &'static str,
    pub(super) apply: Option<Apply>,
}

/// Properties of a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Only the file, environment and command line can set it.
    pub immutable: bool,
    /// `CONFIG SET` needs `enable-protected-configs`.
    pub protected: bool,
    /// A secret: its value is never printed in errors or logs.
    pub sensitive: bool,
    /// The value names something outside (a file): setting it again to what it is reads it again.
    pub volatile: bool,
}

impl Directive {
    const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Directive {
            name,
            aliases: &[],
            kind,
            default,
            flags: Flags { immutable: false, protected: false, sensitive: false, volatile: false },
            help,
            apply: None,
        }
    }

    const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn immutable(mut self) -> Self {
        self.flags.immutable = true;
        self
    }

    const fn protected(mut self) -> Self {
        self.flags.protected = true;
        self
    }

    const fn sensitive(mut self) -> Self {
        self.flags.sensitive = true;
        self
    }

    const fn volatile(mut self) -> Self {
        self.flags.volatile = true;
        self
    }

    const fn apply(mut self, apply: Apply) -> Self {
        self.apply = Some(apply);
        self
    }

    /// Whether `name` is this directive's name or one of its aliases, in any case.
    #[must_use]
    pub fn is_called(&self, name: &[u8]) -> bool {
        self.name.as_bytes().eq_ignore_ascii_case(name)
            || self.aliases.iter().any(|alias| alias.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn has_effect(&self) -> bool {
        !self.help.ends_with(NO_EFFECT)
    }

    /// Whether `why` is this row's reason to be always `no`.
    pub(super) fn is_never(&self, why: &str) -> bool {
        matches!(self.kind, Kind::Never(reason) if reason == why)
    }

    pub(super) fn default_value(&self, machine_memory: u64) -> Value {
        let Some(words) = split::split_words(self.default.as_bytes()) else {
            unreachable!("default of {}", self.name)
        };
        let old = Value::Text(Vec::new());
        match self.kind.parse(&words, &old, machine_memory) {
            Ok(value) => value,
            Err(why) => unreachable!("default of {}: {why}", self.name),
        }
    }
}

/// Position of a directive in the table.
#[must_use]
pub fn find(name: &[u8]) -> Option<usize> {
    DIRECTIVES.iter().position(|row| row.is_called(name))
}

const NO_EFFECT: &str = "(accepted, no effect)";

const INT_MAX: i64 = i32::MAX as i64;
const LONG_MAX: i64 = i64::MAX;

/// Longest string value that any limit may allow: lengths in entries are 32 bits.
pub const MAX_BULK: usize = 4 << 30;

/// Most bytes for the causes of misses: they are taken a half at a time, which must not take long.
const MAX_MISS_MEMORY: u64 = 64 << 20;

const fn int(min: i64, max: i64) -> Kind {
    Kind::Int { min, max }
}

const fn memory(min: u64, max: u64) -> Kind {
    Kind::Memory { min, max, auto: None, percent: false }
}

/// Share of the machine's memory the store may use unless told otherwise.
pub const AUTO_MAXMEMORY_PERCENT: u8 = 70;
/// Share of the machine's memory all clients' buffers may use unless told otherwise.
pub const AUTO_CLIENTS_PERCENT: u8 = 10;

const MAXMEMORY: Kind =
    Kind::Memory { min: 0, max: u64::MAX, auto: Some(AUTO_MAXMEMORY_PERCENT), percent: false };
const MAXMEMORY_CLIENTS: Kind =
    Kind::Memory { min: 0, max: u64::MAX, auto: Some(AUTO_CLIENTS_PERCENT), percent: true };

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Directive {
    Directive::new(name, kind, default, help)
}

/// Every directive, in the order of `--help`.
#[rustfmt::skip]
pub static DIRECTIVES: &[Directive] = &[
    // ---- network
    row("bind", Kind::Words, "127.0.0.1 -::1",
        "Addresses to listen on; '-' before one: it may be missing; '*' or '-::*': all")
        .apply(|s, v| if let Value::Words(words) = v { s.bind.clone_from(words); }),
    row("port", int(0, 65535), "6379", "TCP port; 0: none")
        .apply(|s, v| s.port = u16::try_from(v.int()).unwrap_or(0)),
    row("unixsocket", Kind::Text, "\"\"",
        "Path of a unix socket to listen on; empty: none").immutable()
        .apply(|s, v| s.unixsocket = v.path()),
    row("unixsocketperm", Kind::Octal, "600", "Permissions of the unix socket, octal").immutable()
        .apply(|s, v| if let Value::Octal(mode) = v { s.unixsocketperm = *mode; }),
    row("tcp-backlog", int(0, INT_MAX), "511",
        "Connections the kernel queues before they are accepted")
        .immutable().apply(|s, v| s.tcp_backlog = v.u32()),
    row("tcp-keepalive", int(0, INT_MAX), "300",
        "Seconds of silence before the kernel probes a client; 0: never")
        .apply(|s, v| s.tcp_keepalive = v.u32()),
    row("timeout", int(0, INT_MAX), "0",
        "Seconds after which an idle client is disconnected; 0: never")
        .apply(|s, v| s.timeout = v.u32()),
    row("partial-command-timeout", int(0, INT_MAX), "60",
        "Seconds of silence in the middle of a command after which a client is closed; 0: no limit")
        .apply(|s, v| s.partial_command_timeout = v.u32()),
    row("maxclients", int(1, 4_294_967_295), "10000",
        "Clients served at once; lowered to what the file limit allows")
        .apply(|s, v| s.maxclients = v.u32()),
    row("max-new-connections-per-cycle", int(1, 1000), "10",
        "Connections accepted from a listener before other connections get their turn")
        .apply(|s, v| s.arrivals.per_turn = v.u32()),
    row("max-new-tls-connections-per-cycle", int(1, 1000), "1",
        "Connections accepted from a TLS listener before other connections get their turn")
        .apply(|s, v| s.arrivals.tls_per_turn = v.u32()),
    row("accept-rate-min", int(1, 1_000_000), "10",
        "Connections per second and worker that are accepted however overloaded the server is")
        .apply(|s, v| s.arrivals.rate_min = v.u32()),
    row("admin-port", int(0, 65535), "0",
        "TCP port of the admin listener (HTTP: probes, metrics, dashboard); 0: none").immutable()
        .apply(|s, v| s.admin_port = u16::try_from(v.int()).unwrap_or(0)),
    row("admin-bind", Kind::Words, "127.0.0.1",
        "Addresses of the admin listener, which asks for no password").immutable()
        .apply(|s, v| if let Value::Words(words) = v { s.admin_bind.clone_from(words); }),
    row("admin-show-keys", Kind::Bool, "yes",
        "Whether the dashboard shows names of keys and the arguments of slow commands")
        .apply(|s, v| s.admin_show_keys = v.bool()),
    // ---- security
    row("requirepass", Kind::Text, "\"\"",
        "Password clients must give with AUTH or HELLO; empty: none").sensitive()
        .apply(|s, v| s.requirepass = v.bytes()),
    row("auth-timeout", int(0, INT_MAX), "10",
        "Seconds a client that has to authenticate may take for it; 0: no limit")
        .apply(|s, v| s.auth_timeout = v.u32()),
    row("protected-mode", Kind::Bool, "yes",
        "Refuse to start on a non-loopback address without a password")
        .apply(|s, v| s.protected_mode = v.bool()),
    row("enable-debug-command", Kind::Enum(&Access::NAMES), "no",
        "Who may use DEBUG: no, yes, local").immutable()
        .apply(|s, v| s.enable_debug_command = Access::ALL[v.index()]),
    row("enable-protected-configs", Kind::Enum(&Access::NAMES), "no",
        "Who may change protected settings with CONFIG SET: no, yes, local").immutable()
        .apply(|s, v| s.enable_protected_configs = Access::ALL[v.index()]),
    row("acllog-max-len", int(0, LONG_MAX), "128",
        "Entries of the log of refused commands, ACL LOG")
        .apply(|s, v| s.acllog_max_len = v.u64()),
    row("aclfile", Kind::Text, "\"\"",
        "File of the users, for ACL LOAD and SAVE; empty: they are in the configuration").immutable()
        .apply(|s, v| s.aclfile = v.path()),
    row("acl-pubsub-default", Kind::Enum(&["allchannels", "resetchannels"]), "resetchannels",
        "Channels that new users may use: all or none")
        .apply(|s, v| s.acl_all_channels = v.index() == 0),
    // ---- TLS
    row("tls-port", int(0, 65535), "0", "TCP port for TLS connections; 0: none")
        .apply(|s, v| s.tls.port = u16::try_from(v.int()).unwrap_or(0)),
    row("tls-cert-file", Kind::Text, "\"\"",
        "File of the server's certificate and those that vouch for it, PEM").volatile()
        .apply(|s, v| s.tls.cert_file = v.path()),
    row("tls-key-file", Kind::Text, "\"\"",
        "File of the private key of the server's certificate, PEM").volatile()
        .apply(|s, v| s.tls.key_file = v.path()),
    row("tls-key-file-pass", Kind::Text, "\"\"",
        "Password of tls-key-file; must be empty: encrypted keys cannot be read").sensitive()
        .apply(|s, v| s.tls.key_file_pass = v.bytes()),
    row("tls-ca-cert-file", Kind::Text, "\"\"",
        "File of the authorities that certify clients, PEM").volatile()
        .apply(|s, v| s.tls.ca_cert_file = v.path()),
    row("tls-ca-cert-dir", Kind::Text, "\"\"",
        "Directory of files of the authorities that certify clients, PEM").volatile()
        .apply(|s, v| s.tls.ca_cert_dir = v.path()),
    row("tls-auth-clients", Kind::Enum(&TlsAuthClients::NAMES), "yes",
        "Whether TLS clients must show a certificate: yes, no, optional")
        .apply(|s, v| s.tls.auth_clients = TlsAuthClients::ALL[v.index()]),
    row("tls-auth-clients-user", Kind::Enum(&["off", "CN"]), "off",
        "CN: a client's certificate logs it in as the user of that common name, if there is one")
        .apply(|s, v| s.tls.user_from_cn = v.index() == 1),
    row("tls-protocols", Kind::Text, "\"\"",
        "Versions of TLS, of TLSv1.2 and TLSv1.3; empty: both")
        .apply(|s, v| s.tls.protocols = v.text()),
    row("tls-ciphers", Kind::Text, "\"\"",
        "Cipher suites of TLSv1.2 in OpenSSL's names, separated by ':'; empty: all there are")
        .apply(|s, v| s.tls.ciphers = v.text()),
    row("tls-ciphersuites", Kind::Text, "\"\"",
        "Cipher suites of TLSv1.3, separated by ':'; empty: all there are")
        .apply(|s, v| s.tls.ciphersuites = v.text()),
    row("tls-prefer-server-ciphers", Kind::Bool, "no",
        "Choose the cipher suite in the server's order instead of the client's")
        .apply(|s, v| s.tls.prefer_server_ciphers = v.bool()),
    row("tls-session-caching", Kind::Bool, "yes", "Let TLS clients resume their sessions")
        .apply(|s, v| s.tls.session_caching = v.bool()),
    row("tls-session-cache-size", int(0, INT_MAX), "20480",
        "TLS sessions kept to be resumed; 0: 20480")
        .apply(|s, v| s.tls.session_cache_size = v.u32()),
    row("tls-session-cache-timeout", int(0, INT_MAX), "300",
        "Seconds a TLS session can be resumed")
        .apply(|s, v| s.tls.session_cache_timeout = v.u32()),
    row("tls-handshakes", int(1, 1024), "4",
        "TLS handshakes that a worker makes at the same time; the newest goes first")
        .apply(|s, v| s.arrivals.handshakes = v.u32()),
    row("tls-handshakes-open", int(1, 1_000_000), "1024",
        "TLS handshakes per worker that may be unfinished; with more the oldest is dropped")
        .apply(|s, v| s.arrivals.handshakes_open = v.u32()),
    row("tls-handshake-timeout", int(1, 3600), "5", "Seconds a TLS handshake may take")
        .apply(|s, v| s.arrivals.handshake_timeout = v.u32()),
    row("tls-auto-reload-interval", int(0, INT_MAX), "60",
        "Seconds between looks whether the TLS files have changed; 0: only SIGHUP and CONFIG SET")
        .apply(|s, v| s.tls.auto_reload_interval = v.u32()),
    // ---- memory
    row("maxmemory", MAXMEMORY, "auto",
        "Bytes the store may hold; 0: no limit; auto: 70 % of the container or machine")
        .apply(|s, v| s.maxmemory = v.memory(0)),
    row("maxmemory-policy", Kind::Policy, "allkeys-auto", "What to evict at maxmemory")
        .apply(|s, v| if let Value::Policy(policy) = v { s.maxmemory_policy = *policy; }),
    row("maxmemory-samples", int(1, INT_MAX), "5",
        "Candidates of a sampled eviction (accepted, no effect)"),
    row("maxmemory-clients", MAXMEMORY_CLIENTS, "auto",
        "Bytes all clients' buffers may hold, or % of maxmemory; 0: no limit; auto: 10 % of the machine")
        .apply(|s, v| s.maxmemory_clients = v.memory(s.maxmemory)),
    row("miss-memory", memory(0, MAX_MISS_MEMORY), "4mb",
        "Bytes at most, two per removed key, for the causes of misses; 0: every miss is of a key never set")
        .immutable().apply(|s, v| s.miss_memory = v.memory(0)),
    row("maxmemory-eviction-tenacity", int(0, 100), "10",
        "Effort per eviction (accepted, no effect)"),
    row("client-output-buffer-limit", Kind::OutputLimits,
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        "Pending output per class: class, hard bytes, soft bytes, seconds above soft; 0: no limit")
        .apply(|s, v| if let Value::OutputLimits(limits) = v { s.output_limits = *limits; }),
    row("client-output-pause", memory(1 << 16, LONG_MAX as u64), "64mb",
        "Unsent replies at which a client is not served until it reads")
        .apply(|s, v| s.output_pause.always = v.size()),
    row("client-output-pause-scarce", memory(1 << 16, LONG_MAX as u64), "1mb",
        "The same when 80 % of maxmemory-clients are in use")
        .apply(|s, v| s.output_pause.when_scarce = v.size()),
    row("client-output-stall-timeout", int(1, INT_MAX), "30",
        "Seconds after which a client is closed that reads nothing and is not served until it does")
        .apply(|s, v| s.output_pause.stall_timeout = v.u32()),
    row("client-query-buffer-limit", memory(1 << 20, LONG_MAX as u64), "1gb",
        "Bytes of unprocessed input per client")
        .apply(|s, v| s.client_query_buffer_limit = v.size()),
    row("proto-max-bulk-len", memory(1 << 20, MAX_BULK as u64), "512mb",
        "Longest argument and string value")
        .apply(|s, v| s.proto_max_bulk_len = v.size()),
    row("lfu-log-factor", int(0, INT_MAX), "10",
        "Growth of the frequency counter (accepted, no effect)")
        .apply(|s, v| s.lfu_log_factor = v.u32()),
    row("lfu-decay-time", int(0, INT_MAX), "1",
        "Decay of the frequency counter, minutes (accepted, no effect)")
        .apply(|s, v| s.lfu_decay_time = v.u32()),
    row("tracking-table-max-keys", int(0, LONG_MAX), "1000000",
        "Keys that are remembered for client-side caches; 0: no limit")
        .apply(|s, v| s.tracking_table_max_keys = v.u64()),
    // ---- workers and background work
    row("workers", int(0, 1024), "0",
        "Worker threads; 0: as many as the CPU quota allows").immutable()
        .apply(|s, v| s.workers = v.u32()),
    row("workers-min", int(0, 1024), "1",
        "Workers that always serve; others are parked when there is little to do; 0: all")
        .apply(|s, v| s.workers_min = v.u32()),
    row("placement-window", int(1, 60_000), "1000",
        "Milliseconds between looks at the load of workers; what moves and parks counts in these")
        .apply(|s, v| s.placement_window = v.u32()),
    row("placement-gap", int(0, 100), "30",
        "Points of load between two workers above which connections move; 100: they do not")
        .apply(|s, v| s.placement_gap = v.u32()),
    row("worker-affinity", Kind::Bool, "yes",
        "Pin each worker to a CPU when there are as many workers as CPUs").immutable()
        .apply(|s, v| s.worker_affinity = v.bool()),
    row("shards", int(0, 65536), "0",
        "Shards of the keyspace, a power of two; 0: from the number of workers and maxmemory").immutable()
        .apply(|s, v| s.shards = v.u32()),
    row("databases", int(1, 255), "16", "Number of databases").immutable()
        .apply(|s, v| s.databases = u8::try_from(v.int()).unwrap_or(u8::MAX)),
    row("hz", Kind::Clamped { min: 1, max: 500 }, "10", "Background ticks per second")
        .apply(|s, v| s.hz = v.u32()),
    row("huge-pages", Kind::Bool, "yes",
        "Back memory in full use with huge pages, while no client sends anything").immutable()
        .apply(|s, v| s.huge_pages = v.bool()),
    row("dynamic-hz", Kind::Bool, "yes", "More ticks with more clients (accepted, no effect)"),
    row("active-expire-effort", int(1, 10), "1", "Effort of expiry, which is exact and costs little (accepted, no effect)"),
    row("io-threads", int(1, 128), "1",
        "Redis's I/O threads, see workers (accepted, no effect)").immutable(),
    row("io-threads-do-reads", Kind::Bool, "no",
        "Redis's I/O threads, see workers (accepted, no effect)").immutable(),
    row("activerehashing", Kind::Bool, "yes",
        "Tables always grow in small steps (accepted, no effect)"),
    row("activedefrag", Kind::Never("Active defragmentation is not supported"), "no", "Always no"),
    row("jemalloc-bg-thread", Kind::Bool, "yes",
        "Allocator's background thread (accepted, no effect)"),
    row("lazyfree-lazy-eviction", Kind::Bool, "yes",
        "Memory is always freed in slices (accepted, no effect)"),
    row("lazyfree-lazy-expire", Kind::Bool, "yes",
        "Memory is always freed in slices (accepted, no effect)"),
    row("lazyfree-lazy-server-del", Kind::Bool, "yes",
        "Memory is always freed in slices (accepted, no effect)"),
    row("lazyfree-lazy-user-del", Kind::Bool, "yes",
        "Memory is always freed in slices (accepted, no effect)"),
    row("lazyfree-lazy-user-flush", Kind::Bool, "yes",
        "Memory is always freed in slices (accepted, no effect)"),
    // ---- overload
    row("overload-control", Kind::Bool, "yes",
        "Limit dear commands, new connections and buffers by the load; turns are always limited")
        .apply(|s, v| s.overload_control = v.bool()),
    row("overload-target-delay", int(1, 60_000_000), "1000",
        "Microseconds a worker's queue of ready connections may take to come round")
        .apply(|s, v| s.overload_target_delay = v.u64()),
    row("overload-interval", int(10, 60_000), "100",
        "Milliseconds for which it must always have taken longer to be an overload")
        .apply(|s, v| s.overload_interval = v.u64()),
    row("dear-command-threshold", int(0, 60_000_000), "50",
        "Microseconds, and 2 for each argument, from which a command runs beside the connections; 0: none")
        .apply(|s, v| s.dear_command_threshold = v.u64()),
    row("dear-commands-max-running", int(1, 1024), "64",
        "Dear commands at once per worker at most; how many it is depends on the load")
        .apply(|s, v| s.dear_commands_max_running = v.u64() as usize),
    row("dear-commands-max-waiting", int(0, 65536), "8",
        "Dear commands that may wait per worker even if more come than can be done; others get BUSY")
        .apply(|s, v| s.dear_commands_max_waiting = v.u64() as usize),
    row("dear-commands-max-wait", int(1, 60_000), "10",
        "Milliseconds a dear command may wait then")
        .apply(|s, v| s.dear_commands_max_wait = v.u64()),
    // ---- process
    row("daemonize", Kind::Never(
        "Dunlin stays in the foreground: run it under a supervisor")
        , "no", "Always no").immutable(),
    row("supervised", Kind::Enum(&Supervision::NAMES), "no",
        "Tell systemd of the start and the end; auto: if it is there").immutable()
        .apply(|s, v| s.supervised = Supervision::ALL[v.index()]),
    row("pidfile", Kind::Text, "\"\"",
        "File that holds the process id while the server runs").immutable()
        .apply(|s, v| s.pidfile = v.path()),
    row("dir", Kind::Text, ".", "Directory of snapshots, and of the aclfile unless its path is absolute").protected()
        .apply(|s, v| s.dir = v.path().unwrap_or_default()),
    row("dbfilename", Kind::Text, "dump.dunlin",
        "Snapshot file, loaded at the start; may be an RDB file of Redis; empty: none").protected()
        .apply(|s, v| s.dbfilename = v.path().unwrap_or_default()),
    row("set-proc-title", Kind::Bool, "yes", "Process title (accepted, no effect)").immutable(),
    row("proc-title-template", Kind::Text, "\"{title} {listen-addr} {server-mode}\"",
        "Process title (accepted, no effect)"),
    row("always-show-logo", Kind::Bool, "no", "There is no logo (accepted, no effect)").immutable(),
    row("oom-score-adj", Kind::Enum(&["no", "yes", "relative", "absolute"]), "no",
        "OOM killer's score (accepted, no effect)"),
    row("disable-thp", Kind::Bool, "yes",
        "Transparent huge pages (accepted, no effect)").immutable(),
    row("shutdown-timeout", int(0, INT_MAX), "10", "Seconds a shutdown may take before the process ends itself; at least 5")
        .apply(|s, v| s.shutdown_timeout = v.u32()),
    row("drain-seconds", int(0, 3600), "0",
        "Seconds that clients are served on after SIGTERM, at most shutdown-timeout less 5")
        .apply(|s, v| s.drain_seconds = v.u32()),
    // ---- log
    row("loglevel", Kind::Enum(&LogLevel::NAMES), "notice", "Lowest severity that is logged")
        .apply(|s, v| s.loglevel = LogLevel::ALL[v.index()]),
    row("logfile", Kind::Text, "\"\"",
        "File the log is appended to; empty: standard output").immutable()
        .apply(|s, v| s.logfile = v.path()),
    row("log-format", Kind::Enum(&LogFormat::NAMES), "text", "Shape of a log line").immutable()
        .apply(|s, v| s.log_format = LogFormat::ALL[v.index()]),
    // ---- observation
    row("slowlog-log-slower-than", int(-1, LONG_MAX), "10000",
        "Microseconds from which a command enters the slow log; -1: never")
        .apply(|s, v| s.slowlog_log_slower_than = v.int()),
    row("slowlog-max-len", int(0, LONG_MAX), "128", "Entries of the slow log")
        .apply(|s, v| s.slowlog_max_len = v.u64()),
    row("latency-monitor-threshold", int(0, LONG_MAX), "0",
        "Milliseconds from which LATENCY records an event; 0: off")
        .apply(|s, v| s.latency_monitor_threshold = v.u64()),
    row("hot-key-sampling", int(0, 1_000_000), "1000",
        "Commands per second and worker whose keys are looked at, for hot keys and prefixes; 0: none")
        .apply(|s, v| s.hot_key_sampling = v.u32()),
    row("prefix-separator", Kind::Text, ":",
        "What ends the prefix of a key, for figures by prefix; empty: keys have none")
        .apply(|s, v| s.prefix_separator = v.bytes()),
    row("prefix-depth", int(1, 16), "1", "How many separators of a key its prefix reaches")
        .apply(|s, v| s.prefix_depth = v.u32()),
    row("latency-tracking", Kind::Bool, "yes", "Keep a latency histogram per command")
        .apply(|s, v| s.latency_tracking = v.bool()),
    row("latency-tracking-info-percentiles", Kind::Percentiles, "50 99 99.9",
        "Percentiles INFO latencystats shows")
        .apply(|s, v| if let Value::Percentiles(list) = v {
            s.latency_percentiles.clone_from(list);
        }),
    row("notify-keyspace-events", Kind::Events, "\"\"",
        "Keyspace events to publish: classes g$lshzxetdnm or A, channels K and E; empty: none")
        .apply(|s, v| if let Value::Events(bits) = v { s.notify_keyspace_events = *bits; }),
    // ---- persistence: asked for by clients and tools
    row("appendonly", Kind::Never("Append-only files are not supported"), "no", "Always no"),
    row("save", Kind::SavePoints, "\"\"",
        "Snapshot after so many seconds if there were so many changes, and at a shutdown; empty: none")
        .apply(|s, v| if let Value::SavePoints(points) = v { s.save_points.clone_from(points); }),
    row("snapshot-rate-limit", memory(0, LONG_MAX as u64), "64mb",
        "Bytes per second that a snapshot may write while clients are served; 0: no limit")
        .apply(|s, v| s.snapshot_rate_limit = v.memory(0)),
    row("load-on-corrupt", Kind::Enum(&LoadOnCorrupt::NAMES), "refuse",
        "A snapshot that cannot be loaded: refuse to start, or ignore it and put it aside").immutable()
        .apply(|s, v| s.load_on_corrupt = LoadOnCorrupt::ALL[v.index()]),
    // ---- cluster
    row("cluster-enabled", Kind::Bool, "no",
        "Share the keys with other servers, for clients of Redis Cluster").immutable()
        .apply(|s, v| s.cluster.enabled = v.bool()),
    row("cluster-dir", Kind::Text, "cluster",
        "Directory in which a node keeps who it is and what the cluster has agreed on, in dir unless absolute").immutable()
        .apply(|s, v| s.cluster.dir = v.path().unwrap_or_default()),
    row("cluster-join", Kind::Words, "\"\"",
        "host:port of nodes whose cluster a node with an empty cluster-dir joins; empty: it begins one").immutable()
        .apply(|s, v| if let Value::Words(words) = v { s.cluster.join.clone_from(words); }),
    row("cluster-secret", Kind::Text, "\"\"",
        "What all nodes of a cluster know and nobody else; empty: only nodes of this machine are let in").immutable().sensitive()
        .apply(|s, v| s.cluster.secret = v.bytes()),
    row("cluster-port", int(0, 65535), "0",
        "TCP port for other nodes; 0: port + 10000").immutable()
        .apply(|s, v| s.cluster.port = u16::try_from(v.int()).unwrap_or(0)),
    row("tls-cluster", Kind::Bool, "no",
        "TLS between nodes: both sides show certificates of tls-ca-cert-file or tls-ca-cert-dir").immutable()
        .apply(|s, v| s.cluster.tls = v.bool()),
    row("cluster-allow-reads-when-down", Kind::Bool, "no",
        "Answer reads, maybe with old values, while this node may not serve: it is cut off from the others")
        .apply(|s, v| s.cluster.allow_reads_when_down = v.bool()),
    row("cluster-announce-ip", Kind::Text, "\"\"",
        "Address that clients and members are told; empty: one that it listens on").immutable()
        .apply(|s, v| s.cluster.announce_ip = v.text()),
    row("cluster-announce-hostname", Kind::Text, "\"\"",
        "Name that clients are told; empty: none").immutable()
        .apply(|s, v| s.cluster.announce_hostname = v.text()),
    row("cluster-announce-port", int(0, 65535), "0",
        "Port that clients are told; 0: port").immutable()
        .apply(|s, v| s.cluster.announce_port = u16::try_from(v.int()).unwrap_or(0)),
    row("cluster-announce-tls-port", int(0, 65535), "0",
        "Port that TLS clients are told; 0: tls-port").immutable()
        .apply(|s, v| s.cluster.announce_tls_port = u16::try_from(v.int()).unwrap_or(0)),
    row("cluster-announce-bus-port", int(0, 65535), "0",
        "Port that members are told; 0: port + 10000").immutable()
        .apply(|s, v| s.cluster.announce_bus_port = u16::try_from(v.int()).unwrap_or(0)),
    row("cluster-preferred-endpoint-type", Kind::Enum(&Preferred::NAMES), "ip",
        "What clients are told of where nodes are; the same on all of them")
        .apply(|s, v| s.cluster.preferred_endpoint = Preferred::ALL[v.index()]),
    row("cluster-node-timeout", int(3000, INT_MAX), "3000",
        "Milliseconds of silence after which a node is removed and copies of its slots take its place").immutable()
        .apply(|s, v| s.cluster.node_timeout = v.u32()),
    row("cluster-replicas", int(0, 2), "1",
        "Copies of each slot on other nodes, when the cluster begins").immutable()
        .apply(|s, v| s.cluster.replicas = u8::try_from(v.int()).unwrap_or(0)),
    row("cluster-replication", Kind::Enum(&Replication::NAMES), "async",
        "Answer writes when they are done here (async), or when the copies have them, too (sync)")
        .apply(|s, v| s.cluster.replication = Replication::ALL[v.index()]),
    row("cluster-weight", int(0, 10_000), "100",
        "Slots that the node takes in proportion to others, when it joins").immutable()
        .apply(|s, v| s.cluster.weight = v.u32()),
    row("cluster-zone", Kind::Text, "\"\"",
        "What fails together with the node, such as a rack: copies are elsewhere; empty: unknown").immutable()
        .apply(|s, v| s.cluster.zone = v.text()),
    row("cluster-linger", int(0, 3600), "60",
        "Seconds for which a node that has left tells clients where its slots are before it ends")
        .apply(|s, v| s.cluster.linger = v.u32()),
    // ---- replication: asked for by clients and tools
    row("replica-read-only", Kind::Bool, "yes",
        "Replicas refuse writes (accepted, no effect)").alias(&["slave-read-only"]),
    row("replica-serve-stale-data", Kind::Bool, "yes",
        "Replicas (accepted, no effect)").alias(&["slave-serve-stale-data"]),
    row("replica-priority", int(0, INT_MAX), "100",
        "Replicas (accepted, no effect)").alias(&["slave-priority"]),
    row("repl-timeout", int(1, INT_MAX), "60", "Replicas (accepted, no effect)"),
    row("stop-writes-on-bgsave-error", Kind::Bool, "yes",
        "A cache goes on (accepted, no effect)"),
    row("rdbcompression", Kind::Bool, "yes", "Compress the blocks of snapshots")
        .apply(|s, v| s.rdbcompression = v.bool()),
    row("rdbchecksum", Kind::Bool, "yes",
        "Snapshots always have checksums (accepted, no effect)").immutable(),
    // ---- scripts
    row("busy-reply-threshold", int(0, LONG_MAX), "5000",
        "Milliseconds after which a script makes those who need its shards answer BUSY")
        .alias(&["lua-time-limit"]).apply(|s, v| s.busy_reply_threshold = v.u64()),
    // ---- encodings of collections
    row("hash-max-listpack-entries", int(0, LONG_MAX), "512", "Fields of a small hash")
        .alias(&["hash-max-ziplist-entries"]).apply(|s, v| s.collections[0] = v.u64() as usize),
    row("hash-max-listpack-value", memory(0, LONG_MAX as u64), "64",
        "Bytes of a field or value of a small hash")
        .alias(&["hash-max-ziplist-value"]).apply(|s, v| s.collections[1] = v.size()),
    row("list-max-listpack-size", int(-INT_MAX, INT_MAX), "-2",
        "Elements of a small list, or -1 to -5 for 4 to 64 KiB").alias(&["list-max-ziplist-size"])
        .apply(|s, v| s.list_max_listpack_size = v.int()),
    row("list-compress-depth", int(0, INT_MAX), "0", "Lists (accepted, no effect)"),
    row("set-max-intset-entries", int(0, LONG_MAX), "512", "Members of a small set of integers")
        .apply(|s, v| s.collections[2] = v.u64() as usize),
    row("set-max-listpack-entries", int(0, LONG_MAX), "128", "Members of a small set")
        .apply(|s, v| s.collections[3] = v.u64() as usize),
    row("set-max-listpack-value", memory(0, LONG_MAX as u64), "64",
        "Bytes of a member of a small set").apply(|s, v| s.collections[4] = v.size()),
    row("zset-max-listpack-entries", int(0, LONG_MAX), "128", "Members of a small sorted set")
        .alias(&["zset-max-ziplist-entries"]).apply(|s, v| s.collections[5] = v.u64() as usize),
    row("zset-max-listpack-value", memory(0, LONG_MAX as u64), "64",
        "Bytes of a member of a small sorted set")
        .alias(&["zset-max-ziplist-value"]).apply(|s, v| s.collections[6] = v.size()),
    row("hll-sparse-max-bytes", memory(0, LONG_MAX as u64), "3000",
        "Bytes of a HyperLogLog in the sparse form").apply(|s, v| s.hll_sparse_max_bytes = v.size()),
    row("stream-node-max-bytes", memory(0, LONG_MAX as u64), "4096", "Bytes of a block of a stream")
        .apply(|s, v| s.collections[7] = v.size()),
    row("stream-node-max-entries", int(0, LONG_MAX), "100", "Entries of a block of a stream")
        .apply(|s, v| s.collections[8] = v.u64() as usize),
];

/// Directives of Redis 7.2 and Valkey 8 that Dunlin does not implement and whose absence is harmless to what a
/// cache promises: a file that has them loads with a warning.
#[rustfmt::skip]
pub(super) static MISSING: &[&str] = &[
    "active-defrag-cycle-max", "active-defrag-cycle-min", "active-defrag-ignore-bytes",
    "active-defrag-max-scan-fields", "active-defrag-threshold-lower",
    "active-defrag-threshold-upper", "aof-disable-auto-gc", "aof-load-truncated",
    "aof-rewrite-cpulist", "aof-rewrite-incremental-fsync", "aof-timestamp-enabled",
    "aof-use-rdb-preamble", "aof_rewrite_cpulist", "appenddirname", "appendfilename", "appendfsync",
    "auto-aof-rewrite-min-size", "auto-aof-rewrite-percentage", "availability-zone",
    "bgsave-cpulist", "bgsave_cpulist", "bind-source-addr", "bio-cpulist", "bio_cpulist",
    "cluster-allow-pubsubshard-when-down", "cluster-allow-replica-migration",
    "cluster-announce-human-nodename", "cluster-blacklist-ttl", "cluster-config-file",
    "cluster-link-sendbuf-limit", "cluster-migration-barrier", "cluster-ping-interval",
    "cluster-replica-no-failover", "cluster-replica-validity-factor",
    "cluster-require-full-coverage", "cluster-slave-no-failover", "cluster-slave-validity-factor",
    "cluster-slot-stats-enabled", "crash-log-enabled", "crash-memcheck-enabled",
    "dual-channel-replication-enabled", "enable-module-command", "events-per-io-thread",
    "extended-redis-compatibility", "hide-user-data-from-log", "ignore-warnings",
    "loading-process-events-interval-bytes", "locale-collate", "log-timestamp-format", "masterauth",
    "masteruser",
    "min-replicas-max-lag", "min-replicas-to-write", "min-slaves-max-lag", "min-slaves-to-write",
    "no-appendfsync-on-rewrite", "oom-score-adj-values", "prefetch-batch-max-size", "primaryauth",
    "primaryuser", "propagation-error-behavior", "rdb-del-sync-files", "rdb-save-incremental-fsync",
    "repl-backlog-size", "repl-backlog-ttl", "repl-disable-tcp-nodelay", "repl-diskless-load",
    "repl-diskless-sync", "repl-diskless-sync-delay", "repl-diskless-sync-max-replicas",
    "repl-ping-replica-period", "repl-ping-slave-period", "replica-announce-ip",
    "replica-announce-port", "replica-announced", "replica-ignore-disk-write-errors",
    "replica-ignore-maxmemory", "replica-lazy-flush", "sanitize-dump-payload", "server-cpulist",
    "server_cpulist", "shutdown-on-sigint", "shutdown-on-sigterm", "slave-announce-ip",
    "slave-announce-port", "slave-ignore-maxmemory", "slave-lazy-flush", "socket-mark-id",
    "syslog-enabled", "syslog-facility", "syslog-ident", "tls-client-cert-file",
    "tls-client-key-file", "tls-client-key-file-pass", "tls-dh-params-file",
    "tls-replication", "unixsocketgroup",
];

/// Directives whose silent absence would weaken security or change what the data means: refused.
pub(super) static REFUSED: &[(&str, &str)] = &[
    ("rename-command", "renaming commands is not supported: ignoring it would leave them open"),
    ("replicaof", "replication is not supported: this server would answer from an empty cache"),
    ("slaveof", "replication is not supported: this server would answer from an empty cache"),
    ("loadmodule", "modules are not supported"),
];
