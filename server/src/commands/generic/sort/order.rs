//! The order of the elements.

use super::options::Options;
use super::pattern::{Found, Pattern};
use crate::commands::collection::Reader;
use crate::commands::error::ReplyError;
use dunlin_protocol::number;
use dunlin_storage::Object;
use dunlin_storage::value::list::{Item, ListRef};
use dunlin_storage::value::listpack::Element;
use dunlin_storage::value::set::SetRef;
use dunlin_storage::value::sorted_set::SortedSetRef;
use std::borrow::Cow;
use std::cmp::Ordering;

const NOT_NUMBERS: ReplyError =
    ReplyError::new("ERR One or more scores can't be converted into double");

/// What can be sorted.
#[derive(Clone, Copy)]
pub(super) enum Collection<'r> {
    List(ListRef<'r>),
    Set(SetRef<'r>),
    SortedSet(SortedSetRef<'r>),
}

/// An element and what it is sorted by.
pub(super) struct Row<'r> {
    pub(super) element: Cow<'r, [u8]>,
    /// As a number.
    score: f64,
    /// As a text, if it is not the element itself.
    text: Option<Cow<'r, [u8]>>,
}

/// The text of an element.
pub(super) fn text(element: Element<'_>) -> Cow<'_, [u8]> {
    match element {
        Element::Bytes(bytes) => Cow::Borrowed(bytes),
        Element::Int(_) => Cow::Owned(element.to_vec()),
    }
}

fn item_text(item: Item<'_>) -> Cow<'_, [u8]> {
    match item {
        Item::Packed(element) => text(element),
        Item::Plain(bytes) => Cow::Borrowed(bytes),
    }
}

fn row(element: Cow<'_, [u8]>) -> Row<'_> {
    Row { element, score: 0.0, text: None }
}

impl<'r> Collection<'r> {
    /// The collection in an object.
    pub(super) fn of(object: &'r Object) -> Self {
        match object {
            Object::List(list) => Collection::List(list.view()),
            Object::Set(set) => Collection::Set(set.view()),
            Object::SortedSet(set) => Collection::SortedSet(set.view()),
            Object::Hash(_) | Object::Stream(_) => unreachable!("the kind was looked at"),
        }
    }

    fn len(self) -> usize {
        match self {
            Collection::List(list) => list.len(),
            Collection::Set(set) => set.len(),
            Collection::SortedSet(set) => set.len(),
        }
    }

    fn rows(self) -> Vec<Row<'r>> {
        match self {
            Collection::List(list) => list.iter().map(|item| row(item_text(item))).collect(),
            Collection::Set(set) => set.iter().map(|member| row(text(member))).collect(),
            Collection::SortedSet(set) => set.iter().map(|(member, _)| row(text(member))).collect(),
        }
    }

    /// The elements that are asked for in the collection's own order. A set has none, and so none
    /// from its end.
    fn unsorted(self, options: &Options<'_>) -> Vec<Row<'r>> {
        let len = self.len();
        let range = options.range(len);
        if !options.descending {
            return match self {
                Collection::List(list) => {
                    list.range(range).map(|item| row(item_text(item))).collect()
                }
                Collection::SortedSet(set) => {
                    set.range(range).map(|(member, _)| row(text(member))).collect()
                }
                Collection::Set(set) => {
                    let members = set.iter().skip(range.start).take(range.len());
                    members.map(|member| row(text(member))).collect()
                }
            };
        }
        let mirrored = len - range.end..len - range.start;
        match self {
            Collection::List(list) => {
                list.range(mirrored).rev().map(|item| row(item_text(item))).collect()
            }
            Collection::SortedSet(set) => {
                set.range(mirrored).rev().map(|(member, _)| row(text(member))).collect()
            }
            Collection::Set(set) => {
                let members = set.iter().skip(range.start).take(range.len());
                members.map(|member| row(text(member))).collect()
            }
        }
    }
}

/// The elements that are asked for, in the order that is asked for.
pub(super) fn sorted<'r, 'g: 'r>(
    reader: &Reader<'r, 'g>,
    collection: Collection<'r>,
    options: &Options<'_>,
) -> Result<Vec<Row<'r>>, ReplyError> {
    // Members of a set that are stored, or given to a script, without being sorted would come in an
    // order that means nothing; Redis sorts them as texts.
    let needs_order = options.store.is_some() || options.in_script;
    let is_ordered = needs_order && matches!(collection, Collection::Set(_));
    if options.keep_order && !is_ordered {
        return Ok(collection.unsorted(options));
    }
    let by = options.by.as_ref().filter(|_| !options.keep_order);
    let alpha = options.alpha || options.keep_order;
    let mut rows = collection.rows();
    weigh(reader, &mut rows, by, alpha)?;
    let store = options.store.is_some();
    let compare: &dyn Fn(&Row<'_>, &Row<'_>) -> Ordering = match (alpha, by) {
        // Of equal weights the elements decide.
        (false, _) => &|a, b| a.score.total_cmp(&b.score).then_with(|| a.element.cmp(&b.element)),
        (true, None) => &|a, b| compare_texts(&a.element, &b.element, store),
        (true, Some(_)) => &|a, b| match (&a.text, &b.text) {
            (Some(a), Some(b)) => compare_texts(a, b, store),
            (a, b) => a.is_some().cmp(&b.is_some()),
        },
    };
    match options.descending {
        true => rows.sort_by(|a, b| compare(b, a)),
        false => rows.sort_by(compare),
    }
    let range = options.range(rows.len());
    rows.truncate(range.end);
    rows.drain(..range.start);
    Ok(rows)
}

/// Looks up what the elements are sorted by.
fn weigh<'r, 'g: 'r>(
    reader: &Reader<'r, 'g>,
    rows: &mut [Row<'r>],
    by: Option<&Pattern<'_>>,
    alpha: bool,
) -> Result<(), ReplyError> {
    let mut numbers = true;
    for row in rows {
        let Some(by) = by else {
            if !alpha {
                numbers &= set_score(&mut row.score, &row.element);
            }
            continue;
        };
        // What has no weight is 0, or before all texts.
        let Some(found) = by.lookup(reader, &row.element)? else { continue };
        let weight = Found::into_cow(found);
        if alpha {
            row.text = Some(weight);
        } else {
            numbers &= set_score(&mut row.score, &weight);
        }
    }
    if numbers { Ok(()) } else { Err(NOT_NUMBERS) }
}

/// The number that a text is, read as C's `strtod` does, which skips spaces before it, takes nothing
/// for 0 and stops at a NUL; false if it is none.
fn set_score(score: &mut f64, text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let text = &text[..end];
    if text.is_empty() {
        return true;
    }
    let digits = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'));
    match digits.and_then(|start| number::parse_f64(&text[start..])) {
        Some(value) => {
            // Both zeros are one.
            *score = value + 0.0;
            true
        }
        None => false,
    }
}

/// The order of two texts. What is only replied ends at a NUL for C's `strcoll`; what is stored has
/// an order of its own, in which all bytes count.
fn compare_texts(a: &[u8], b: &[u8], store: bool) -> Ordering {
    if store {
        return a.cmp(b);
    }
    fn until_nul(text: &[u8]) -> &[u8] {
        &text[..text.iter().position(|byte| *byte == 0).unwrap_or(text.len())]
    }
    until_nul(a).cmp(until_nul(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_strtod_reads_them() {
        let score = |text: &[u8]| {
            let mut score = 0.0;
            set_score(&mut score, text).then_some(score)
        };
        assert_eq!(score(b"1.5"), Some(1.5));
        assert_eq!(score(b""), Some(0.0));
        assert_eq!(score(b" \t\n1e3"), Some(1000.0));
        assert_eq!(score(b"2\0x"), Some(2.0));
        assert_eq!(score(b"-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(score(b"-0").map(f64::is_sign_negative), Some(false));
        for text in [&b" "[..], b"x", b"1 ", b"1x", b"nan", b"1e999"] {
            assert_eq!(score(text), None, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn only_stored_texts_go_on_after_a_nul() {
        assert_eq!(compare_texts(b"a\0b", b"a\0c", false), Ordering::Equal);
        assert_eq!(compare_texts(b"a\0b", b"a\0c", true), Ordering::Less);
        assert_eq!(compare_texts(b"a", b"a\0", false), Ordering::Equal);
        assert_eq!(compare_texts(b"B", b"a", false), Ordering::Less);
    }
}
