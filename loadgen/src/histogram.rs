//! Latency histograms: 1 µs to 60 s with three digits.

use hdrhistogram::Histogram;

/// A histogram of durations, in µs.
#[derive(Debug, Clone)]
pub(crate) struct Latency(Histogram<u64>);

const LOWEST_US: u64 = 1;
const HIGHEST_US: u64 = 60_000_000;

impl Default for Latency {
    fn default() -> Latency {
        Latency(
            Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, 3)
                .expect("the bounds are constant and legal"),
        )
    }
}

impl Latency {
    /// Records a duration; what is longer than 60 s counts as 60 s.
    pub(crate) fn record_ns(&mut self, duration_ns: u64) {
        self.0.saturating_record((duration_ns / 1000).max(LOWEST_US));
    }

    pub(crate) fn add(&mut self, other: &Latency) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds below which the share `quantile` lies.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }

    pub(crate) fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }

    pub(crate) fn mean_ms(&self) -> f64 {
        self.0.mean() / 1000.0
    }

    /// HdrHistogram's text form of a percentile distribution, in ms.
    pub(crate) fn to_hgrm(&self) -> String {
        let mut text = format!(
            "{:>12} {:>14} {:>10} {:>14}\n\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        );
        let mut total = 0;
        for value in self.0.iter_quantiles(5) {
            total += value.count_since_last_iteration();
            let quantile = value.quantile_iterated_to();
            let ms = value.value_iterated_to() as f64 / 1000.0;
            if quantile < 1.0 {
                let inverse = 1.0 / (1.0 - quantile);
                text += &format!("{ms:>12.3} {quantile:>2.12} {total:>10} {inverse:>14.2}\n");
            } else {
                text += &format!("{ms:>12.3} {quantile:>2.12} {total:>10}\n");
            }
        }
        let (mean, deviation) = (self.mean_ms(), self.0.stdev() / 1000.0);
        text += &format!("#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]\n");
        text += &format!("#[Max     = {:>12.3}, Total count    = {:>12}]\n", self.max_ms(), total);
        // The bucket arithmetic of HdrHistogram: half-overlapping buckets of a power of two.
        let sub_buckets = 2048_u64;
        let mut buckets = 1_u32;
        while (sub_buckets << (buckets - 1)) <= HIGHEST_US {
            buckets += 1;
        }
        text += &format!("#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_text_agree() {
        let mut latency = Latency::default();
        for ms in 1..=1000_u64 {
            latency.record_ns(ms * 1_000_000);
        }
        assert!((latency.quantile_ms(0.5) - 500.0).abs() < 1.0);
        assert!((latency.quantile_ms(0.99) - 990.0).abs() < 1.0);
        let text = latency.to_hgrm();
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        assert!(last.contains("1.000000000000") && last.trim_end().ends_with("1000"), "{last}");
        assert!(text.contains("Total count    =         1000]"), "{text}");
    }

    #[test]
    fn extremes_are_clamped() {
        let mut latency = Latency::default();
        latency.record_ns(0);
        latency.record_ns(u64::MAX);
        assert_eq!(latency.count(), 2);
        assert!(latency.max_ms() >= 60_000.0 && latency.max_ms() < 60_100.0);
    }
}
