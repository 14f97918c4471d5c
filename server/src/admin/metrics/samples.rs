//! The figures of one family, as a row gives them.

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figure {
    Int(u64),
    Real(f64),
}

impl From<u64> for Figure {
    fn from(n: u64) -> Self {
        Figure::Int(n)
    }
}

impl From<usize> for Figure {
    fn from(n: usize) -> Self {
        Figure::Int(n as u64)
    }
}

impl From<bool> for Figure {
    fn from(on: bool) -> Self {
        Figure::Int(u64::from(on))
    }
}

impl From<f64> for Figure {
    fn from(x: f64) -> Self {
        Figure::Real(x)
    }
}

/// A label: name and value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// Takes the figures of one family.
pub(super) struct Samples<'e> {
    encoder: MetricEncoder<'e>,
    kind: MetricType,
    /// The first failure; what comes after it is lost, as the whole answer is.
    outcome: fmt::Result,
}

impl<'e> Samples<'e> {
    pub(super) fn new(encoder: MetricEncoder<'e>, kind: MetricType) -> Self {
        Samples { encoder, kind, outcome: Ok(()) }
    }

    /// The figure of a family that has only one.
    pub(super) fn only(&mut self, figure: impl Into<Figure>) {
        self.outcome = self.outcome.and_then(|()| put(&mut self.encoder, self.kind, figure.into()));
    }

    /// A figure with a label.
    pub(super) fn of(&mut self, label: Label<'_>, figure: impl Into<Figure>) {
        let put = || put(&mut self.encoder.encode_family(&[label])?, self.kind, figure.into());
        self.outcome = self.outcome.and_then(|()| put());
    }

    /// A histogram with a label: the sum of all values, and how many are at most each bound.
    pub(super) fn histogram(&mut self, label: Label<'_>, sum: f64, buckets: &[(f64, u64)]) {
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut put = || {
            let labels = [label];
            let mut one = self.encoder.encode_family(&labels)?;
            one.encode_histogram::<NoLabelSet>(sum, count, buckets, None)
        };
        self.outcome = self.outcome.and_then(|()| put());
    }

    /// Words that describe the process.
    pub(super) fn info(&mut self, labels: &[Label<'_>]) {
        let mut put = || self.encoder.encode_info(&labels);
        self.outcome = self.outcome.and_then(|()| put());
    }

    /// Whether all figures were taken.
    pub(super) fn finish(self) -> fmt::Result {
        self.outcome
    }
}

fn put(encoder: &mut MetricEncoder<'_>, kind: MetricType, figure: Figure) -> fmt::Result {
    match (kind, figure) {
        (MetricType::Counter, Figure::Int(n)) => {
            encoder.encode_counter::<NoLabelSet, u64, f64>(&n, None)
        }
        (MetricType::Counter, Figure::Real(x)) => {
            encoder.encode_counter::<NoLabelSet, f64, f64>(&x, None)
        }
        (MetricType::Gauge, Figure::Int(n)) => encoder.encode_gauge(&n),
        (MetricType::Gauge, Figure::Real(x)) => encoder.encode_gauge(&x),
        _ => Err(fmt::Error),
    }
}
