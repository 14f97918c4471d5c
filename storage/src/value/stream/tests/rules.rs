//! Single rules, at their edges.

use super::*;

const LIMITS: Limits = Limits { node_max_bytes: 4096, node_max_entries: 100 };

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId::new(ms, seq)
}

fn add(log: &mut Log, new: NewId, fields: &[(&str, &str)]) -> Result<StreamId, AppendError> {
    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    log.append(new, fields, &LIMITS, 1000)
}

/// A log with entries `1-0` to `count-0`, three to a block.
fn numbered(count: u64) -> Log {
    let limits = Limits { node_max_entries: 3, ..LIMITS };
    let mut log = Log::default();
    for ms in 1..=count {
        let fields = [(&b"n"[..], &b"v"[..])].into_iter();
        let added = log.append(NewId::Exactly(id(ms, 0)), fields, &limits, 0);
        assert_eq!(added, Ok(id(ms, 0)));
    }
    log
}

#[test]
fn new_identifiers() {
    let mut log = Log::default();
    let fields = [("a", "b")];
    assert_eq!(add(&mut log, NewId::Exactly(StreamId::MIN), &fields), Err(AppendError::NotGreater));
    assert_eq!(add(&mut log, NewId::Time(0), &fields), Ok(id(0, 1)));
    assert_eq!(add(&mut log, NewId::Auto, &fields), Ok(id(1000, 0)));
    assert_eq!(add(&mut log, NewId::Auto, &fields), Ok(id(1000, 1)));
    assert_eq!(add(&mut log, NewId::Time(999), &fields), Err(AppendError::NotGreater));
    assert_eq!(add(&mut log, NewId::Exactly(id(1000, 1)), &fields), Err(AppendError::NotGreater));
    assert_eq!(add(&mut log, NewId::Time(2000), &fields), Ok(id(2000, 0)));
    assert_eq!(add(&mut log, NewId::Auto, &fields), Ok(id(2000, 1)), "the clock was set back");
    assert_eq!(add(&mut log, NewId::Exactly(id(3000, u64::MAX)), &fields), Ok(id(3000, u64::MAX)));
    assert_eq!(add(&mut log, NewId::Time(3000), &fields), Err(AppendError::NotGreater));
    assert_eq!(add(&mut log, NewId::Auto, &fields), Ok(id(3001, 0)));
    assert_eq!(add(&mut log, NewId::Exactly(StreamId::MAX), &fields), Ok(StreamId::MAX));
    assert_eq!(add(&mut log, NewId::Auto, &fields), Err(AppendError::Exhausted));
    let far: Vec<u64> = log.range(id(2, 0), StreamId::MAX).map(|entry| entry.id().ms).collect();
    assert_eq!(far, [1000, 1000, 2000, 2000, 3000, 3001, u64::MAX], "differences wrap");
}

#[test]
fn bytes_of_redis() {
    let mut log = Log::default();
    let entries: [(StreamId, &[(&str, &str)]); 4] = [
        (id(5, 1), &[("a", "1"), ("b", "x")]),
        (id(5, 2), &[("a", "300"), ("b", "")]),
        (id(6, 0), &[("c", "9")]),
        (id(7, 0), &[("a", "-1"), ("b", "y")]),
    ];
    for (new, fields) in entries {
        assert_eq!(add(&mut log, NewId::Exactly(new), fields), Ok(new));
    }
    assert!(log.delete(id(5, 2)));
    // What redis-server 7.0 dumps after the same commands.
    let wanted = b"N\0\0\0\x1f\0\x03\x01\x01\x01\x02\x01\x81a\x02\x81b\x02\0\x01\x02\x01\0\x01\0\
        \x01\x01\x01\x81x\x02\x05\x01\x03\x01\0\x01\x01\x01\xc1,\x02\x80\x01\x05\x01\0\x01\x01\x01\
        \xdf\xff\x02\x01\x01\x81c\x02\x09\x01\x06\x01\x02\x01\x02\x01\xdf\xff\x02\xdf\xff\x02\x81y\
        \x02\x05\x01\xff";
    let blocks: Vec<_> = log.blocks().collect();
    assert_eq!(blocks, [(id(5, 1), &wanted[..])]);
}

