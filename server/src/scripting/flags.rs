//! What a script or function declares about itself.

/// Flags of a script's first line or of a function's registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ScriptFlags(u8);

impl ScriptFlags {
    /// None.
    pub const NONE: ScriptFlags = ScriptFlags(0);
    /// Writes nothing; implies [`ScriptFlags::ALLOW_OOM`].
    pub const NO_WRITES: ScriptFlags = ScriptFlags(1);
    /// May run when memory is short.
    pub const ALLOW_OOM: ScriptFlags = ScriptFlags(2);
    /// May run on a replica that has lost its primary.
    pub const ALLOW_STALE: ScriptFlags = ScriptFlags(4);
    /// Must not run in a cluster.
    pub const NO_CLUSTER: ScriptFlags = ScriptFlags(8);
    /// May touch keys of several slots.
    pub const ALLOW_CROSS_SLOT: ScriptFlags = ScriptFlags(16);

    /// Names, in Redis's order.
    pub const NAMES: &'static [(ScriptFlags, &'static str)] = &[
        (ScriptFlags::NO_WRITES, "no-writes"),
        (ScriptFlags::ALLOW_OOM, "allow-oom"),
        (ScriptFlags::ALLOW_STALE, "allow-stale"),
        (ScriptFlags::NO_CLUSTER, "no-cluster"),
        (ScriptFlags::ALLOW_CROSS_SLOT, "allow-cross-slot-keys"),
    ];

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn has(self, other: ScriptFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: ScriptFlags) -> ScriptFlags {
        ScriptFlags(self.0 | other.0)
    }

    /// The flag of that name, in any case.
    pub(super) fn by_name(name: &[u8]) -> Option<ScriptFlags> {
        let is = |(_, known): &&(ScriptFlags, &str)| known.as_bytes().eq_ignore_ascii_case(name);
        Self::NAMES.iter().find(is).map(|(flag, _)| *flag)
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| *name)
    }
}
