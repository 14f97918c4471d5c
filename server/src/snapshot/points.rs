//! Save points: `save 3600 1` asks for a snapshot when the last one is older than 3600 seconds and at
//! least one change has come since.

use dunlin_storage::Millis;

/// After a failure the next try has to wait for so long.
const RETRY_MILLIS: Millis = 5_000;

/// What save points look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) now: Millis,
    /// When the last snapshot was complete.
    pub(super) last_save: Millis,
    /// When one was last begun.
    pub(super) last_try: Millis,
    /// Whether that succeeded.
    pub(super) last_ok: bool,
    /// Changes since the last snapshot.
    pub(super) changes: u64,
}

/// Whether a snapshot may be tried: after a failure not at once.
pub(super) fn may_try(seen: &Seen) -> bool {
    seen.last_ok || seen.now.saturating_sub(seen.last_try) > RETRY_MILLIS
}

/// The point, of those that the directive `save` names (seconds, changes), that asks for a snapshot.
pub(super) fn due(points: &[(u32, u32)], seen: &Seen) -> Option<(u32, u32)> {
    let age = seen.now.saturating_sub(seen.last_save);
    points.iter().copied().find(|(seconds, changes)| {
        may_try(seen) && seen.changes >= u64::from(*changes) && age > Millis::from(*seconds) * 1000
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_needs_its_time_and_its_changes() {
        let points = [(3600, 1), (60, 100)];
        let seen = |seconds: Millis, changes| Seen {
            now: 10_000 + seconds * 1000,
            last_save: 10_000,
            last_try: 10_000,
            last_ok: true,
            changes,
        };
        assert_eq!(due(&points, &seen(60, 100)), None, "not yet");
        assert_eq!(due(&points, &seen(61, 100)), Some((60, 100)));
        assert_eq!(due(&points, &seen(61, 99)), None);
        assert_eq!(due(&points, &seen(3601, 1)), Some((3600, 1)));
        assert_eq!(due(&points, &seen(99_999, 0)), None, "nothing has changed");
        assert_eq!(due(&[], &seen(99_999, 99_999)), None);
    }

    #[test]
    fn after_a_failure_it_waits() {
        let seen = |since: Millis| Seen {
            now: 100_000 + since,
            last_save: 0,
            last_try: 100_000,
            last_ok: false,
            changes: 5,
        };
        assert_eq!(due(&[(1, 1)], &seen(RETRY_MILLIS)), None);
        assert_eq!(due(&[(1, 1)], &seen(RETRY_MILLIS + 1)), Some((1, 1)));
    }
}
