//! Names that are close to each other, for "did you mean".

/// The candidate that `wrong` was probably meant to be, if one is close enough.
pub fn closest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance is quadratic in the length: whoever types more than this means something else.
    if wrong.len() > 64 {
        return None;
    }
    let lower = wrong.to_lowercase();
    let reach = 1.max(wrong.chars().count() / 3);
    candidates
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `"a", "b", "c"`, at most a dozen.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 12;
    let mut names: Vec<_> = names.into_iter().map(|name| format!("{name:?}")).collect();
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let listed = names.join(", ");
    if more > 0 { format!("{listed} and {more} more") } else { listed }
}

/// `A` with the singular's article: `a listener`, `an upstream`.
pub(crate) fn with_article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}
