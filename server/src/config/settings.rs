//! The values the server acts on, as plain typed fields.
//!
//! A [`Settings`] is immutable once published: whoever reads it holds an `Arc` and compares
//! [`Config::generation`](super::Config::generation) with the one it copied to learn that a newer
//! one exists. Every field is a projection of one row of the directive table; rows without a field
//! are accepted and kept but change nothing.

use dunlin_storage::Policy;
use std::path::{Path, PathBuf};

use super::directives::DIRECTIVES;
use super::value::{OutputLimits, Value};
use crate::cluster::view::Preferred;

/// Lowest severity that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Much that is rarely useful.
    Verbose,
    /// What an operator wants to know.
    #[default]
    Notice,
    /// Only what needs attention.
    Warning,
    /// Not even that.
    Nothing,
}

impl LogLevel {
    pub(super) const ALL: [LogLevel; 5] = [
        LogLevel::Debug,
        LogLevel::Verbose,
        LogLevel::Notice,
        LogLevel::Warning,
        LogLevel::Nothing,
    ];
    pub(super) const NAMES: [&'static str; 5] =
        ["debug", "verbose", "notice", "warning", "nothing"];
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Time, level, message, then `name=value` pairs.
    #[default]
    Text,
    /// Everything as `name=value` pairs.
    Logfmt,
    /// One JSON object.
    Json,
}

impl LogFormat {
    pub(super) const ALL: [LogFormat; 3] = [LogFormat::Text, LogFormat::Logfmt, LogFormat::Json];
    pub(super) const NAMES: [&'static str; 3] = ["text", "logfmt", "json"];
}

/// Who may use a dangerous facility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Nobody.
    #[default]
    No,
    /// Everybody.
    Yes,
    /// Connections from this machine.
    Local,
}

impl Access {
    pub(super) const ALL: [Access; 3] = [Access::No, Access::Yes, Access::Local];
    pub(super) const NAMES: [&'static str; 3] = ["no", "yes", "local"];

    /// Whether a connection may; `local` = it comes over loopback or the unix socket.
    #[must_use]
    pub fn allows(self, local: bool) -> bool {
        match self {
            Access::No => false,
            Access::Yes => true,
            Access::Local => local,
        }
    }
}

/// What happens at the start if the snapshot cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadOnCorrupt {
    /// The process ends.
    #[default]
    Refuse,
    /// The file is put aside, and the cache is empty.
    Ignore,
}

impl LoadOnCorrupt {
    pub(super) const ALL: [LoadOnCorrupt; 2] = [LoadOnCorrupt::Refuse, LoadOnCorrupt::Ignore];
    pub(super) const NAMES: [&'static str; 2] = ["refuse", "ignore"];
}

/// Who is told of the start and the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Supervision {
    /// Nobody, as long as upstart is not supported.
    Upstart,
    /// systemd, which has to be there.
    Systemd,
    /// systemd if it is there.
    Auto,
    /// Nobody.
    #[default]
    No,
}

impl Supervision {
    pub(super) const ALL: [Supervision; 4] =
        [Supervision::Upstart, Supervision::Systemd, Supervision::Auto, Supervision::No];
    pub(super) const NAMES: [&'static str; 4] = ["upstart", "systemd", "auto", "no"];
}

/// Whether TLS clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsAuthClients {
    /// None is asked for.
    No,
    /// A valid one, or no connection.
    #[default]
    Yes,
    /// None, or a valid one.
    Optional,
}

impl TlsAuthClients {
    pub(super) const ALL: [TlsAuthClients; 3] =
        [TlsAuthClients::No, TlsAuthClients::Yes, TlsAuthClients::Optional];
    pub(super) const NAMES: [&'static str; 3] = ["no", "yes", "optional"];
}

/// When a write to a cluster is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replication {
    /// When it is done here; copies follow.
    #[default]
    Async,
    /// When the copies have it, too.
    Sync,
}

impl Replication {
    pub(super) const ALL: [Replication; 2] = [Replication::Async, Replication::Sync];
    pub(super) const NAMES: [&'static str; 2] = ["async", "sync"];
}

/// The directives `cluster-*`.
#[derive(Debug, Clone, Default)]
pub struct ClusterSettings {
    /// The server is a node of a cluster.
    pub enabled: bool,
    /// Where it keeps who it is; relative to `dir`.
    pub dir: PathBuf,
    /// Nodes whose cluster it joins.
    pub join: Vec<String>,
    /// What all nodes know; empty: there is no secret.
    pub secret: Vec<u8>,
    /// The port for other nodes; 0: 10000 above `port`.
    pub port: u16,
    /// TLS between nodes.
    pub tls: bool,
    /// Reads are answered while the node may not serve.
    pub allow_reads_when_down: bool,
    /// The address that others are told; empty: found out.
    pub announce_ip: String,
    /// The name that clients are told; empty: none.
    pub announce_hostname: String,
    /// The port that clients are told; 0: the one that it listens on.
    pub announce_port: u16,
    /// The port that TLS clients are told; 0: the one that it listens on.
    pub announce_tls_port: u16,
    /// The port that members are told; 0: the one that it listens on.
    pub announce_bus_port: u16,
    /// What clients are told of where nodes are.
    pub preferred_endpoint: Preferred,
    /// Milliseconds of silence after which a member is removed.
    pub node_timeout: u32,
    /// Copies of each slot on other nodes.
    pub replicas: u8,
    /// When writes are answered.
    pub replication: Replication,
    /// How many slots the node takes in proportion to others.
    pub weight: u32,
    /// What fails together with the node; empty: unknown.
    pub zone: String,
    /// Seconds for which a node that has left goes on telling clients where its slots are.
    pub linger: u32,
}

/// The directives `tls-*`.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TlsSettings {
    /// TCP port for TLS connections, 0 = none.
    pub port: u16,
    /// The server's certificate chain.
    pub cert_file: Option<PathBuf>,
    /// The private key of the certificate.
    pub key_file: Option<PathBuf>,
    /// Password of the key file.
    pub key_file_pass: Vec<u8>,
    /// Authorities that certify clients.
    pub ca_cert_file: Option<PathBuf>,
    /// Directory of files with such authorities.
    pub ca_cert_dir: Option<PathBuf>,
    /// Whether clients must show a certificate.
    pub auth_clients: TlsAuthClients,
    /// Log clients in as the user their certificate's common name says.
    pub user_from_cn: bool,
    /// Versions, separated by spaces; empty = all.
    pub protocols: String,
    /// Cipher suites of TLS 1.2; empty = all.
    pub ciphers: String,
    /// Cipher suites of TLS 1.3; empty = all.
    pub ciphersuites: String,
    /// The server's order of cipher suites decides.
    pub prefer_server_ciphers: bool,
    /// Sessions can be resumed.
    pub session_caching: bool,
    /// Sessions kept.
    pub session_cache_size: u32,
    /// Seconds a session can be resumed.
    pub session_cache_timeout: u32,
    /// Seconds between looks at the files, 0 = never.
    pub auto_reload_interval: u32,
}

/// How new connections are let in.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ArrivalSettings {
    /// Accepted from one listener before other connections get their turn.
    pub per_turn: u32,
    /// The same, of a TLS listener.
    pub tls_per_turn: u32,
    /// Accepted per second and worker however overloaded the server is.
    pub rate_min: u32,
    /// TLS handshakes that a worker makes at the same time.
    pub handshakes: u32,
    /// TLS handshakes of a worker that are not finished.
    pub handshakes_open: u32,
    /// Seconds a TLS handshake may take.
    pub handshake_timeout: u32,
}

