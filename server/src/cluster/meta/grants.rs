//! The leader's part in leases: to whom it may grant one, and when somebody may be removed. Pure: time
//! is passed in.
//!
//! A grant lasts until `t0 + LENGTH`, where t0 is a moment before the leader last heard from a quorum
//! that it leads: nobody who leads after it has begun to before t0. So
//!
//! - whoever begins to lead at time `since` knows that no grant of others lasts beyond
//!   `since + LENGTH`;
//! - a leader knows until when its own grants last.
//!
//! A leader whose process ends may lead again when it has started, in the same term: openraft has it go on
//! where it was. What it has proposed before is in its log and may still be decided on, removals too. So
//! nobody gets a lease before everything is applied that was in the log when it began to lead.
//!
//! A member is removed when the last grant that it may have is over and it gets no more: first it is
//! **barred**, then one waits, then its removal is proposed, for this term only (if another leads
//! meanwhile, it may have granted).

use super::super::change::Life;
use super::super::lease::LENGTH;
use super::super::map::Map;
use super::super::node::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Nanoseconds on this node's clock.
pub(super) type Time = u64;

pub(super) fn nanoseconds(duration: Duration) -> Time {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a member's request for a lease comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Granted {
    /// It lasts until then.
    Until(Time),
    /// Not now.
    NotNow,
    /// It is no member in this life.
    Out,
}

/// What a leader knows.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// The term in which it leads.
    term: u64,
    /// Since when it has led, at the latest.
    since: Time,
    /// The end of its log then.
    floor: u64,
    /// Before it last heard from a quorum.
    quorum: Option<Time>,
    /// When it was last here, to notice that it was not.
    seen: Time,
    /// Who led before, and when this node heard it last.
    before: Option<(NodeId, Time)>,
    heard: BTreeMap<Life, Heard>,
    barred: BTreeSet<Life>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    at: Time,
    /// Its grants are over then.
    until: Time,
}

impl Grants {
    /// A quorum has confirmed after `asked` that this node leads.
    pub(super) fn confirmed(&mut self, asked: Time) {
        self.quorum = self.quorum.max(Some(asked));
    }

    /// This node leads in `term`. If it is news, it knows nothing of grants of before, and of who is there
    /// only that the leader of before was heard then.
    pub(super) fn lead(&mut self, term: u64, before: Option<(NodeId, Time)>, log: u64, now: Time) {
        if self.term != term {
            let floor = log;
            *self = Grants { term, since: now, floor, before, seen: now, ..Grants::default() };
        }
    }

    /// Whether a map that shows the log up to there says of everybody that this leader, or it in its life
    /// before, has removed that he is gone.
    pub(super) fn knows_all(&self, applied: u64) -> bool {
        applied >= self.floor
    }

    /// Who has not been here for `gap` cannot say that others were silent: their time begins anew.
    pub(super) fn wake(&mut self, now: Time, gap: Duration) {
        if now.saturating_sub(self.seen) > nanoseconds(gap) {
            (self.since, self.before) = (now, None);
            self.heard.values_mut().for_each(|heard| heard.at = now);
        }
        self.seen = now;
    }

    /// A member asks for a lease.
    pub(super) fn grant(&mut self, life: Life, map: &Map, now: Time) -> Granted {
        let incarnation = map.members.get(&life.node).map(|member| member.incarnation);
        match incarnation {
            Some(incarnation) if incarnation < life.incarnation => return Granted::NotNow,
            Some(incarnation) if incarnation == life.incarnation => {}
            _ => return Granted::Out,
        }
        if self.barred.contains(&life) {
            return Granted::NotNow;
        }
        self.heard.entry(life).or_default().at = now;
        let until = self.quorum.map_or(0, |quorum| quorum.saturating_add(nanoseconds(LENGTH)));
        if until <= now {
            return Granted::NotNow;
        }
        let heard = self.heard.entry(life).or_default();
        heard.until = heard.until.max(until);
        Granted::Until(until)
    }

    /// No more grants for this life. Returns when the last one is over that it may have.
    pub(super) fn bar(&mut self, life: Life) -> Time {
        self.barred.insert(life);
        self.free_from(life)
    }