#[test]
fn blocks_end_at_their_limits() {
    let sizes = |limits: Limits, text: usize| {
        let mut log = Log::default();
        let value = vec![b'v'; text];
        for _ in 0..12 {
            let fields = [(&b"n"[..], &value[..])].into_iter();
            assert!(log.append(NewId::Auto, fields, &limits, 1).is_ok());
        }
        log.blocks().len()
    };
    let limits = |node_max_bytes, node_max_entries| Limits { node_max_bytes, node_max_entries };
    assert_eq!(sizes(limits(0, 0), 5000), 1);
    assert_eq!(sizes(limits(0, 5), 5000), 3);
    assert_eq!(sizes(limits(4096, 100), 1000), 3, "four to a block");
    assert_eq!(sizes(limits(4096, 100), 5000), 12, "too long for a block, and yet in one");
    assert_eq!(sizes(limits(1, 100), 1), 12);
}

#[test]
fn deleted_entries_count_for_a_full_block() {
    let mut log = numbered(2);
    assert!(log.delete(id(1, 0)) && !log.delete(id(1, 0)) && !log.delete(id(9, 9)));
    let limits = Limits { node_max_entries: 3, ..LIMITS };
    for ms in 3..=4 {
        let fields = [(&b"n"[..], &b"v"[..])].into_iter();
        assert!(log.append(NewId::Exactly(id(ms, 0)), fields, &limits, 0).is_ok());
    }
    let bases: Vec<u64> = log.blocks().map(|(base, _)| base.ms).collect();
    assert_eq!(bases, [1, 4]);
}

#[test]
fn trimming() {
    let trim = |keep, approximate, limit| {
        let mut log = numbered(10);
        let removed = log.trim(Trim { keep, approximate, limit });
        assert_eq!(log.len(), 10 - removed);
        assert_eq!(log.max_deleted_id(), StreamId::MIN, "trimming is not deleting");
        (removed, log.first_id().ms)
    };
    assert_eq!(trim(Keep::Last(10), false, 0), (0, 1));
    assert_eq!(trim(Keep::Last(8), false, 0), (2, 3));
    assert_eq!(trim(Keep::Last(8), true, 0), (0, 1));
    assert_eq!(trim(Keep::Last(5), true, 0), (3, 4));
    assert_eq!(trim(Keep::Last(0), false, 0), (10, 0));
    assert_eq!(trim(Keep::Last(0), true, 0), (10, 0));
    assert_eq!(trim(Keep::Last(0), true, 5), (3, 4));
    assert_eq!(trim(Keep::Last(0), true, 2), (0, 1));
    assert_eq!(trim(Keep::From(id(6, 0)), false, 0), (5, 6));
    assert_eq!(trim(Keep::From(id(6, 0)), true, 0), (3, 4));
    assert_eq!(trim(Keep::From(StreamId::MAX), true, 0), (10, 0));
    assert_eq!(trim(Keep::From(StreamId::MIN), false, 0), (0, 1));
}

#[test]
fn trimming_may_leave_a_block_without_live_entries() {
    let mut log = numbered(3);
    assert!(log.delete(id(3, 0)));
    let how = Trim { keep: Keep::From(id(3, 0)), approximate: false, limit: 0 };
    assert_eq!(log.trim(how), 2);
    assert_eq!((log.len(), log.blocks().len(), log.first_id()), (0, 1, StreamId::MIN));
    assert_eq!(log.top_id(), None);
    let (base, bytes) = log.blocks().next().expect("one block");
    let mut copy = Log::default();
    assert!(copy.restore_block(base, bytes.to_vec()));
    assert_eq!((copy.len(), copy.last_id()), (0, base));
    // Only the first may be like that.
    let later = id(5, 0);
    assert!(!copy.restore_block(later, bytes.to_vec()));
    let mut copy = numbered(1);
    assert!(!copy.restore_block(later, bytes.to_vec()));
}