/// When a client is not served until it reads.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct OutputPause {
    /// With so many bytes unsent.
    pub always: usize,
    /// With so many bytes unsent, when `maxmemory_clients` is nearly used up.
    pub when_scarce: usize,
    /// Seconds after which it is closed if it reads nothing.
    pub stall_timeout: u32,
}

/// Everything the server reads from its configuration.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// Addresses to listen on; a leading `-` allows one not to exist, `*` means all.
    pub bind: Vec<String>,
    /// TCP port, 0 = none.
    pub port: u16,
    /// TLS.
    pub tls: TlsSettings,
    /// Path of the unix socket.
    pub unixsocket: Option<PathBuf>,
    /// Permissions of the unix socket.
    pub unixsocketperm: u32,
    /// Length of the kernel's queue of connections not yet accepted.
    pub tcp_backlog: u32,
    /// Seconds of silence after which the kernel probes a connection, 0 = never.
    pub tcp_keepalive: u32,
    /// What the server is in a cluster.
    pub cluster: ClusterSettings,
    /// Seconds after which an idle client is disconnected, 0 = never.
    pub timeout: u32,
    /// Seconds of silence in the middle of a command after which a client is closed, 0 = no limit.
    pub partial_command_timeout: u32,
    /// Port of the admin listener, 0 = none.
    pub admin_port: u16,
    /// Addresses of the admin listener.
    pub admin_bind: Vec<String>,
    /// The dashboard shows names of keys.
    pub admin_show_keys: bool,
    /// Clients served at once.
    pub maxclients: u32,
    /// How new connections are let in.
    pub arrivals: ArrivalSettings,
    /// The password; empty = none.
    pub requirepass: Vec<u8>,
    /// Seconds a client that has to authenticate may take for it, 0 = no limit.
    pub auth_timeout: u32,
    /// Refuse to serve other machines without a password.
    pub protected_mode: bool,
    /// Bytes the store may hold, 0 = no limit.
    pub maxmemory: u64,
    /// What happens at `maxmemory`.
    pub maxmemory_policy: Policy,
    /// Bytes at most for what is known of removed keys, 0 = nothing is.
    pub miss_memory: u64,
    /// Bytes all clients together may hold, 0 = no limit.
    pub maxmemory_clients: u64,
    /// Limits of pending output per client class.
    pub output_limits: OutputLimits,
    /// When a client is not served because of its pending output.
    pub output_pause: OutputPause,
    /// Bytes a client's unprocessed input may hold.
    pub client_query_buffer_limit: usize,
    /// Longest argument and string value.
    pub proto_max_bulk_len: usize,
    /// Number of databases.
    pub databases: u8,
    /// Background ticks per second.
    pub hz: u32,
    /// Back memory in full use with huge pages.
    pub huge_pages: bool,
    /// Workers; 0 = as many as the CPU quota allows.
    pub workers: u32,
    /// Workers that always serve; 0 = all.
    pub workers_min: u32,
    /// Milliseconds between looks at the load of workers.
    pub placement_window: u32,
    /// Points of load between two workers above which connections move.
    pub placement_gap: u32,
    /// Pin workers to CPUs.
    pub worker_affinity: bool,
    /// Shards; 0 = from the number of workers.
    pub shards: u32,
    /// Lowest severity that is logged.
    pub loglevel: LogLevel,
    /// File the log is appended to; none = standard output.
    pub logfile: Option<PathBuf>,
    /// Shape of a log line.
    pub log_format: LogFormat,
    /// File that holds the process id while the server runs.
    pub pidfile: Option<PathBuf>,
    /// Microseconds from which a command is kept in the slow log, negative = never.
    pub slowlog_log_slower_than: i64,
    /// Entries the slow log keeps.
    pub slowlog_max_len: u64,
    /// Size of a node of a list: a number of elements, or -1 to -5 for a number of bytes.
    pub list_max_listpack_size: i64,
    /// The limits of small collections but lists, in the order of their rows.
    pub collections: [usize; 9],
    /// Longest HyperLogLog in the sparse encoding.
    pub hll_sparse_max_bytes: usize,
    /// Milliseconds from which the latency monitor records an event, 0 = off.
    pub latency_monitor_threshold: u64,
    /// Commands per second and worker whose keys are looked at, 0 = none.
    pub hot_key_sampling: u32,
    /// What ends the prefix of a key; empty = nothing.
    pub prefix_separator: Vec<u8>,
    /// How many separators a prefix reaches.
    pub prefix_depth: u32,
    /// Keep latency histograms per command.
    pub latency_tracking: bool,
    /// Percentiles INFO latencystats shows.
    pub latency_percentiles: Vec<f64>,
    /// DEBUG may be used by.
    pub enable_debug_command: Access,
    /// Protected settings may be changed by.
    pub enable_protected_configs: Access,
    /// Who is told of the start and the end.
    pub supervised: Supervision,
    /// Seconds a shutdown may take altogether.
    pub shutdown_timeout: u32,
    /// Seconds a shutdown goes on serving before it closes connections.
    pub drain_seconds: u32,
    /// Keyspace events that are published: a bit per letter of the directive.
    pub notify_keyspace_events: u16,
    /// Milliseconds after which a running script makes those who need its shards answer BUSY.
    pub busy_reply_threshold: u64,
    /// Dear work and new connections are limited by the load.
    pub overload_control: bool,
    /// Microseconds a worker's run queue may take to come round.
    pub overload_target_delay: u64,
    /// Milliseconds for which it must take longer than that to be an overload.
    pub overload_interval: u64,
    /// Microseconds from which a command is dear, 0 = none is.
    pub dear_command_threshold: u64,
    /// Dear commands that may ever run at once, per worker.
    pub dear_commands_max_running: usize,
    /// Those that may wait while more come than can be done, per worker.
    pub dear_commands_max_waiting: usize,
    /// Milliseconds for which they may.
    pub dear_commands_max_wait: u64,
    /// Keys the tracking table holds.
    pub tracking_table_max_keys: u64,
    /// Entries the ACL log keeps.
    pub acllog_max_len: u64,
    /// New users may use every channel.
    pub acl_all_channels: bool,
    /// File of the users; none = they are in the configuration.
    pub aclfile: Option<PathBuf>,
    /// Directory of snapshots, and of a relative `aclfile`.
    pub dir: PathBuf,
    /// Name of the snapshot file.
    pub dbfilename: PathBuf,
    /// Seconds and changes after which a snapshot is written.
    pub save_points: Vec<(u32, u32)>,
    /// Bytes per second of a snapshot, 0 = no limit.
    pub snapshot_rate_limit: u64,
    /// What happens to a snapshot that cannot be loaded.
    pub load_on_corrupt: LoadOnCorrupt,
    /// Compress the blocks of snapshots.
    pub rdbcompression: bool,
    /// Logarithm factor of the frequency counter.
    pub lfu_log_factor: u32,
    /// Minutes after which a frequency counter is halved.
    pub lfu_decay_time: u32,

    /// The value of every row, in the order of the table.
    pub(super) values: Vec<Value>,
}

