//! A metric with its samples, and how `prometheus-client` is given it.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

/// One metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// As OpenMetrics names it: a counter without `_total`.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// Of all its samples.
    pub kind: Kind,
    /// By their labels.
    pub samples: Vec<Sample>,
}

/// What a value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It comes and goes.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
}

/// One value, or one histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// See there.
    pub value: Value,
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// Any other.
    Real(f64),
    /// Of a histogram.
    Buckets {
        /// Of all values.
        sum: f64,
        /// How many they are.
        count: u64,
        /// Upper bounds, the last of them infinite, each with the count of values up to it and above the
        /// bound before.
        buckets: Vec<(f64, u64)>,
    },
}

impl Family {
    /// One without a sample.
    pub fn new(name: &'static str, help: &'static str, kind: Kind) -> Family {
        Family {
            name,
            help,
            kind,
            samples: Vec::new(),
        }
    }

    /// A counter.
    pub fn counter(name: &'static str, help: &'static str) -> Family {
        Family::new(name, help, Kind::Counter)
    }

    /// A gauge.
    pub fn gauge(name: &'static str, help: &'static str) -> Family {
        Family::new(name, help, Kind::Gauge)
    }

    /// A histogram.
    pub fn histogram(name: &'static str, help: &'static str) -> Family {
        Family::new(name, help, Kind::Histogram)
    }

    /// With one more sample.
    pub fn with<const N: usize>(
        mut self,
        labels: [(&'static str, String); N],
        value: Value,
    ) -> Family {
        self.push(labels, value);
        self
    }

    /// Adds a sample.
    pub fn push<const N: usize>(&mut self, labels: [(&'static str, String); N], value: Value) {
        let labels = labels.into();
        self.samples.push(Sample { labels, value });
    }
}

/// The door to `prometheus-client`, which calls it for each exposition.
#[derive(Debug)]
pub(super) struct Collected(pub Vec<Family>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // A family without samples would be two lines about nothing.
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for Sample { labels, value } in &family.samples {
                // An empty set would be written as a pair of braces.
                if labels.is_empty() {
                    write(&mut metric, family.kind, value)?;
                } else {
                    write(&mut metric.encode_family(labels)?, family.kind, value)?;
                }
            }
        }
        Ok(())
    }
}

fn write(to: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;
    match (kind, value) {
        (Kind::Counter, Value::Whole(value)) => to.encode_counter(value, NO_EXEMPLAR),
        (Kind::Counter, Value::Real(value)) => to.encode_counter(value, NO_EXEMPLAR),
        (_, Value::Whole(value)) => to.encode_gauge(value),
        (_, Value::Real(value)) => to.encode_gauge(value),
        (
            _,
            Value::Buckets {
                sum,
                count,
                buckets,
            },
        ) => to.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None),
    }
}
