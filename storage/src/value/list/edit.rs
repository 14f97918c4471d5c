//! What changes a quicklist. Where nodes are split and joined follows Redis, because payloads of
//! DUMP and the way back to the small form show it.

use std::ops::Range;

use bytes::Bytes;

use super::node::Node;
use super::quicklist::{Quicklist, Spot};
use super::{End, Limits, Side, seek};
use crate::value::listpack::ListpackBuf;

impl Quicklist {
    pub(super) fn push(&mut self, end: End, element: &[u8], limits: &Limits) {
        let Some(spot) = self.end(end) else {
            return self.push_node(end, Node::of(element, limits));
        };
        let is_added = self.change(spot, |node| match node.with_room(element.len(), limits) {
            Some(list) if end == End::Head => {
                list.push_front(element);
                true
            }
            Some(list) => {
                list.push(element);
                true
            }
            None => false,
        });
        if !is_added {
            self.change(spot, Node::tidy);
            self.push_node(end, Node::of(element, limits));
        }
    }

    /// Adds an element beside the one at `index`.
    pub(super) fn insert(&mut self, index: usize, side: Side, element: &[u8], limits: &Limits) {
        let Some((spot, at)) = self.locate(index) else { return };
        if self.insert_into(spot, at + usize::from(side == Side::After), element, limits) {
            return;
        }
        let len = self.node(spot).map_or(0, Node::len);
        let neighbour = match side {
            Side::Before if at == 0 => self.previous(spot),
            Side::After if at + 1 == len => self.next(spot),
            _ => return self.insert_apart(spot, at, side, element, limits),
        };
        // At the edge of a full node: into the neighbour, or a new node in between.
        let edge = if side == Side::Before { usize::MAX } else { 0 };
        if neighbour.is_none_or(|spot| !self.insert_into(spot, edge, element, limits)) {
            self.insert_beside(spot, side, Node::of(element, limits));
        }
    }

    /// Adds an element at an index in a node, or at its end if that is too far, if there is room.
    fn insert_into(&mut self, spot: Spot, at: usize, element: &[u8], limits: &Limits) -> bool {
        self.change(spot, |node| {
            let Some(list) = node.with_room(element.len(), limits) else { return false };
            let position = seek(list, at).unwrap_or(list.view().end());
            list.insert(position, element);
            true
        })
    }

    /// Adds an element in the middle of a full node, which is split there.
    fn insert_apart(&mut self, spot: Spot, at: usize, side: Side, element: &[u8], limits: &Limits) {
        let middle = at + usize::from(side == Side::After);
        let Some(mut right) = self.split(spot, middle) else { return };
        if limits.is_plain(element.len()) {
            let new = self.insert_beside(spot, Side::After, Node::of(element, limits));
            self.insert_beside(new, Side::After, Node::Packed(right));
            return;
        }
        // The element goes to the half that the other element is not in.
        match side {
            Side::After => right.push_front(element),
            Side::Before => self.change(spot, |node| {
                if let Node::Packed(left) = node {
                    left.push(element);
                }
            }),
        }
        let right = self.insert_beside(spot, Side::After, Node::Packed(right));
        // Both halves may have become small enough for their neighbours. Redis looks from the half
        // with the other element.
        let center = match side {
            Side::After => self.previous(right).unwrap_or(right),
            Side::Before => right,
        };
        self.join_around(center, limits);
    }

    /// Takes the elements from an index on out of a node of several.
    fn split(&mut self, spot: Spot, at: usize) -> Option<ListpackBuf> {
        self.change(spot, |node| match node {
            Node::Packed(left) => {
                let position = seek(left, at)?;
                let right = left.split_off(position);
                left.shrink_to_fit();
                Some(right)
            }
            Node::Plain(_) => None,
        })
    }

    /// Adds a node beside another one, and tells where it is.
    fn insert_beside(&mut self, spot: Spot, side: Side, node: Node) -> Spot {
        match side {
            Side::Before => self.insert_node(spot, node),
            Side::After => self.insert_node(spot.behind(), node),
        }
    }

    /// Joins nodes around one that has changed: the two on its left, the two on its right, then it
    /// with what is beside it now.
    fn join_around(&mut self, center: Spot, limits: &Limits) {
        let mut center = center;
        if let Some(left) = self.previous(center)
            && let Some(far) = self.previous(left)
            && self.join(far, limits)
        {
            // A node less on the left: the center has moved, or the block before has shrunk.
            center = self.next(far).unwrap_or(far);
        }
        if let Some(right) = self.next(center) {
            self.join(right, limits);
        }
        if let Some(left) = self.previous(center)
            && self.join(left, limits)
        {
            center = left;
        }
        self.join(center, limits);
    }

