//! Versions of gateways, and what a release needs of them: `">=0.1"`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Numbers with dots; missing ones count as 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(Vec<u32>);

/// All of these comparisons must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs(Vec<(Sign, Version)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Sign {
    AtLeast,
    AtMost,
    More,
    Less,
    Equal,
}

const SIGNS: [(&str, Sign); 5] = [
    (">=", Sign::AtLeast),
    ("<=", Sign::AtMost),
    (">", Sign::More),
    ("<", Sign::Less),
    ("=", Sign::Equal),
];

impl Version {
    /// `1.42.0`, with at most four numbers.
    pub fn parse(text: &str) -> Option<Version> {
        let mut numbers =
            text.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<_>>>()?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        (text.matches('.').count() < 4).then_some(Version(numbers))
    }
}

impl Needs {
    /// `>=0.1, <2`
    pub fn parse(text: &str) -> Option<Needs> {
        let one = |part: &str| {
            let part = part.trim();
            let (text, sign) = SIGNS.iter().find(|(text, _)| part.starts_with(text))?;
            Some((*sign, Version::parse(part[text.len()..].trim())?))
        };
        text.split(',').map(one).collect::<Option<_>>().map(Needs)
    }

    /// Whether this version will do.
    pub fn hold(&self, version: &Version) -> bool {
        self.0.iter().all(|(sign, other)| match sign {
            Sign::AtLeast => version >= other,
            Sign::AtMost => version <= other,
            Sign::More => version > other,
            Sign::Less => version < other,
            Sign::Equal => version == other,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers: Vec<_> = self.0.iter().map(u32::to_string).collect();
        while numbers.len() < 2 {
            numbers.push("0".into());
        }
        f.write_str(&numbers.join("."))
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (sign, version)) in self.0.iter().enumerate() {
            let text = SIGNS.iter().find(|(_, known)| known == sign).map_or("", |(text, _)| text);
            write!(f, "{}{text}{version}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_hold_or_not() {
        for (needs, version, hold) in [
            (">=0.1", "0.1.0", true),
            (">=0.1", "0.0.9", false),
            (">=0.9, <2", "1.10", true),
            (">=0.9, <2", "2.0.0", false),
            ("=1.2", "1.2.0", true),
            (">1.2", "1.2.0", false),
        ] {
            let version = Version::parse(version).unwrap();
            assert_eq!(Needs::parse(needs).unwrap().hold(&version), hold, "{needs} {version}");
        }
        assert!(Needs::parse("0.1").is_none() && Needs::parse(">=x").is_none());
        assert!(Version::parse("1.x").is_none() && Version::parse("").is_none());
    }
}
