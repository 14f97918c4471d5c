//! What the prefixes of keys cost and bring: those used most, and all others together.
//!
//! Uses are estimates from samples, and a prefix may lose its place in the bounded tables, so all of
//! these are gauges.

use super::samples::{Figure, Samples};
use super::{Family, Scrape};
use crate::escape::escape;
use crate::insight::Prefix;

/// Most prefixes with a label of their own.
const MAX_PREFIX_LABELS: usize = 20;
/// The label of all others. A prefix of that name is written with quotes.
const OTHER: &str = "(other)";

pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("prefix_accesses", "Accesses to keys, by prefix (estimate).", |scrape, out| {
        each(scrape, out, |prefix| prefix.used.accesses.round().into());
    }),
    Family::gauge("prefix_hits", "Reads that found their key (estimate).", |scrape, out| {
        each(scrape, out, |prefix| prefix.used.hits.round().into());
    }),
    Family::gauge("prefix_misses", "Reads that did not (estimate).", |scrape, out| {
        each(scrape, out, |prefix| prefix.used.missed().round().into());
    }),
    Family::gauge("prefix_net", "Commands and replies, by prefix (estimate).", |scrape, out| {
        each(scrape, out, |prefix| prefix.used.net_bytes.round().into());
    })
    .bytes(),
    Family::gauge(
        "prefix_keys",
        "Keys, by prefix, when they were last walked by.",
        |scrape, out| {
            each(scrape, out, |prefix| prefix.size.keys.into());
        },
    ),
    Family::gauge("prefix_memory", "Memory of these keys.", |scrape, out| {
        each(scrape, out, |prefix| prefix.size.bytes.into());
    })
    .bytes(),
];

fn each(scrape: &Scrape, out: &mut Samples<'_>, of: fn(&Prefix) -> Figure) {
    let (prefixes, other) = scrape.server.insight.prefixes(scrape.server, MAX_PREFIX_LABELS);
    for prefix in &prefixes {
        out.of(("prefix", &label(&prefix.name)), of(prefix));
    }
    out.of(("prefix", OTHER), of(&other));
}

/// A prefix as a label: text, whatever its bytes are.
fn label(name: &[u8]) -> String {
    let mut text = Vec::new();
    escape(name, &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    if text == OTHER { format!("\"{text}\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_text_and_tell_prefixes_apart() {
        assert_eq!(label(b"user"), "user");
        assert_eq!(label(b"\xff\x00"), r"\xff\x00");
        assert_eq!(label(OTHER.as_bytes()), "\"(other)\"");
        assert_eq!(label(b""), "");
    }
}
