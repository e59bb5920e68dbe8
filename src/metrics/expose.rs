//! The ledger as Prometheus reads it: in its text format 0.0.4, or in OpenMetrics 1.0.
//!
//! A family is made for each metric from what the cores have handed over; `prometheus-client` writes
//! OpenMetrics of them, and `classic` says the same in the older format. Labels are routes, statuses,
//! cores, lanes and words of this program: none of them grows with what clients send.

mod classic;
mod cores;
mod family;
mod negotiate;
mod process;
mod routes;

#[cfg(test)]
mod tests;

use std::sync::Mutex;
use std::time::Instant;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::Ledger;
use family::Collected;

pub use family::{Family, Kind, Sample, Value};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What Prometheus has always read.
    Classic,
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
}

/// What there is to tell beside what the cores have handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Every check of `/readyz` is fine.
    pub ready: bool,
    /// The last reload, if there was one, has been taken over.
    pub reloaded: bool,
    /// Client connections that the cores take together.
    pub connections_max: usize,
    /// Requests that they answer from Postgres at a time.
    pub in_flight_max: usize,
}

impl Format {
    /// What an Accept field asks for (RFC 9110 §12.5.1); without one, what everybody reads.
    pub fn wanted(accept: Option<&str>) -> Format {
        negotiate::wanted(accept.unwrap_or_default())
    }

    /// Its Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All metrics. The ledger is held for one route at a time, so that whoever fills it need not wait.
pub fn families(ledger: &Mutex<Ledger>, standing: &Standing, now: Instant) -> Vec<Family> {
    let mut families = routes::families(ledger);
    families.extend(cores::families(ledger, now));
    families.extend(process::families(standing));
    families
}

/// The families in a format.
pub fn write(families: Vec<Family>, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(families)));
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string can't fail");
    match format {
        Format::OpenMetrics => text,
        Format::Classic => classic::from_openmetrics(&text),
    }
}
