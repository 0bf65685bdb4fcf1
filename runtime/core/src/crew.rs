//! How many workers there are to be, as the CPUs change that the process may use.
//!
//! More CPUs are used soon. Fewer have to last: a quota that comes and goes does not move anybody.

/// How long there are more CPUs, or fewer, in seconds, before that counts.
const LASTS: (f64, f64) = (1.0, 10.0);

/// What was seen of late.
#[derive(Debug, Clone, Copy, Default)]
pub struct Crew {
    /// Since when there are more CPUs than workers, or fewer, and the nearest number to that of the workers meanwhile.
    run: Option<(bool, f64, usize)>,
}

impl Crew {
    /// There are so many workers, and CPUs for so many. `now`: seconds of a clock that never goes back.
    /// How many there are to be, if that changes.
    pub fn look(&mut self, now: f64, workers: usize, cpus: usize) -> Option<usize> {
        let cpus = cpus.max(1);
        let more = cpus > workers;
        if cpus == workers {
            self.run = None;
            return None;
        }
        let (since, nearest) = match self.run {
            Some((way, since, nearest)) if way == more => {
                (since, if more { nearest.min(cpus) } else { nearest.max(cpus) })
            }
            _ => (now, cpus),
        };
        let lasts = if more { LASTS.0 } else { LASTS.1 };
        let counts = now - since >= lasts;
        self.run = (!counts).then_some((more, since, nearest));
        counts.then_some(nearest)
    }
}

#[cfg(test)]
mod tests {
    use super::Crew;

    /// Looks once a second; the workers there were.
    fn crew(begin: usize, cpus: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let (mut crew, mut workers) = (Crew::default(), begin);
        let looks = cpus.into_iter().enumerate().map(|(second, cpus)| {
            workers = crew.look(second as f64, workers, cpus).unwrap_or(workers);
            workers
        });
        looks.collect()
    }

    #[test]
    fn more_are_there_soon() {
        assert_eq!(crew(1, [1, 4, 4, 4]), [1, 1, 4, 4]);
        assert_eq!(crew(2, [3, 4, 4, 4]), [2, 3, 3, 4]);
    }

    #[test]
    fn fewer_have_to_last() {
        assert_eq!(crew(4, [2; 12]), [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 2, 2]);
        // No fewer than there were CPUs in that time; and one is left.
        assert_eq!(crew(4, [0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]).last(), Some(&3));
        assert_eq!(crew(4, [0; 30]).last(), Some(&1));
    }

    #[test]
    fn what_comes_and_goes_moves_nobody() {
        assert_eq!(crew(4, [1, 4].into_iter().cycle().take(600)), [4; 600]);
        // Where it never comes back to where it was, it moves once in ten seconds at most.
        let seen = crew(4, [1, 8].into_iter().cycle().take(600));
        assert!(seen.iter().all(|workers| *workers == 4), "{seen:?}");
    }
}