impl Settings {
    /// The defaults of the table for a machine (or container) with this much memory.
    #[must_use]
    pub fn defaults(machine_memory: u64) -> Settings {
        let mut settings = Settings::default();
        for row in DIRECTIVES {
            let value = row.default_value(machine_memory);
            settings.values.push(value);
        }
        settings.project();
        settings
    }

    /// What an authenticated connection may send.
    #[must_use]
    pub fn protocol_limits(&self) -> dunlin_protocol::Limits {
        dunlin_protocol::Limits {
            max_bulk: self.proto_max_bulk_len,
            ..dunlin_protocol::Limits::AUTHENTICATED
        }
    }

    /// Where the file of the users is, if there is one.
    #[must_use]
    pub fn acl_path(&self) -> Option<PathBuf> {
        let file = self.aclfile.as_ref()?;
        let here = self.dir.as_os_str().is_empty() || self.dir == Path::new(".");
        Some(if here { file.clone() } else { self.dir.join(file) })
    }

    /// Brings the typed fields in line with the values.
    pub(super) fn project(&mut self) {
        let values = std::mem::take(&mut self.values);
        for (row, value) in DIRECTIVES.iter().zip(&values) {
            if let Some(apply) = row.apply {
                apply(self, value);
            }
        }
        self.values = values;
    }
}