    /// It may have grants again: it was not removed.
    pub(super) fn unbar(&mut self, life: Life) {
        self.barred.remove(&life);
    }

    /// Whether it gets no grants.
    pub(super) fn is_barred(&self, life: Life) -> bool {
        self.barred.contains(&life)
    }

    fn free_from(&self, life: Life) -> Time {
        let granted = self.heard.get(&life).map_or(0, |heard| heard.until);
        granted.max(self.since.saturating_add(nanoseconds(LENGTH)))
    }

    /// Members that nothing was heard of for `limit`, who may be removed now.
    pub(super) fn silent(&self, map: &Map, me: NodeId, now: Time, limit: Duration) -> Vec<Life> {
        let life = |(node, member): (&NodeId, &super::super::node::Member)| Life {
            node: *node,
            incarnation: member.incarnation,
        };
        let is_silent = |life: &Life| {
            let heard = self.heard.get(life).map_or(self.since, |heard| heard.at);
            let silent = now >= heard.saturating_add(nanoseconds(limit));
            life.node != me && silent && now > self.free_from(*life)
        };
        map.members.iter().map(life).filter(is_silent).collect()
    }

    /// Whether a member was heard of within `limit`.
    pub(super) fn is_heard(&self, life: Life, now: Time, limit: Duration) -> bool {
        let heard = self.heard.get(&life);
        heard.is_some_and(|heard| now < heard.at.saturating_add(nanoseconds(limit)))
    }

