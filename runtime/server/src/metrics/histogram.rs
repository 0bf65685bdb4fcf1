//! Counts by size, with fixed bounds.

/// Seconds: OpenTelemetry's bounds for the duration of HTTP exchanges.
pub(super) const COARSE: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Seconds, for filters: microseconds count there.
pub(super) const FINE: &[f64] =
    &[0.000_001, 0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// A histogram.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    pub(super) bounds: &'static [f64],
    pub(super) counts: [u64; 16],
    pub(super) sum: f64,
}

/// Histograms by a small number: those of names have no holes, and a place is found without a hash.
#[derive(Debug, Clone, Default)]
pub(super) struct Histograms(Vec<Option<Box<Histogram>>>);

impl Histograms {
    /// The one at a place, begun with these bounds.
    #[inline]
    pub(super) fn at(&mut self, place: usize, bounds: &'static [f64]) -> &mut Histogram {
        if place >= self.0.len() {
            self.0.resize(place + 1, None);
        }
        self.0[place].get_or_insert_with(|| Box::new(Histogram::new(bounds)))
    }

    /// All that were begun, with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Histogram)> {
        self.0.iter().enumerate().filter_map(|(place, one)| Some((place, &**one.as_ref()?)))
    }
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: [0; 16], sum: 0.0 }
    }

    pub(super) fn add(&mut self, seconds: f64) {
        let place = self.bounds.iter().position(|b| seconds <= *b).unwrap_or(self.bounds.len());
        self.counts[place] += 1;
        self.sum += seconds;
    }

    pub(super) fn merge(&mut self, other: &Histogram) {
        self.sum += other.sum;
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
    }
}
