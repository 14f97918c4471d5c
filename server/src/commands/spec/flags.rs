//! The flags of a command.

/// Set of command flags. The first block are Redis's own, the second Dunlin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Flags(u64);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr, $text:expr;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Flags = Flags(1 << $bit);)*
            /// Every flag that COMMAND prints, in Redis's order.
            pub const PRINTED: &'static [(Flags, &'static str)] = &[$((Flags::$name, $text),)*];
        }
    };
}

flags! {
    /// Changes the keyspace.
    WRITE = 0, "write";
    /// Only reads keys.
    READONLY = 1, "readonly";
    /// Refused when memory is short and nothing can be evicted.
    DENYOOM = 2, "denyoom";
    /// Administrative.
    ADMIN = 3, "admin";
    /// Publish/subscribe.
    PUBSUB = 4, "pubsub";
    /// Not from scripts.
    NOSCRIPT = 5, "noscript";
    /// May block the client.
    BLOCKING = 6, "blocking";
    /// Allowed while a snapshot is loading.
    LOADING = 7, "loading";
    /// Allowed on a stale replica.
    STALE = 8, "stale";
    /// Not shown to MONITOR.
    SKIP_MONITOR = 9, "skip_monitor";
    /// Never in the slow log.
    SKIP_SLOWLOG = 10, "skip_slowlog";
    /// Accepted while a slot is being imported.
    ASKING = 11, "asking";
    /// Constant or logarithmic time.
    FAST = 12, "fast";
    /// Allowed before authentication.
    NO_AUTH = 13, "no_auth";
    /// Not inside MULTI.
    NO_MULTI = 15, "no_multi";
    /// Keys depend on the arguments.
    MOVABLEKEYS = 16, "movablekeys";
    /// Allowed while a script is busy.
    ALLOW_BUSY = 17, "allow_busy";
    /// Not while loading asynchronously.
    NO_ASYNC_LOADING = 18, "no_async_loading";
    /// The command may name no key at all although it has key specifications.
    NO_MANDATORY_KEYS = 19, "no_mandatory_keys";
}

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// May replicate although it is no write: waits for CLIENT PAUSE WRITE. Redis does not show it.
    pub const MAY_REPLICATE: Flags = Flags(1 << 14);
    /// Refused unless `enable-debug-command` allows it to the client.
    pub const PROTECTED: Flags = Flags(1 << 20);
    /// Runs at once after MULTI, where other commands are queued.
    pub const UNQUEUED: Flags = Flags(1 << 22);
    /// Ends WATCH for all keys: needs the roles of the watched ones.
    pub const UNWATCHES: Flags = Flags(1 << 21);
    /// Runs the queued commands: their flags and keys count, not its own.
    pub const EXEC: Flags = Flags(1 << 23);
    /// A write that needs the roles of every shard.
    pub const ALL_SHARDS: Flags = Flags(1 << 25);
    /// Constant time although not marked FAST: timed per run of commands, not one by one.
    pub const CHEAP: Flags = Flags(1 << 26);
    /// Arguments are secrets: redacted in the slow log and MONITOR.
    pub const SENSITIVE: Flags = Flags(1 << 27);
    /// May look into any shard, and outside of EXEC into several at different instants (KEYS, SCAN,
    /// RANDOMKEY).
    pub const ANY_SHARD: Flags = Flags(1 << 28);
    /// Allowed to a RESP2 connection that has subscribed to something.
    pub const SUBSCRIBER: Flags = Flags(1 << 29);
    /// Answers with messages, which CLIENT REPLY does not suppress: SUBSCRIBE and its relatives.
    pub const ANSWERS_BY_PUSH: Flags = Flags(1 << 30);

    /// Runs a script: the keys that it names are those which it promises to keep to.
    pub const SCRIPT: Flags = Flags(1 << 31);
    /// Takes long, whatever its arguments: runs on the pool and not in front of a worker's connections.
    pub const LONG: Flags = Flags(1 << 32);
    /// Looks at every key of the database.
    pub const WALKS: Flags = Flags(1 << 33);

    /// Union, usable in constants.
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These without `other`.
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// Whether all flags of `other` are set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether at least one flag of `other` is set.
    pub const fn any(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }
}

/// Combines flags in a `const` context: `flags!` needs an expression, `|` is not `const`.
#[macro_export]
macro_rules! flag_set {
    ($($flag:ident)|+) => {
        $crate::commands::spec::Flags::NONE$(.with($crate::commands::spec::Flags::$flag))+
    };
}