    /// Forgets those who are members no more. Whoever has become one has been heard of just now, and so
    /// has, for all that is known, who was one when this node began to lead, but for the leader of
    /// before.
    pub(super) fn meet(&mut self, map: &Map, now: Time) {
        let before = self.before.take();
        let at = |node| before.filter(|(leader, _)| *leader == node).map_or(now, |(_, at)| at);
        let is_member = |life: &Life| {
            map.members.get(&life.node).is_some_and(|m| m.incarnation == life.incarnation)
        };
        self.heard.retain(|life, _| is_member(life));
        self.barred.retain(is_member);
        for (node, member) in &map.members {
            let life = Life { node: *node, incarnation: member.incarnation };
            self.heard.entry(life).or_insert_with(|| Heard { at: at(*node), until: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::change::{Change, Verdict};
    use super::super::super::lease::REMOVAL;
    use super::super::super::node::Endpoint;
    use super::*;

    const SECOND: Time = 1_000_000_000;

    fn life(number: u32) -> Life {
        Life { node: NodeId::from(number), incarnation: 1 }
    }

    fn map(count: u32) -> Map {
        let mut map = Map::default();
        for number in 1..=count {
            let ip = std::net::Ipv4Addr::LOCALHOST.into();
            let endpoint =
                Endpoint { ip, hostname: String::new(), port: 1, tls_port: 0, bus_port: 2 };
            let (life, zone) = (life(number), String::new());
            let join = Change::Join { life, endpoint, weight: 1, zone, seen: 0 };
            assert_eq!(map.apply(join), Verdict::Done);
        }
        map
    }

    fn confirm(grants: &mut Grants, term: u64, asked: Time, now: Time) {
        grants.lead(term, None, 0, now);
        grants.confirmed(asked);
    }

    #[test]
    fn a_grant_ends_with_what_the_quorum_confirmed() {
        let map = map(2);
        let mut grants = Grants::default();
        grants.lead(3, None, 7, 10 * SECOND);
        assert!(!grants.knows_all(6) && grants.knows_all(7));
        assert_eq!(grants.grant(life(1), &map, 10 * SECOND), Granted::NotNow, "no quorum yet");
        confirm(&mut grants, 3, 11 * SECOND, 11 * SECOND + 5);
        let end = 11 * SECOND + nanoseconds(LENGTH);
        assert_eq!(grants.grant(life(1), &map, 12 * SECOND), Granted::Until(end));
        assert_eq!(grants.grant(life(1), &map, end), Granted::NotNow, "the quorum is too old");
        assert_eq!(grants.grant(life(9), &map, 12 * SECOND), Granted::Out);
        let older = Life { incarnation: 0, ..life(1) };
        let newer = Life { incarnation: 2, ..life(1) };
        assert_eq!(grants.grant(older, &map, 12 * SECOND), Granted::Out);
        assert_eq!(grants.grant(newer, &map, 12 * SECOND), Granted::NotNow, "it is about to come");
    }

    #[test]
    fn nobody_is_removed_within_a_lease() {
        let map = map(3);
        let me = NodeId::from(1);
        let mut grants = Grants::default();
        let start = 100 * SECOND;
        confirm(&mut grants, 1, start, start);
        let removal = nanoseconds(REMOVAL);
        assert!(grants.silent(&map, me, start + removal - 1, REMOVAL).is_empty());
        let late = start + removal - 10;
        confirm(&mut grants, 1, late, late);
        let Granted::Until(until) = grants.grant(life(2), &map, late) else { panic!() };
        assert_eq!(grants.silent(&map, me, start + removal, REMOVAL), [life(3)]);
        assert_eq!(grants.silent(&map, me, late + removal, REMOVAL), [life(2), life(3)]);
        assert!(late + removal > until);
        // Whoever is to be removed before its time waits for its grant to end, and gets no other.
        assert_eq!(grants.bar(life(2)), until);
        assert_eq!(grants.grant(life(2), &map, late + 1), Granted::NotNow);
        grants.unbar(life(2));
        assert_eq!(grants.grant(life(2), &map, late + 1), Granted::Until(until));
    }

    #[test]
    fn who_has_just_come_is_not_silent() {
        let (me, removal) = (NodeId::from(1), nanoseconds(REMOVAL));
        let mut grants = Grants::default();
        confirm(&mut grants, 1, 0, 0);
        grants.meet(&map(1), 0);
        grants.meet(&map(2), 100 * SECOND);
        assert!(grants.silent(&map(2), me, 100 * SECOND, REMOVAL).is_empty());
        grants.meet(&map(2), 101 * SECOND);
        assert_eq!(grants.silent(&map(2), me, 100 * SECOND + removal, REMOVAL), [life(2)]);
    }

    #[test]
    fn a_new_term_knows_nothing_of_grants_of_before() {
        let map = map(2);
        let mut grants = Grants::default();
        confirm(&mut grants, 1, SECOND, SECOND);
        grants.grant(life(2), &map, SECOND);
        confirm(&mut grants, 5, 20 * SECOND, 20 * SECOND);
        assert_eq!(grants.term, 5);
        assert_eq!(grants.bar(life(2)), 20 * SECOND + nanoseconds(LENGTH));
    }

    #[test]
    fn the_leader_of_before_was_heard_earlier_but_may_have_a_lease() {
        let (map, me) = (map(3), NodeId::from(1));
        let (start, length) = (10 * SECOND, nanoseconds(LENGTH));
        let mut grants = Grants::default();
        grants.lead(2, Some((NodeId::from(2), start - SECOND)), 0, start);
        grants.meet(&map, start);
        assert!(grants.silent(&map, me, start + length, REMOVAL).is_empty(), "its lease");
        assert_eq!(grants.silent(&map, me, start + length + 1, REMOVAL), [life(2)]);
        // It is there after all.
        grants.grant(life(2), &map, start + SECOND);
        assert!(grants.silent(&map, me, start + length + 1, REMOVAL).is_empty());
        // Who comes back later is not mistaken for it.
        grants.meet(&self::map(1), start + SECOND);
        grants.meet(&map, start + 2 * SECOND);
        let removal = nanoseconds(REMOVAL);
        assert!(grants.silent(&map, me, start + 2 * SECOND + removal - 1, REMOVAL).is_empty());
    }

    #[test]
    fn who_was_away_does_not_call_others_silent() {
        let map = map(2);
        let me = NodeId::from(1);
        let mut grants = Grants::default();
        confirm(&mut grants, 1, 0, 0);
        for second in 0..10 {
            grants.wake(second * SECOND / 2, Duration::from_secs(1));
        }
        assert_eq!(grants.silent(&map, me, 5 * SECOND, REMOVAL), [life(2)]);
        grants.wake(50 * SECOND, Duration::from_secs(1));
        assert!(grants.silent(&map, me, 50 * SECOND, REMOVAL).is_empty());
    }
}
