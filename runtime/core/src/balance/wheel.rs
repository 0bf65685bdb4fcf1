//! Round robin: by turns when all weigh the same, else nginx's smooth weighted form, in which a
//! heavy endpoint's turns are spread out instead of coming in a row.

#[derive(Debug, Clone)]
pub(super) enum Wheel {
    Even { len: usize, next: usize },
    Smooth(Box<[Turn]>),
}

#[derive(Debug, Clone)]
pub(super) struct Turn {
    weight: i64,
    current: i64,
}

impl Wheel {
    pub(super) fn new(weights: &[u32]) -> Wheel {
        if weights.first().is_none_or(|first| *first > 0 && weights.iter().all(|w| w == first)) {
            return Wheel::Even { len: weights.len(), next: 0 };
        }
        let turns = weights.iter().map(|weight| Turn { weight: i64::from(*weight), current: 0 });
        Wheel::Smooth(turns.collect())
    }

    /// The next in turn that is not excluded.
    pub(super) fn next(&mut self, exclude: &[usize]) -> Option<usize> {
        match self {
            Wheel::Even { len, next } => {
                for _ in 0..*len {
                    let index = *next;
                    *next = if index + 1 == *len { 0 } else { index + 1 };
                    if !exclude.contains(&index) {
                        return Some(index);
                    }
                }
                None
            }
            Wheel::Smooth(turns) => {
                let mut total = 0;
                let mut best: Option<(i64, usize)> = None;
                for (index, turn) in turns.iter_mut().enumerate() {
                    if turn.weight == 0 || exclude.contains(&index) {
                        continue;
                    }
                    turn.current += turn.weight;
                    total += turn.weight;
                    if best.is_none_or(|(current, _)| turn.current > current) {
                        best = Some((turn.current, index));
                    }
                }
                let (_, index) = best?;
                turns[index].current -= total;
                Some(index)
            }
        }
    }
}
