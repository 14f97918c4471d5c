//! How many nodes Redis's radix tree of the blocks would have, which XINFO STREAM tells.
//!
//! The tree's keys are the binary forms of the blocks' bases. A node is a leaf (one per key), a
//! branch (where keys that were the same so far differ in the next byte) or a run (bytes between
//! those that all keys below have in common). The count is kept by asking, whenever a key comes or
//! goes, how many nodes the others have without it: a look at its neighbours.

use std::collections::BTreeMap;

use super::id::StreamId;

/// Bytes of a key.
const DEPTH: u32 = StreamId::BYTES as u32;
/// The root of an empty tree.
pub(super) const ROOT: u64 = 1;

/// How many nodes more the tree has with `key` than with the keys of `others` alone.
pub(super) fn added_nodes<T>(others: &BTreeMap<StreamId, T>, key: StreamId) -> u64 {
    let first_in = |from, to| others.range(from..=to).next().map(|(id, _)| *id);
    let last_in = |from, to| others.range(from..=to).next_back().map(|(id, _)| *id);
    let neighbours = [last_in(StreamId::MIN, key), first_in(key, StreamId::MAX)];
    let Some(fork) = neighbours.iter().flatten().map(|other| common(*other, key)).max() else {
        // The root becomes a run.
        return 1;
    };
    let leaf = 1 + run(fork + 1, DEPTH);
    // All keys that are like this one down to the fork, and what they have in common.
    let (low, high) = alike(key, fork);
    let (Some(first), Some(last)) = (first_in(low, high), last_in(low, high)) else { return leaf };
    let end = common(first, last);
    if end == fork {
        return leaf;
    }
    // The fork splits their run, which began after the branch above them.
    let outside = [
        low.prev().and_then(|below| last_in(StreamId::MIN, below)),
        high.next().and_then(|above| first_in(above, StreamId::MAX)),
    ];
    let start = outside.iter().flatten().map(|other| common(*other, first) + 1).max().unwrap_or(0);
    leaf + run(start, fork) + 1 + run(fork + 1, end) - run(start, end)
}

/// The node for the bytes from `start` to `end`, if there are any.
fn run(start: u32, end: u32) -> u64 {
    u64::from(start < end)
}

/// How many bytes two keys have in common; all, if they are the same.
fn common(one: StreamId, other: StreamId) -> u32 {
    let [one, other] = [one, other].map(|id| u128::from_be_bytes(id.to_bytes()));
    (one ^ other).leading_zeros() / u8::BITS
}

/// The least and the greatest key that begin with the first `length` bytes of `key`.
fn alike(key: StreamId, length: u32) -> (StreamId, StreamId) {
    let key = u128::from_be_bytes(key.to_bytes());
    let rest = u128::MAX.checked_shr(length * u8::BITS).unwrap_or(0);
    let id = |bytes: u128| StreamId::from_bytes(bytes.to_be_bytes());
    (id(key & !rest), id(key | rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of the subtree of `keys`, which are alike up to `depth`.
    fn nodes(keys: &[[u8; 16]], depth: usize) -> u64 {
        let first = keys[0];
        let common = (depth..16).find(|at| keys.iter().any(|key| key[*at] != first[*at]));
        let end = common.unwrap_or(16);
        let mut count = u64::from(end > depth) + 1;
        if end < 16 {
            let mut rest = keys;
            while let Some(next) = rest.first().map(|key| key[end]) {
                let (same, other) =
                    rest.split_at(rest.iter().take_while(|key| key[end] == next).count());
                count += nodes(same, end + 1);
                rest = other;
            }
        }
        count
    }

    #[test]
    fn nodes_come_and_go_with_keys() {
        let mut seed = 5_u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            (seed >> 33) % below
        };
        for spread in [2, 3, 16, 256] {
            let mut tree = BTreeMap::new();
            let mut count = ROOT;
            for _ in 0..800 {
                let mut half = || {
                    (0..8).fold(0, |id, at| id << 8 | if at % 3 == 0 { random(spread) } else { 7 })
                };
                let key = StreamId::new(half(), half());
                if tree.remove(&key).is_some() {
                    count -= added_nodes(&tree, key);
                } else if random(3) == 0 && !tree.is_empty() {
                    let at = random(tree.len() as u64) as usize;
                    let key = *tree.keys().nth(at).expect("fewer than there are");
                    tree.remove(&key);
                    count -= added_nodes(&tree, key);
                } else {
                    count += added_nodes(&tree, key);
                    tree.insert(key, ());
                }
                let keys: Vec<_> = tree.keys().map(|id| id.to_bytes()).collect();
                let wanted = if keys.is_empty() { ROOT } else { nodes(&keys, 0) };
                assert_eq!(count, wanted, "{keys:?}");
            }
        }
    }
}
