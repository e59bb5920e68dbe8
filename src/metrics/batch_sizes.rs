//! The distribution of batch sizes: exact, as there are few sizes.

use std::fmt;

/// How many batches had how many requests: the count at an index is of that many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchSizes(Vec<u64>);

impl BatchSizes {
    /// None so far, with memory for batches of at most `max` requests.
    pub fn new(max: usize) -> BatchSizes {
        BatchSizes(vec![0; max + 1])
    }

    /// Counts one batch; one that is larger than any may be counts as the largest.
    pub fn record(&mut self, size: usize) {
        let last = self.0.len().saturating_sub(1);
        if let Some(count) = self.0.get_mut(size.min(last)) {
            *count += 1;
        }
    }

    /// Adds what the other has.
    pub fn add(&mut self, other: &BatchSizes) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, other) in self.0.iter_mut().zip(&other.0) {
            *mine += other;
        }
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Each size that there was, with how many there were of it.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let counts = self.0.iter().copied().enumerate();
        counts.filter(|&(_, count)| count > 0)
    }

    /// Batches in all.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Requests in all.
    pub fn requests(&self) -> u64 {
        self.iter().map(|(size, count)| size as u64 * count).sum()
    }

    /// Requests of a batch; `None` where there was none.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.requests() as f64 / count as f64)
    }

    /// The size that this share of the batches is not larger than.
    pub fn quantile(&self, share: f64) -> usize {
        let wanted = share * self.count() as f64;
        let mut seen = 0;
        let found = self.iter().find(|(_, count)| {
            seen += count;
            seen as f64 >= wanted
        });
        found.map_or(0, |(size, _)| size)
    }
}

impl fmt::Display for BatchSizes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, requests) = (self.count(), self.requests());
        let mean = self.mean().unwrap_or_default();
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
        let mut sizes = BatchSizes::new(128);
        assert_eq!((sizes.quantile(0.5), sizes.mean()), (0, None));
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
