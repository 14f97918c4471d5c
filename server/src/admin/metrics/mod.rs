//! `/metrics`: what Prometheus collects.
//!
//! One table of [`Family`] rows, in a file per theme. A row names a family of figures, says what it
//! means and how it is read; both text forms (Prometheus's own and OpenMetrics) derive from it. To
//! add a metric, add a row.
//!
//! Names begin with `dunlin_`; a row's name leaves that out, as well as the unit and the `_total` of
//! a counter. Figures are read when they are asked for, in about a millisecond: counters are kept
//! per worker and added up here. What has a label that could take any number of values (shards) is
//! put together to at most [`super::ranges::MAX`]; of prefixes only those used most have one.

mod clients;
mod commands;
mod keyspace;
mod limits;
mod memory;
mod overload;
mod prefixes;
mod process;
mod samples;
mod snapshots;
mod streams;
mod workers;

use super::clients::Totals;
use crate::server::Server;
use dunlin_storage::StoreStats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use samples::Samples;
use std::fmt;

/// What a figure counts; Prometheus has base units only.
#[derive(Clone, Copy)]
enum Base {
    One,
    Bytes,
    Seconds,
}

impl Base {
    fn unit(self) -> Option<Unit> {
        match self {
            Base::One => None,
            Base::Bytes => Some(Unit::Bytes),
            Base::Seconds => Some(Unit::Seconds),
        }
    }
}

/// One family of figures.
#[derive(Clone, Copy)]
struct Family {
    /// Its name without prefix, unit and `_total`.
    name: &'static str,
    kind: MetricType,
    unit: Base,
    help: &'static str,
    read: fn(&Scrape, &mut Samples<'_>),
}

impl Family {
    const fn new(
        kind: MetricType,
        name: &'static str,
        help: &'static str,
        read: fn(&Scrape, &mut Samples<'_>),
    ) -> Self {
        Family { name, kind, unit: Base::One, help, read }
    }

    const fn counter(
        name: &'static str,
        help: &'static str,
        read: fn(&Scrape, &mut Samples<'_>),
    ) -> Self {
        Family::new(MetricType::Counter, name, help, read)
    }

    const fn gauge(
        name: &'static str,
        help: &'static str,
        read: fn(&Scrape, &mut Samples<'_>),
    ) -> Self {
        Family::new(MetricType::Gauge, name, help, read)
    }

    const fn bytes(mut self) -> Self {
        self.unit = Base::Bytes;
        self
    }

    const fn seconds(mut self) -> Self {
        self.unit = Base::Seconds;
        self
    }
}

/// The table, in the order of the answer.
static FAMILIES: &[&[Family]] = &[
    process::FAMILIES,
    commands::FAMILIES,
    keyspace::FAMILIES,
    memory::FAMILIES,
    prefixes::FAMILIES,
    clients::FAMILIES,
    workers::FAMILIES,
    overload::FAMILIES,
    limits::FAMILIES,
    snapshots::FAMILIES,
    streams::FAMILIES,
];

/// What the rows read from: the server, and what several of them need.
struct Scrape {
    server: &'static Server,
    store: StoreStats,
    clients: Totals,
}

impl Scrape {
    fn read(server: &'static Server) -> Self {
        let clients = Totals::read(&server.clients, server.workers);
        Scrape { server, store: server.keyspace.stats(), clients }
    }
}

/// A text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus's own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for: OpenMetrics if it is mentioned, as Prometheus prefers it.
    pub(super) fn wanted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Format::OpenMetrics,
            _ => Format::Prometheus,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The answer to a scrape, again and again.
pub(super) struct Metrics(Registry);

impl Metrics {
    pub(super) fn new(server: &'static Server) -> Self {
        let mut registry = Registry::with_prefix("dunlin");
        registry.register_collector(Box::new(Table(server)));
        Metrics(registry)
    }

    /// All families as text.
    ///
    /// # Errors
    /// When a row has given a figure that its kind does not allow.
    pub(super) fn scrape(&self, format: Format) -> Result<String, fmt::Error> {
        let mut out = String::new();
        match format {
            Format::Prometheus => prometheus_text::encode(&mut out, &self.0)?,
            Format::OpenMetrics => text::encode(&mut out, &self.0)?,
        }
        Ok(out)
    }
}

/// The table as the library sees it.
struct Table(&'static Server);

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Table")
    }
}

impl Collector for Table {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let scrape = Scrape::read(self.0);
        for family in FAMILIES.iter().copied().flatten() {
            let unit = family.unit.unit();
            let out =
                encoder.encode_descriptor(family.name, family.help, unit.as_ref(), family.kind)?;
            let mut samples = Samples::new(out, family.kind);
            (family.read)(&scrape, &mut samples);
            samples.finish()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn openmetrics_is_for_those_who_ask() {
        assert_eq!(Format::wanted(None), Format::Prometheus);
        assert_eq!(Format::wanted(Some("*/*")), Format::Prometheus);
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2,*/*";
        assert_eq!(Format::wanted(Some(prometheus)), Format::OpenMetrics);
    }

    #[test]
    fn rows_are_named_as_prometheus_wants() {
        let mut names = HashSet::new();
        for family in FAMILIES.iter().copied().flatten() {
            let name = family.name;
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{name}");
            for part in ["dunlin_", "_total", "_bytes", "_seconds", "_count", "_sum", "_bucket"] {
                assert!(!format!("_{name}").ends_with(part), "{name}: {part} is added or reserved");
            }
            assert!(family.help.ends_with('.') && family.help.len() > 10, "{name}: no help");
        }
    }
}
