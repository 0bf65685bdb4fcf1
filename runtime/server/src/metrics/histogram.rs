//! Counts by size, with fixed bounds. There is one for each route and filter on each worker, and most
//! see little: a histogram begins small.

/// Seconds: OpenTelemetry's bounds for the duration of HTTP exchanges.
pub(super) const COARSE: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Seconds, for filters: microseconds count there.
const FINE: &[f64] =
    &[0.000_001, 0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// Places for counts: one more than bounds.
pub(crate) const PLACES: usize = COARSE.len() + 1;

/// Which bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Coarse,
    Fine,
}

impl Scale {
    pub(super) const fn bounds(self) -> &'static [f64] {
        match self {
            Scale::Coarse => COARSE,
            Scale::Fine => FINE,
        }
    }
}

/// A histogram.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    pub(super) scale: Scale,
    /// Which one at its place.
    pub(super) part: u8,
    small: [u16; PLACES],
    /// The counts, once one of them is large.
    large: Option<Box<[u64; PLACES]>>,
    pub(super) sum: f64,
    /// The next at its place.
    next: Option<Box<Histogram>>,
}

/// Histograms by a small number and a part: numbers of names have no holes, and few parts of a name are
/// ever used.
#[derive(Debug, Clone, Default)]
pub(super) struct Histograms(Vec<Option<Box<Histogram>>>);

impl Histograms {
    /// The one at a place, begun with these bounds.
    #[inline]
    pub(super) fn at(&mut self, place: usize, part: u8, scale: Scale) -> &mut Histogram {
        if place >= self.0.len() {
            self.0.resize(place + 1, None);
        }
        // As in `find`, whose place this is: mostly there is one at a place.
        let one = self.0[place].get_or_insert_with(|| Box::new(Histogram::of_part(part, scale)));
        if one.part == part { one } else { find(&mut one.next, part, scale) }
    }

    /// All that were begun, with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Histogram)> {
        let all = self.0.iter().enumerate();
        all.flat_map(|(place, first)| {
            let each = std::iter::successors(first.as_deref(), |one| one.next.as_deref());
            each.map(move |one| (place, one))
        })
    }
}

fn find(first: &mut Option<Box<Histogram>>, part: u8, scale: Scale) -> &mut Histogram {
    let one = first.get_or_insert_with(|| Box::new(Histogram::of_part(part, scale)));
    if one.part == part { one } else { find(&mut one.next, part, scale) }
}

impl Histogram {
    pub(super) fn new(scale: Scale) -> Histogram {
        Histogram::of_part(0, scale)
    }

    fn of_part(part: u8, scale: Scale) -> Histogram {
        Histogram { scale, part, small: [0; PLACES], large: None, sum: 0.0, next: None }
    }

    pub(super) fn add(&mut self, seconds: f64) {
        let bounds = self.scale.bounds();
        let place = bounds.iter().position(|b| seconds <= *b).unwrap_or(bounds.len());
        match (&mut self.large, self.small[place].checked_add(1)) {
            (None, Some(sum)) => self.small[place] = sum,
            (Some(large), _) => large[place] += 1,
            (None, None) => self.widen()[place] += 1,
        }
        self.sum += seconds;
    }

    #[cold]
    fn widen(&mut self) -> &mut [u64; PLACES] {
        let small = self.small;
        self.large.get_or_insert_with(|| Box::new(small.map(u64::from)))
    }

    /// How many were up to each bound, and past the last.
    pub(super) fn counts(&self) -> [u64; PLACES] {
        self.large.as_deref().copied().unwrap_or_else(|| self.small.map(u64::from))
    }

    /// Counts more, at each place; and adds to the sum.
    pub(super) fn merge(&mut self, counts: impl IntoIterator<Item = u64>, sum: f64) {
        let all = self.counts();
        let mut sums = all;
        sums.iter_mut().zip(counts).for_each(|(mine, theirs)| *mine += theirs);
        match sums.iter().all(|sum| *sum <= u64::from(u16::MAX)) {
            true if self.large.is_none() => self.small = sums.map(|sum| sum as u16),
            _ => *self.widen() = sums,
        }
        self.sum += sum;
    }
}

const _: () = assert!(FINE.len() < PLACES && size_of::<Histogram>() <= 56);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_outgrow_their_beginnings() {
        let mut one = Histogram::new(Scale::Coarse);
        for _ in 0..70_000 {
            one.add(0.003);
        }
        one.add(99.0);
        assert_eq!((one.counts()[0], one.counts()[PLACES - 1]), (70_000, 1));
        let mut other = Histogram::new(Scale::Coarse);
        other.add(0.003);
        other.merge(one.counts(), one.sum);
        other.merge([0, 1], 0.007);
        assert_eq!((other.counts()[0], other.counts()[1]), (70_001, 1));
        assert!((other.sum - (70_001.0 * 0.003 + 99.007)).abs() < 1e-6);
    }

    #[test]
    fn parts_of_a_place_are_apart() {
        let mut all = Histograms::default();
        for (place, part) in [(3, 1), (3, 0), (1, 2), (3, 1)] {
            all.at(place, part, Scale::Fine).add(0.1);
        }
        let told: Vec<_> = all.iter().map(|(at, one)| (at, one.part, one.counts()[9])).collect();
        assert_eq!(told, [(1, 2, 1), (3, 1, 2), (3, 0, 1)]);
    }
}
