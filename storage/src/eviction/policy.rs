//! Which keys go first.

/// Redis's eviction policies, all names, and one that is not Redis's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Policy {
    /// Nothing goes; writes that need memory are refused.
    NoEviction,
    /// Any key: what the requests so far say is of the least use.
    #[default]
    AllKeysAuto,
    /// Any key, least recently used first.
    AllKeysLru,
    /// Any key, least frequently used first.
    AllKeysLfu,
    /// Any key, least recently modified first.
    AllKeysLrm,
    /// Any key, at random.
    AllKeysRandom,
    /// Keys with an expiry, least recently used first.
    VolatileLru,
    /// Keys with an expiry, least frequently used first.
    VolatileLfu,
    /// Keys with an expiry, least recently modified first.
    VolatileLrm,
    /// Keys with an expiry, at random.
    VolatileRandom,
    /// Keys with an expiry, the nearest one first.
    VolatileTtl,
}

const ALL: [(Policy, &str); 11] = [
    (Policy::NoEviction, "noeviction"),
    (Policy::AllKeysAuto, "allkeys-auto"),
    (Policy::AllKeysLru, "allkeys-lru"),
    (Policy::AllKeysLfu, "allkeys-lfu"),
    (Policy::AllKeysLrm, "allkeys-lrm"),
    (Policy::AllKeysRandom, "allkeys-random"),
    (Policy::VolatileLru, "volatile-lru"),
    (Policy::VolatileLfu, "volatile-lfu"),
    (Policy::VolatileLrm, "volatile-lrm"),
    (Policy::VolatileRandom, "volatile-random"),
    (Policy::VolatileTtl, "volatile-ttl"),
];

impl Policy {
    /// The policy of a name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, text)| text.eq_ignore_ascii_case(name)).map(|(policy, _)| *policy)
    }

    /// The name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        ALL[usize::from(self.to_u8())].1
    }

    /// True if only keys with an expiry may go.
    #[must_use]
    pub fn is_volatile(self) -> bool {
        self.to_u8() >= Policy::VolatileLru.to_u8()
    }

    /// True if victims are chosen by their use.
    pub(crate) fn is_ranked(self) -> bool {
        !matches!(
            self,
            Policy::NoEviction
                | Policy::AllKeysRandom
                | Policy::VolatileRandom
                | Policy::VolatileTtl
        )
    }

    /// True if new keys start in a small ring: where only some keys may go, the hand does it alone.
    pub(crate) fn has_ring(self) -> bool {
        self.is_ranked() && !self.is_volatile()
    }

    /// True if reading a key counts as using it.
    #[inline]
    pub(crate) fn counts_reads(self) -> bool {
        self.is_ranked() && !matches!(self, Policy::AllKeysLrm | Policy::VolatileLrm)
    }

    /// True if clients may ask how often a key was used (OBJECT FREQ).
    pub(crate) fn shows_use(self) -> bool {
        matches!(self, Policy::AllKeysLfu | Policy::VolatileLfu)
    }

    /// Every policy.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(policy, _)| *policy)
    }

    pub(crate) fn to_u8(self) -> u8 {
        self as u8
    }

    #[inline]
    pub(crate) fn from_u8(value: u8) -> Self {
        ALL[usize::from(value)].0
    }
}

#[cfg(test)]
mod tests {
    use super::Policy;

    #[test]
    fn names_and_numbers_agree() {
        for policy in Policy::all() {
            assert_eq!(Policy::parse(policy.name()), Some(policy));
            assert_eq!(Policy::parse(&policy.name().to_uppercase()), Some(policy));
            assert_eq!(Policy::from_u8(policy.to_u8()), policy);
            assert_eq!(policy.is_volatile(), policy.name().starts_with("volatile"));
        }
        assert_eq!(Policy::parse("lru"), None);
    }
}
