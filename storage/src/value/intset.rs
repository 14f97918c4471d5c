//! Intset: a set of integers, sorted, each as wide as the widest needs, byte for byte as Redis keeps
//! it.
//!
//! ```text
//! | width u32 LE: 2, 4 or 8 | members u32 LE | member | member | ... ascending, little-endian
//! ```
//!
//! A member that does not fit makes all members wider; they never become narrower again.

use std::cmp::Ordering;

/// Bytes before the first member.
const HEADER: usize = 8;

/// How wide the members are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    Two = 2,
    Four = 4,
    Eight = 8,
}

impl Width {
    fn of(value: i64) -> Self {
        if i16::try_from(value).is_ok() {
            Width::Two
        } else if i32::try_from(value).is_ok() {
            Width::Four
        } else {
            Width::Eight
        }
    }
}

/// An intset, as readers see it.
#[derive(Clone, Copy, Debug)]
pub struct Intset<'a>(&'a [u8]);

impl<'a> Intset<'a> {
    /// Reads `bytes`, which [`IntsetBuf`] made or [`Intset::validate`] accepted.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Intset(bytes)
    }

    /// Looks through bytes of unknown origin: the header must fit their length, and the members
    /// must ascend.
    #[must_use]
    pub fn validate(bytes: &'a [u8]) -> Option<Self> {
        let (header, members) = bytes.split_first_chunk::<HEADER>()?;
        let [width @ (2 | 4 | 8), 0, 0, 0, a, b, c, d] = *header else { return None };
        let count = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        if count.checked_mul(width.into())? != members.len() {
            return None;
        }
        let set = Intset(bytes);
        set.iter().is_sorted_by(|a, b| a < b).then_some(set)
    }

    /// The bytes, header included.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// How many members there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.members().len() / self.width() as usize
    }

    /// True if there are no members.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.members().is_empty()
    }

    /// True if `value` is a member.
    #[must_use]
    pub fn contains(self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// Member number `index` in ascending order.
    #[must_use]
    pub fn get(self, index: usize) -> Option<i64> {
        match self.width() {
            Width::Two => self.cells().get(index).map(|cell| i16::from_le_bytes(*cell).into()),
            Width::Four => self.cells().get(index).map(|cell| i32::from_le_bytes(*cell).into()),
            Width::Eight => self.cells().get(index).map(|cell| i64::from_le_bytes(*cell)),
        }
    }

    /// The smallest member.
    #[must_use]
    pub fn min(self) -> Option<i64> {
        self.get(0)
    }

    /// The largest member.
    #[must_use]
    pub fn max(self) -> Option<i64> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The members in ascending order.
    pub fn iter(
        self,
    ) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone + use<'a> {
        (0..self.len()).map(move |index| self.get(index).unwrap_or_default())
    }

    /// Where `value` is, or where it would be.
    fn search(self, value: i64) -> Result<usize, usize> {
        match self.width() {
            Width::Two => search(self.cells(), |cell| i16::from_le_bytes(cell).into(), value),
            Width::Four => search(self.cells(), |cell| i32::from_le_bytes(cell).into(), value),
            Width::Eight => search(self.cells(), i64::from_le_bytes, value),
        }
    }

    fn width(self) -> Width {
        match self.0.first() {
            Some(8) => Width::Eight,
            Some(4) => Width::Four,
            _ => Width::Two,
        }
    }

    fn members(self) -> &'a [u8] {
        self.0.get(HEADER..).unwrap_or_default()
    }

    /// The members, each of `N` bytes.
    fn cells<const N: usize>(self) -> &'a [[u8; N]] {
        self.members().as_chunks().0
    }
}

/// Where `value` is among `cells`, or would be. Most additions go to an end, so the ends are looked
/// at first.
fn search<const N: usize>(
    cells: &[[u8; N]],
    read: impl Fn([u8; N]) -> i64,
    value: i64,
) -> Result<usize, usize> {
    match cells {
        [] => return Err(0),
        [first, ..] if value < read(*first) => return Err(0),
        [.., last] if value > read(*last) => return Err(cells.len()),
        _ => {}
    }
    cells.binary_search_by(|cell| -> Ordering { read(*cell).cmp(&value) })
}

/// An intset of one's own.
#[derive(Clone, Debug)]
pub struct IntsetBuf(Vec<u8>);

impl Default for IntsetBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl IntsetBuf {
    /// An empty intset.
    #[must_use]
    pub fn new() -> Self {
        Self::with_width(Width::Two, 0)
    }

