//! Deliberate breakages. Each takes away one of the things that the promise rests on, and the checks
//! have to notice: checks that cannot fail show nothing.

/// What is broken, at all nodes unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A node that has had a lease serves without one: its removal comes before the end of what it
    /// takes for its lease.
    LeaseWithoutEnd,
    /// The clock of every other node runs at half the speed, so its leases last too long.
    SlowClock,
    /// The clock of leases does not go on while the process stands still: when it goes on, the lease of
    /// before lasts.
    StandingClock,
    /// The owner goes on serving what it hands over.
    NoFence,
    /// The owner serves again although it does not know yet how its commit has ended.
    Impatience,
}

impl Broken {
    pub(crate) const ALL: [Broken; 5] = [
        Broken::LeaseWithoutEnd,
        Broken::SlowClock,
        Broken::StandingClock,
        Broken::NoFence,
        Broken::Impatience,
    ];
}
