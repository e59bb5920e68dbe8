//! The distribution of batch sizes: exact, as there are few sizes.

use std::cell::Cell;
use std::fmt;

/// How many batches had one request, two, and so on.
pub struct BatchSizes(Box<[Cell<u64>]>);

impl BatchSizes {
    /// For batches of at most `keys_max` requests.
    pub(super) fn new(keys_max: usize) -> BatchSizes {
        BatchSizes(vec![Cell::new(0); keys_max].into())
    }

    pub(super) fn record(&self, size: usize) {
        let count = &self.0[size - 1];
        count.set(count.get() + 1);
    }

    /// Batches in all.
    pub fn count(&self) -> u64 {
        self.0.iter().map(Cell::get).sum()
    }

    /// Requests in all.
    pub fn requests(&self) -> u64 {
        self.sizes().map(|(size, count)| size * count).sum()
    }

    /// The size that this share of the batches is not larger than.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = share * self.count() as f64;
        let mut seen = 0;
        let found = self.sizes().find(|(_, count)| {
            seen += count;
            seen as f64 >= wanted && seen > 0
        });
        found.map_or(0, |(size, _)| size)
    }

    fn sizes(&self) -> impl Iterator<Item = (u64, u64)> {
        (1..).zip(self.0.iter().map(Cell::get))
    }
}

impl fmt::Display for BatchSizes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, requests) = (self.count(), self.requests());
        let mean = requests as f64 / count.max(1) as f64;
        let [half, most, all] = [0.5, 0.99, 1.0].map(|share| self.quantile(share));
        write!(
            formatter,
            "{count} batches of {requests} requests: mean {mean:.1}, p50 {half}, p99 {most}, max {all}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_counted_exactly() {
        let sizes = BatchSizes::new(128);
        assert_eq!(sizes.quantile(0.5), 0);
        for size in [1, 1, 1, 4, 128] {
            sizes.record(size);
        }
        assert_eq!((sizes.count(), sizes.requests()), (5, 135));
        assert_eq!(
            [0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0].map(|share| sizes.quantile(share)),
            [1, 1, 1, 4, 4, 128, 128]
        );
        assert_eq!(
            sizes.to_string(),
            "5 batches of 135 requests: mean 27.0, p50 1, p99 128, max 128"
        );
    }
}