    /// Takes over bytes that are known to be good, as [`Intset::new`] does.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        IntsetBuf(bytes)
    }

    /// The bytes, header included.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The view to read it through.
    #[must_use]
    pub fn view(&self) -> Intset<'_> {
        Intset::new(&self.0)
    }

    /// Adds a member; false if it was there.
    pub fn add(&mut self, value: i64) -> bool {
        let width = self.view().width();
        if Width::of(value) > width {
            self.widen(value);
            return true;
        }
        let Err(index) = self.view().search(value) else { return false };
        let at = HEADER + index * width as usize;
        let end = self.0.len();
        self.0.resize(end + width as usize, 0);
        self.0.copy_within(at..end, at + width as usize);
        let bytes = &value.to_le_bytes()[..width as usize];
        self.0[at..at + width as usize].copy_from_slice(bytes);
        self.write_len();
        true
    }

    /// Takes a member out; false if it was not there.
    pub fn remove(&mut self, value: i64) -> bool {
        let Ok(index) = self.view().search(value) else { return false };
        let width = self.view().width() as usize;
        let at = HEADER + index * width;
        self.0.drain(at..at + width);
        self.write_len();
        true
    }

    /// Adds a member that does not fit the width, so it is smaller or larger than all others.
    fn widen(&mut self, value: i64) {
        let width = Width::of(value);
        let mut wide = Self::with_width(width, self.view().len() + 1);
        let (before, after) = if value < 0 { (Some(value), None) } else { (None, Some(value)) };
        for member in before.into_iter().chain(self.view().iter()).chain(after) {
            wide.0.extend_from_slice(&member.to_le_bytes()[..width as usize]);
        }
        wide.write_len();
        *self = wide;
    }

    /// An empty intset with room for `members`.
    fn with_width(width: Width, members: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER + members * width as usize);
        bytes.extend_from_slice(&[width as u8, 0, 0, 0, 0, 0, 0, 0]);
        IntsetBuf(bytes)
    }

    /// Brings the count in the header up to date.
    fn write_len(&mut self) {
        let len = u32::try_from(self.view().len()).expect("thresholds keep intsets small");
        self.0[4..HEADER].copy_from_slice(&len.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn check(set: &IntsetBuf, model: &BTreeSet<i64>) {
        let view = set.view();
        assert!(Intset::validate(view.as_bytes()).is_some(), "what edits make is valid");
        assert_eq!(view.len(), model.len());
        assert_eq!(view.is_empty(), model.is_empty());
        assert!(view.iter().eq(model.iter().copied()));
        assert!(view.iter().rev().eq(model.iter().rev().copied()));
        assert_eq!(view.min(), model.first().copied());
        assert_eq!(view.max(), model.last().copied());
        assert_eq!(view.get(model.len()), None);
        for (index, value) in model.iter().enumerate() {
            assert!(view.contains(*value));
            assert_eq!(view.get(index), Some(*value));
            for near in [value.wrapping_sub(1), value.wrapping_add(1)] {
                assert_eq!(view.contains(near), model.contains(&near));
            }
        }
    }

    #[test]
    fn bytes_of_redis() {
        // What redis-server 7.0 dumps for SADD of these numbers, without the envelope.
        let cases: [(&[i64], &[u8]); 4] = [
            (&[5, 1, -3], b"\x02\0\0\0\x03\0\0\0\xfd\xff\x01\0\x05\0"),
            (&[1, -5, 70_000], b"\x04\0\0\0\x03\0\0\0\xfb\xff\xff\xff\x01\0\0\0p\x11\x01\0"),
            (&[1, i64::MIN], b"\x08\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\x80\x01\0\0\0\0\0\0\0"),
            (&[32_768, -32_769], b"\x04\0\0\0\x02\0\0\0\xff\x7f\xff\xff\0\x80\0\0"),
        ];
        for (members, wanted) in cases {
            let mut set = IntsetBuf::default();
            for member in members {
                assert!(set.add(*member));
                assert!(!set.add(*member));
            }
            assert_eq!(set.view().as_bytes(), wanted);
        }
    }

    #[test]
    fn widths_only_grow() {
        let mut set = IntsetBuf::new();
        let mut model = BTreeSet::new();
        for value in [0, 32_767, -32_768, 32_768, -1, 2_147_483_648, 7, i64::MIN, i64::MAX] {
            assert!(set.add(value) && model.insert(value));
            check(&set, &model);
        }
        for value in [i64::MAX, i64::MIN, 2_147_483_648, 32_768] {
            assert!(set.remove(value) && model.remove(&value));
            assert!(!set.remove(value));
            check(&set, &model);
        }
        assert_eq!(set.view().as_bytes()[0], 8);
        for value in model.clone() {
            assert!(set.remove(value) && model.remove(&value));
        }
        check(&set, &model);
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let cases: &[&[u8]] = &[
            b"",
            b"\x02\0\0\0\0\0\0",                             // header cut off
            b"\x03\0\0\0\0\0\0\0",                           // no such width
            b"\x02\x01\0\0\0\0\0\0",                         // no such width
            b"\x02\0\0\0\x01\0\0\0",                         // member missing
            b"\x02\0\0\0\x01\0\0\0\x01",                     // half a member
            b"\x02\0\0\0\x01\0\0\0\x01\0\x02\0",             // one too many
            b"\x02\0\0\0\x02\0\0\0\x01\0\x01\0",             // twice the same
            b"\x02\0\0\0\x02\0\0\0\x01\0\xff\xff",           // not ascending
            b"\x08\0\0\0\xff\xff\xff\xff\x01\0\0\0\0\0\0\0", // 32 gigabytes
        ];
        for bytes in cases {
            assert!(Intset::validate(bytes).is_none(), "{bytes:?}");
        }
    }

    fn value() -> impl Strategy<Value = i64> {
        prop_oneof![
            4 => any::<i8>().prop_map(i64::from),
            2 => any::<i16>().prop_map(i64::from),
            1 => any::<i32>().prop_map(i64::from),
            1 => any::<i64>(),
        ]
    }

    proptest! {
        #[test]
        fn edits_agree_with_a_set(edits in proptest::collection::vec((any::<bool>(), value()), 0..80)) {
            let mut set = IntsetBuf::new();
            let mut model = BTreeSet::new();
            for (add, value) in edits {
                if add {
                    prop_assert_eq!(set.add(value), model.insert(value));
                } else {
                    prop_assert_eq!(set.remove(value), model.remove(&value));
                }
                check(&set, &model);
            }
        }

        #[test]
        fn any_bytes_are_judged(
            width in prop_oneof![Just(2_u8), Just(4), Just(8), any::<u8>()],
            count in 0_u8..6,
            members in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = vec![width, 0, 0, 0, count, 0, 0, 0];
            bytes.extend(members);
            if let Some(set) = Intset::validate(&bytes) {
                check(&IntsetBuf::from_bytes(bytes.clone()), &set.iter().collect());
            }
        }
    }
}