#[test]
fn lags_as_redis_tells_them() {
    let mut log = numbered(5);
    let mut group = Group::new(StreamId::MIN, None);
    assert!(group.create_consumer(b"c", 0));
    let lag = |log: &Log, group: &Group| log.lag(group.last_id(), group.entries_read());
    assert_eq!(lag(&log, &group), Some(5));
    assert_eq!(group.deliver(&log, b"c", 1, false, 0), Some((id(1, 0), id(1, 0))));
    assert_eq!((group.entries_read(), lag(&log, &group)), (Some(1), Some(4)));
    group.deliver(&log, b"c", 2, false, 0);
    assert_eq!((group.entries_read(), lag(&log, &group)), (Some(3), Some(2)));

    // A deletion ahead: the lag is unknown. Beyond it, what was deleted counts as unread for ever.
    assert!(log.delete(id(4, 0)));
    assert_eq!(lag(&log, &group), None);
    group.deliver(&log, b"c", 0, false, 0);
    assert_eq!((group.entries_read(), lag(&log, &group)), (Some(4), Some(1)));

    // A group that begins in the middle does not know its place.
    let middle = Group::new(id(2, 0), None);
    assert_eq!(lag(&numbered(5), &middle), None);
    assert_eq!(lag(&numbered(5), &Group::new(id(1, 0), None)), Some(4));
    assert_eq!(lag(&numbered(5), &Group::new(id(5, 0), None)), Some(0));
    assert_eq!(lag(&numbered(5), &Group::new(id(9, 0), None)), None);
    assert_eq!(lag(&Log::default(), &middle), Some(0));

    let mut trimmed = numbered(5);
    trimmed.trim(Trim { keep: Keep::Last(2), approximate: false, limit: 0 });
    assert_eq!(lag(&trimmed, &Group::new(StreamId::MIN, None)), Some(2));
    trimmed.trim(Trim { keep: Keep::Last(0), approximate: false, limit: 0 });
    assert_eq!(lag(&trimmed, &Group::new(id(1, 0), None)), Some(0));
}

#[test]
fn memory_comes_back() {
    let mut groups = Groups::default();
    assert!(groups.insert(b"group", Group::new(StreamId::MIN, None)));
    let empty = groups.memory_usage();
    let log = numbered(500);
    groups.edit(b"group", |group| {
        assert!(group.create_consumer(b"a consumer with a long name", 0));
        assert!(group.create_consumer(b"another", 0));
        group.deliver(&log, b"another", 0, false, 0);
    });
    assert!(groups.memory_usage() > empty + 500 * 40);
    groups.edit(b"group", |group| {
        assert_eq!(group.remove_consumer(b"another"), Some(500));
        assert_eq!(group.remove_consumer(b"a consumer with a long name"), Some(0));
    });
    assert_eq!(groups.memory_usage(), empty);

    let mut log = log;
    let whole = log.memory_usage();
    log.trim(Trim { keep: Keep::Last(250), approximate: true, limit: 0 });
    assert!(log.memory_usage() < whole * 6 / 10);
    log.trim(Trim { keep: Keep::Last(0), approximate: true, limit: 0 });
    assert_eq!(log.memory_usage(), 0);
}

#[test]
fn malformed_blocks_are_refused() {
    let mut list = crate::value::listpack::ListpackBuf::new();
    let elements = [2, 1, 1, 7, 0, 2, 0, 0, 8, 4, 3, 1, 0, 8, 4, 0, 2, 0, 1, 7, 8, 6];
    elements.iter().for_each(|element| list.push(element.to_string().as_bytes()));
    let base = id(5, 0);
    let accepts = |list: &crate::value::listpack::ListpackBuf| {
        Log::default().restore_block(base, list.view().as_bytes().to_vec())
    };
    assert!(accepts(&list));
    assert!(!Log::default().restore_block(StreamId::MIN, list.view().as_bytes().to_vec()));
    let mut late = numbered(6);
    assert!(!late.restore_block(base, list.view().as_bytes().to_vec()), "not in order");
    let damages: [(usize, i64, &str); 15] = [
        (0, 3, "more live entries than there are"),
        (0, 1, "fewer live entries than there are"),
        (0, -1, "a negative count"),
        (1, 0, "a deleted entry that is not counted"),
        (2, 2, "more names than there are"),
        (2, i64::MAX, "more names than can be"),
        (4, 1, "no end of the head"),
        (5, 4, "unknown flags"),
        (5, 0, "names that are not there"),
        (6, -1, "before the base"),
        (9, 5, "a wrong number of elements"),
        (16, 0, "the same identifier twice"),
        (10, 2, "a deleted entry without its mark"),
        (18, i64::MAX, "more fields than can be"),
        (21, 7, "a wrong number of elements at the end"),
    ];
    for (at, value, damage) in damages {
        let mut damaged = list.clone();
        let position = damaged.view().seek(at as i64).expect("an element");
        damaged.replace_int(position, value);
        assert!(!accepts(&damaged), "{damage}");
    }
    for element in [0, 2, 5, 6, 9, 18] {
        let mut damaged = list.clone();
        let position = damaged.view().seek(element).expect("an element");
        damaged.replace(position, b"text");
        assert!(!accepts(&damaged), "text where a number belongs");
    }
    for cut in 0..elements.len() {
        let mut damaged = list.clone();
        let position = damaged.view().seek(cut as i64).expect("an element");
        damaged.remove(position, elements.len());
        assert!(!accepts(&damaged), "cut off after {cut} elements");
    }
}

