//! Which of several upstreams a request goes to.

use pilotlight_config::manifest::Split;

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// An index into the variants.
    pub variant: usize,
    /// The client is to be told, so that it stays there.
    pub is_new: bool,
}

/// Chooses by the cookie's value, or else by weight. One that is `out` of endpoints gets none as long as another
/// has some; whoever should stay there is elsewhere for now only. `seed` is any random number.
pub fn choose(
    split: &Split,
    value: Option<&[u8]>,
    out: impl Fn(usize) -> bool,
    seed: u64,
) -> Option<Chosen> {
    let named = |value| split.variants.iter().position(|one| one.name.as_bytes() == value);
    let held = value.and_then(named);
    if let Some(variant) = held.filter(|held| !out(*held)) {
        return Some(Chosen { variant, is_new: false });
    }
    let drawn = draw(split, |at| !out(at), seed).or(held).or_else(|| draw(split, |_| true, seed));
    drawn.map(|variant| Chosen { variant, is_new: split.cookie.is_some() && held.is_none() })
}

fn draw(split: &Split, fits: impl Fn(usize) -> bool, seed: u64) -> Option<usize> {
    let weights = || {
        let all = split.variants.iter().map(|variant| u64::from(variant.weight)).enumerate();
        all.filter(|(at, _)| fits(*at))
    };
    let sum: u64 = weights().map(|(_, weight)| weight).sum();
    let mut at = ((u128::from(seed) * u128::from(sum)) >> 64) as u64;
    let drawn = weights().find(|(_, weight)| match at.checked_sub(*weight) {
        Some(after) => {
            at = after;
            false
        }
        None => true,
    });
    drawn.map(|(at, _)| at)
}

#[cfg(test)]
mod tests;