    /// Joins a node with the one on its right, if the two fit into one. It keeps its place.
    fn join(&mut self, left: Spot, limits: &Limits) -> bool {
        let Some(next) = self.next(left) else { return false };
        let can_join = match (self.node(left), self.node(next)) {
            (Some(one), Some(two)) => one.can_join(two, limits),
            _ => false,
        };
        if !can_join {
            return false;
        }
        let (Node::Packed(right), _) = self.remove_node(next) else { return false };
        self.change(left, |node| {
            if let Node::Packed(left) = node {
                left.append(right.view());
            }
        });
        true
    }

    /// Puts an element in the place of the one at `index`.
    pub(super) fn set(&mut self, index: usize, element: &[u8], limits: &Limits) {
        let Some((spot, at)) = self.locate(index) else { return };
        let is_plain = limits.is_plain(element.len());
        let stays = self.change(spot, |node| match node {
            Node::Packed(list) if !is_plain => {
                if let Some(position) = seek(list, at) {
                    list.replace(position, element);
                }
                true
            }
            Node::Plain(bytes) if is_plain => {
                *bytes = Bytes::copy_from_slice(element);
                true
            }
            node @ Node::Plain(_) => {
                *node = Node::of(element, limits);
                false
            }
            Node::Packed(_) => false,
        });
        if stays {
            return;
        }
        let center = if is_plain { self.set_apart(spot, at, element, limits) } else { spot };
        self.join_around(center, limits);
    }

    /// Puts a large element in the place of a packed one; where the new node is.
    fn set_apart(&mut self, spot: Spot, at: usize, element: &[u8], limits: &Limits) -> Spot {
        let new = Node::of(element, limits);
        if self.node(spot).is_some_and(|node| node.len() == 1) {
            self.change(spot, |node| *node = new);
            return spot;
        }
        // Whatever is added last is where it is said to be; others may have moved.
        let center = match self.split(spot, at + 1) {
            Some(right) => {
                let right = self.insert_beside(spot, Side::After, Node::Packed(right));
                self.insert_beside(right, Side::Before, new)
            }
            None => self.insert_beside(spot, Side::After, new),
        };
        let Some(left) = self.previous(center) else { return center };
        if at == 0 {
            let (_, center) = self.remove_node(left);
            return center.unwrap_or(left);
        }
        self.change(left, |node| {
            if let Node::Packed(list) = node
                && let Some(last) = list.view().last()
            {
                list.remove(last, 1);
            }
        });
        center
    }

    /// Removes a range of elements that is there.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        let mut left = range.len();
        let Some((spot, mut at)) = self.locate(range.start) else { return };
        let mut next = Some(spot);
        while let Some(spot) = next.filter(|_| left > 0) {
            let Some(len) = self.node(spot).map(Node::len) else { return };
            let going = left.min(len - at);
            if going == len {
                (_, next) = self.remove_node(spot);
            } else {
                self.change(spot, |node| {
                    if let Node::Packed(list) = node
                        && let Some(position) = seek(list, at)
                    {
                        list.remove(position, going);
                        node.tidy();
                    }
                });
                next = self.next(spot);
            }
            left -= going;
            at = 0;
        }
    }

    /// Removes the elements equal to `element`, at most `most` of them; how many those were.
    pub(super) fn remove_equal(&mut self, element: &[u8], from: End, most: usize) -> usize {
        let mut removed = 0;
        let mut next = self.end(from);
        while let Some(spot) = next.filter(|_| removed < most) {
            let before = removed;
            let is_empty = self.change(spot, |node| match node {
                Node::Packed(list) => {
                    removed += remove_equal(list, element, from, most - removed);
                    list.view().is_empty()
                }
                Node::Plain(bytes) => {
                    let is_equal = bytes == element;
                    removed += usize::from(is_equal);
                    is_equal
                }
            });
            next = match (is_empty, from) {
                (true, End::Head) => self.remove_node(spot).1,
                (true, End::Tail) => {
                    let previous = self.previous(spot);
                    self.remove_node(spot);
                    previous
                }
                (false, _) => {
                    if removed > before {
                        self.change(spot, Node::tidy);
                    }
                    if from == End::Head { self.next(spot) } else { self.previous(spot) }
                }
            };
        }
        removed
    }
}

/// Removes the elements of a listpack that are equal to `element`, at most `most` of them; how many
/// those were.
pub(super) fn remove_equal(
    list: &mut ListpackBuf,
    element: &[u8],
    from: End,
    most: usize,
) -> usize {
    let mut removed = 0;
    match from {
        End::Head => {
            let mut at = list.view().first();
            while removed < most
                && let Some(found) = at.and_then(|at| list.view().find(at, element, 0))
            {
                list.remove(found, 1);
                removed += 1;
                at = (found < list.view().end()).then_some(found);
            }
        }
        End::Tail => {
            let mut next = list.view().last();
            while removed < most
                && let Some(at) = next
            {
                next = list.view().prev(at);
                if list.view().element(at).eq_bytes(element) {
                    list.remove(at, 1);
                    removed += 1;
                }
            }
        }
    }
    removed
}
