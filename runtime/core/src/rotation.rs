//! Which endpoints of an upstream take requests, of those that are there.

/// An endpoint, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Its share, at least 1.
    pub weight: u32,
    /// Those with the lowest number come first; others stand by.
    pub priority: u16,
    /// By its probes.
    pub up: bool,
    /// Until when it is ejected, if it is.
    pub until: Option<u64>,
}

impl Seat {
    /// Whether it takes requests.
    pub fn is_in(&self) -> bool {
        self.up && self.until.is_none()
    }
}

/// The weights that the balancer is to have: 0 takes an endpoint out.
pub fn weights(seats: &[Seat]) -> Vec<u32> {
    let first = seats.iter().filter(|seat| seat.is_in()).map(|seat| seat.priority).min();
    let weight = |seat: &Seat| match seat.is_in() && Some(seat.priority) == first {
        true => seat.weight.max(1),
        false => 0,
    };
    seats.iter().map(weight).collect()
}

/// Whether one more may be ejected: no more than `share` of all are out then.
pub fn may_eject(seats: &[Seat], share: f64) -> bool {
    out(seats) < allowed(seats, share)
}

/// The ejected one that has to come back, because probes have taken out another: ejections alone never
/// leave too few.
pub fn pardoned(seats: &[Seat], share: f64) -> Option<usize> {
    if out(seats) <= allowed(seats, share) {
        return None;
    }
    let ejected = seats.iter().enumerate().filter(|(_, seat)| seat.up);
    let ends = ejected.filter_map(|(at, seat)| Some((seat.until?, at)));
    ends.min().map(|(_, at)| at)
}

fn out(seats: &[Seat]) -> usize {
    seats.iter().filter(|seat| !seat.is_in()).count()
}

fn allowed(seats: &[Seat], share: f64) -> usize {
    // Shares are decimal, and their products are not exact.
    (seats.len() as f64 * share + 1e-9) as usize
}

#[cfg(test)]
mod tests;
