//! All elements of a table, one after the other.

use super::node::{Child, Node};

/// Iterator over the elements of a [`Dict`](super::Dict).
pub struct Iter<'a, T> {
    /// The rest of every node on the way to the current segment.
    path: Vec<std::slice::Iter<'a, Child<T>>>,
    segment: Option<hashbrown::hash_table::Iter<'a, T>>,
    left: usize,
}

impl<'a, T> Iter<'a, T> {
    pub(super) fn new(root: &'a Node<T>) -> Self {
        Iter { path: vec![root.children()], segment: None, left: root.len() }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(slot) = self.segment.as_mut().and_then(Iterator::next) {
                self.left -= 1;
                return Some(slot);
            }
            match self.path.last_mut()?.next() {
                Some(Child::Leaf(leaf)) => self.segment = Some(leaf.iter()),
                Some(Child::Branch(node)) => self.path.push(node.children()),
                None => {
                    self.path.pop();
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

impl<T> std::fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Iter({} left)", self.left)
    }
}
