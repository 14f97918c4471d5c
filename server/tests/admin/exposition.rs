//! A strict reader of both text forms of metrics, written from their grammar: Prometheus's text
//! format 0.0.4 and OpenMetrics 1.0.

use std::collections::{BTreeMap, HashSet};

/// One line with a figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// The figures of one answer.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Kind by family.
    pub(crate) kinds: BTreeMap<String, String>,
    pub(crate) samples: Vec<Sample>,
}

impl Exposition {
    /// Reads a whole answer.
    ///
    /// # Errors
    /// The first line that is not allowed where it stands.
    pub(crate) fn read(text: &str, openmetrics: bool) -> Result<Exposition, String> {
        let mut found = Exposition::default();
        let (mut helped, mut typed) = (HashSet::new(), HashSet::new());
        let mut family = String::new();
        let mut series = HashSet::new();
        let body = if openmetrics {
            text.strip_suffix("# EOF\n").ok_or("it does not end with # EOF")?
        } else {
            text
        };
        if !body.ends_with('\n') {
            return Err("the last line is not ended".into());
        }
        for line in body.lines() {
            let wrong = |why: &str| format!("{why}: {line}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or(wrong("no help"))?;
                if !helped.insert(name.to_owned()) || help.is_empty() {
                    return Err(wrong("help twice, or empty"));
                }
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or(wrong("no type"))?;
                if !typed.insert(name.to_owned()) {
                    return Err(wrong("type twice"));
                }
                let kinds: &[&str] = match openmetrics {
                    true => &["counter", "gauge", "histogram", "info"],
                    false => &["counter", "gauge", "histogram"],
                };
                if !kinds.contains(&kind) {
                    return Err(wrong("unknown type"));
                }
                name.clone_into(&mut family);
                found.kinds.insert(name.to_owned(), kind.to_owned());
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').ok_or(wrong("no unit"))?;
                if !openmetrics || !name.ends_with(&format!("_{unit}")) {
                    return Err(wrong("a unit that is not in the name"));
                }
            } else {
                let sample = read_sample(line).ok_or(wrong("not a sample"))?;
                let kind = found.kinds.get(&family).ok_or(wrong("before its type"))?;
                let suffix = sample.name.strip_prefix(&family).ok_or(wrong("another family"))?;
                if !suffixes(kind, openmetrics).contains(&suffix) {
                    return Err(wrong("a name that its type does not have"));
                }
                if !series.insert((sample.name.clone(), sample.labels.clone())) {
                    return Err(wrong("twice"));
                }
                if kind == "counter" && sample.value < 0.0 {
                    return Err(wrong("a negative counter"));
                }
                found.samples.push(sample);
            }
        }
        found.check_histograms()?;
        Ok(found)
    }

    /// Buckets are cumulative, the last is infinite and as large as the count.
    fn check_histograms(&self) -> Result<(), String> {
        for (family, _) in self.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut by_labels: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> =
                BTreeMap::new();
            for sample in self.named(&format!("{family}_bucket")) {
                let mut labels = sample.labels.clone();
                let bound = labels.remove("le").ok_or("a bucket without le")?;
                let bound = if bound == "+Inf" { f64::INFINITY } else { number(&bound)? };
                by_labels.entry(labels).or_default().push((bound, sample.value));
            }
            for (labels, buckets) in by_labels {
                if !buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1) {
                    return Err(format!("{family} {labels:?}: {buckets:?}"));
                }
                let count = self.named(&format!("{family}_count")).find(|s| s.labels == labels);
                let last = buckets.last().copied();
                if last != count.map(|count| (f64::INFINITY, count.value)) {
                    return Err(format!("{family} {labels:?}: {last:?} is not {count:?}"));
                }
            }
        }
        Ok(())
    }

    fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Sample> {
        let name = name.to_owned();
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    /// The figure with this name and these labels.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample| {
            labels.iter().all(|(k, v)| sample.labels.get(*k).is_some_and(|found| found == v))
        };
        let mut found = self.named(name).filter(has);
        let value = found.next().unwrap_or_else(|| panic!("no {name} {labels:?}")).value;
        assert!(found.next().is_none(), "{name} {labels:?} is there more than once");
        value
    }

    /// Sum over all labels.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.named(name).map(|sample| sample.value).sum()
    }

    /// How many figures have this name.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }
}

/// What may follow the family's name.
fn suffixes(kind: &str, openmetrics: bool) -> &'static [&'static str] {
    match (kind, openmetrics) {
        ("counter", true) => &["_total"],
        ("info", true) => &["_info"],
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        _ => &[""],
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_')
        && bytes.all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

fn read_sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"")?;
            let (value, after) = read_quoted(value)?;
            if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = after;
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.strip_prefix(' ')?;
    let value = if value == "+Inf" { f64::INFINITY } else { number(value).ok()? };
    is_name(name).then(|| Sample { name: name.to_owned(), labels, value })
}

/// The text up to the closing quote, and what follows it.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                escaped @ ('"' | '\\') => out.push(escaped),
                _ => return None,
            },
            c => out.push(c),
        }
    }
    None
}

#[test]
fn the_reader_refuses_what_is_not_allowed() {
    let good = "# HELP a Help.\n# TYPE a counter\na{x=\"\\\"1\"} 2\na{x=\"2\"} 3\n";
    let read = Exposition::read(good, false).unwrap();
    assert_eq!(read.value("a", &[("x", "\"1")]), 2.0);
    for bad in [
        "a 1\n",
        "# HELP a Help.\n# TYPE a counter\na 1",
        "# HELP a Help.\n# TYPE a counter\na 1\na 2\n",
        "# HELP a Help.\n# TYPE a counter\na -1\n",
        "# HELP a Help.\n# TYPE a counter\nb 1\n",
        "# HELP a Help.\n# TYPE a sum\na 1\n",
        "# HELP a Help.\n# HELP a Help.\n",
        "# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_count 1\n",
        "# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 2\na_count 3\n",
        "# TYPE a gauge\na{x=1} 2\n",
    ] {
        assert!(Exposition::read(bad, false).is_err(), "{bad}");
    }
    assert!(Exposition::read("# TYPE a counter\na_total 1\n# EOF\n", true).is_ok());
    assert!(Exposition::read("# TYPE a counter\na 1\n# EOF\n", true).is_err());
    assert!(Exposition::read("# TYPE a counter\na_total 1\n", true).is_err());
}