#[test]
fn going_back_to_before_deleted_entries() {
    let mut log = numbered(2);
    assert!(log.delete(id(2, 0)));
    assert_eq!(log.set_id(id(1, 0), None, None), Err(SetIdError::BelowDeleted));
    assert_eq!(log.set_id(id(2, 0), None, Some(id(1, 0))), Ok(()));
    assert_eq!(log.set_id(id(1, 0), None, None), Ok(()));
    for seq in 5..9 {
        assert_eq!(add(&mut log, NewId::Exactly(id(1, seq)), &[("a", "b")]), Ok(id(1, seq)));
    }
    let mut copy = Log::default();
    for (base, bytes) in log.blocks() {
        assert!(copy.restore_block(base, bytes.to_vec()));
    }
    for mut log in [log, copy] {
        assert_eq!(log.range(id(1, 5), id(1, 6)).count(), 2);
        assert_eq!(log.range_back(id(1, 5), id(1, 6)).count(), 2);
        assert!(log.delete(id(1, 8)) && !log.delete(id(2, 0)));
        assert_eq!(log.top_id(), Some(id(1, 7)));
    }

    // With no live entry left, even the block is later than what comes.
    let mut log = numbered(3);
    assert!(log.delete(id(3, 0)));
    log.trim(Trim { keep: Keep::From(id(3, 0)), approximate: false, limit: 0 });
    assert_eq!(log.set_id(id(3, 0), None, Some(id(0, 1))), Ok(()));
    assert_eq!(log.set_id(id(0, 1), None, None), Ok(()));
    assert_eq!(add(&mut log, NewId::Time(0), &[("a", "b")]), Ok(id(0, 2)));
    assert!(log.get(id(0, 2)).is_some());
    assert_eq!(log.blocks().len(), 1);
}

/// Bytes that pass as a block can be read from both ends, changed and trimmed.
#[test]
fn damaged_blocks_are_judged() {
    let mut random = Random(77);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let log = numbered(1 + random.below(3));
        let (base, bytes) = log.blocks().next().expect("one block");
        let mut bytes = bytes.to_vec();
        for _ in 0..=random.below(2) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.below(256).to_le_bytes()[0];
        }
        let mut log = Log::default();
        if !log.restore_block(base, bytes) {
            continue;
        }
        accepted += 1;
        let forth: Vec<_> = log.range(StreamId::MIN, StreamId::MAX).map(read).collect();
        let mut back: Vec<_> = log.range_back(StreamId::MIN, StreamId::MAX).map(read).collect();
        back.reverse();
        assert_eq!(forth, back);
        assert_eq!(forth.len() as u64, log.len());
        assert!(log.last_id() >= forth.last().map_or(StreamId::MIN, |(id, _)| *id));
        if log.last_id() < StreamId::MAX {
            assert!(add(&mut log, NewId::Auto, &[("n", "v")]).is_ok());
        }
        for (id, _) in forth {
            assert!(log.delete(id));
        }
    }
    assert!(accepted > 500, "{accepted} were not refused");
}
