//! Doubly linked lists of keys, all in one arena: a key is in one list at most.

use crate::replay::trace::KeyId;

const NONE: KeyId = KeyId::MAX;

/// The links of all keys.
pub(super) struct Links {
    next: Vec<KeyId>,
    before: Vec<KeyId>,
}

/// A list: the newest at the front.
#[derive(Clone, Copy)]
pub(super) struct List {
    front: KeyId,
    back: KeyId,
    /// Sum of the weights in it.
    pub(super) weight: u64,
}

impl List {
    pub(super) fn new() -> Self {
        Self { front: NONE, back: NONE, weight: 0 }
    }

    pub(super) fn oldest(&self) -> Option<KeyId> {
        (self.back != NONE).then_some(self.back)
    }
}

impl Links {
    pub(super) fn new(keys: usize) -> Self {
        Self { next: vec![NONE; keys], before: vec![NONE; keys] }
    }

    pub(super) fn push(&mut self, list: &mut List, key: KeyId, weight: u32) {
        self.next[key as usize] = list.front;
        self.before[key as usize] = NONE;
        match list.front {
            NONE => list.back = key,
            front => self.before[front as usize] = key,
        }
        list.front = key;
        list.weight += u64::from(weight);
    }

    pub(super) fn remove(&mut self, list: &mut List, key: KeyId, weight: u32) {
        let (next, before) = (self.next[key as usize], self.before[key as usize]);
        match before {
            NONE => list.front = next,
            before => self.next[before as usize] = next,
        }
        match next {
            NONE => list.back = before,
            next => self.before[next as usize] = before,
        }
        list.weight -= u64::from(weight);
    }

    /// The key that came before this one, which is the next to go after it.
    pub(super) fn newer(&self, key: KeyId) -> Option<KeyId> {
        let before = self.before[key as usize];
        (before != NONE).then_some(before)
    }
}
