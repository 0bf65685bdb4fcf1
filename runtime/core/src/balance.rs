//! Which endpoint of an upstream gets the next request.
//!
//! A [`Balancer`] is one worker's: nothing in it is shared. What is shared, how many requests each
//! endpoint has, is an argument.

use pilotlight_config::manifest::Balance;

mod wheel;

use wheel::Wheel;

/// Tries to draw an endpoint that is not excluded before all are looked through.
const DRAWS: usize = 8;

/// One worker's view of an upstream's endpoints, by their index.
#[derive(Debug, Clone)]
pub struct Balancer {
    kind: Balance,
    wheel: Wheel,
    /// Sums of the weights up to and with each endpoint.
    sums: Box<[u64]>,
}

impl Balancer {
    /// A weight of 0 takes an endpoint out.
    pub fn new(kind: &Balance, weights: &[u32]) -> Balancer {
        let mut sum = 0;
        let sums = weights.iter().map(|weight| {
            sum += u64::from(*weight);
            sum
        });
        Balancer { kind: kind.clone(), sums: sums.collect(), wheel: Wheel::new(weights) }
    }

    /// Sets where round robin begins, so that not all workers begin at the same endpoint.
    pub fn starting_at(mut self, seed: u64) -> Balancer {
        for _ in 0..seed % self.sums.len().max(1) as u64 {
            self.wheel.next(&[]);
        }
        self
    }

    /// The next endpoint, none of those in `exclude` (tried already, or down). `None`: none is left.
    ///
    /// `active` tells how many requests an endpoint is busy with; `seed` is any random number.
    pub fn pick(
        &mut self,
        exclude: &[usize],
        active: impl Fn(usize) -> usize,
        seed: u64,
    ) -> Option<usize> {
        if let [only] = self.sums[..] {
            return (only > 0 && !exclude.contains(&0)).then_some(0);
        }
        let mut dice = Dice(seed);
        match self.kind {
            Balance::RoundRobin => self.wheel.next(exclude),
            Balance::Random => self.draw(exclude, &mut dice),
            Balance::LeastRequest => {
                let first = self.draw(exclude, &mut dice)?;
                let second = self.draw_other(first, exclude, &mut dice).unwrap_or(first);
                // Requests for each unit of weight, compared without dividing. At a tie the first
                // drawn stays, so that idle endpoints share by their weights.
                let load = |a: usize, b: usize| active(a) as u128 * u128::from(self.weight(b));
                Some(if load(second, first) < load(first, second) { second } else { first })
            }
        }
    }

    fn weight(&self, index: usize) -> u64 {
        let before = index.checked_sub(1).and_then(|before| self.sums.get(before));
        self.sums.get(index).map_or(0, |sum| sum - before.unwrap_or(&0))
    }

    /// An endpoint at random, by weight.
    fn draw(&self, exclude: &[usize], dice: &mut Dice) -> Option<usize> {
        self.draw_where(&|index| !exclude.contains(&index), dice)
    }

    fn draw_other(&self, first: usize, exclude: &[usize], dice: &mut Dice) -> Option<usize> {
        self.draw_where(&|index| index != first && !exclude.contains(&index), dice)
    }

    fn draw_where(&self, fits: &dyn Fn(usize) -> bool, dice: &mut Dice) -> Option<usize> {
        let total = *self.sums.last()?;
        for _ in 0..DRAWS {
            let at = dice.below(total)?;
            let index = self.sums.partition_point(|sum| *sum <= at);
            if fits(index) {
                return Some(index);
            }
        }
        // Most are excluded, or one outweighs all: draw among what is left.
        let left = || (0..self.sums.len()).filter(|index| fits(*index));
        let mut at = dice.below(left().map(|index| self.weight(index)).sum())?;
        left().find(|index| match at.checked_sub(self.weight(*index)) {
            Some(after) => {
                at = after;
                false
            }
            None => true,
        })
    }
}

/// A stream of numbers from one seed (splitmix64).
struct Dice(u64);

impl Dice {
    /// A number below `end`; none when `end` is 0.
    fn below(&mut self, end: u64) -> Option<u64> {
        if end == 0 {
            return None;
        }
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        Some(((u128::from(z) * u128::from(end)) >> 64) as u64)
    }
}

#[cfg(test)]
mod tests;
