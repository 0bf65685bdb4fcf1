//! What has changed in a text, by its lines: the shortest way from one to the other (Myers), in hunks as `diff -u`.

/// Unchanged lines around a change.
const AROUND: usize = 3;
/// Past so many changed lines it is another text.
const MOST: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'t> {
    Same(&'t str),
    Gone(&'t str),
    New(&'t str),
}

/// The hunks, or what is to be said where lines say nothing.
pub(super) fn diff(old: &[u8], new: &[u8]) -> String {
    let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    let (Some(old), Some(new)) = (text(old), text(new)) else {
        return "binary\n".into();
    };
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    match lines(&old, &new) {
        Some(lines) => hunks(&lines),
        None => format!("another text: {} lines, {} before\n", new.len(), old.len()),
    }
}

/// All lines of both, in order.
fn lines<'t>(old: &[&'t str], new: &[&'t str]) -> Option<Vec<Line<'t>>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (old.get(head..)?, new.get(head..)?);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b);
    let tail = tail.count();
    let (a, b) = (old_rest.get(..old_rest.len() - tail)?, new_rest.get(..new_rest.len() - tail)?);
    let mut lines: Vec<_> = old.iter().take(head).map(|line| Line::Same(line)).collect();
    lines.extend(shortest(a, b)?);
    lines.extend(old.iter().skip(old.len() - tail).map(|line| Line::Same(line)));
    Some(lines)
}

/// `ends[k]` is how far a path with this many changes comes on diagonal `k` (lines gone less lines that are new).
fn shortest<'t>(a: &[&'t str], b: &[&'t str]) -> Option<Vec<Line<'t>>> {
    let (n, m) = (a.len() as isize, b.len() as isize);
    let middle = MOST as isize + 1;
    let at = |k: isize| usize::try_from(k + middle).unwrap_or(0);
    let mut ends = vec![0isize; 2 * MOST + 3];
    let mut trace = Vec::new();
    for d in 0..=(MOST as isize).min(n + m) {
        trace.push(ends.clone());
        for k in (-d..=d).step_by(2) {
            let down = k == -d || k != d && ends[at(k - 1)] < ends[at(k + 1)];
            let mut x = if down { ends[at(k + 1)] } else { ends[at(k - 1)] + 1 };
            while x < n && x - k < m && a.get(x as usize) == b.get((x - k) as usize) {
                x += 1;
            }
            ends[at(k)] = x;
            if x >= n && x - k >= m {
                return Some(back(a, b, &trace, at));
            }
        }
    }
    None
}

/// The path, from its end.
fn back<'t>(
    a: &[&'t str],
    b: &[&'t str],
    trace: &[Vec<isize>],
    at: impl Fn(isize) -> usize,
) -> Vec<Line<'t>> {
    let (mut x, mut y) = (a.len() as isize, b.len() as isize);
    let mut lines = Vec::new();
    let line = |of: &[&'t str], at: isize| of.get(at as usize).copied().unwrap_or_default();
    for (d, ends) in trace.iter().enumerate().rev() {
        let (d, k) = (d as isize, x - y);
        let down = k == -d || k != d && ends[at(k - 1)] < ends[at(k + 1)];
        let before = if down { k + 1 } else { k - 1 };
        let (to_x, to_y) = match d {
            0 => (0, 0),
            _ => (ends[at(before)], ends[at(before)] - before),
        };
        while x > to_x && y > to_y {
            (x, y) = (x - 1, y - 1);
            lines.push(Line::Same(line(a, x)));
        }
        if d > 0 && down {
            y -= 1;
            lines.push(Line::New(line(b, y)));
        } else if d > 0 {
            x -= 1;
            lines.push(Line::Gone(line(a, x)));
        }
    }
    lines.reverse();
    lines
}

fn hunks(lines: &[Line<'_>]) -> String {
    let changed = |line: &Line<'_>| !matches!(line, Line::Same(_));
    let (mut out, mut from) = (String::new(), 0);
    let (mut old, mut new) = (1, 1);
    while let Some(first) = lines.iter().skip(from).position(changed).map(|at| at + from) {
        let begin = first.saturating_sub(AROUND).max(from);
        // Another change nearby belongs to the same hunk.
        let (mut end, mut quiet) = (first, 0);
        for (at, line) in lines.iter().enumerate().skip(first) {
            quiet = if changed(line) { 0 } else { quiet + 1 };
            if quiet == 0 {
                end = at + 1;
            } else if quiet > 2 * AROUND {
                break;
            }
        }
        let end = (end + AROUND).min(lines.len());
        let skipped = begin - from;
        (old, new) = (old + skipped, new + skipped);
        let part = lines.get(begin..end).unwrap_or_default();
        let gone = part.iter().filter(|line| !matches!(line, Line::New(_))).count();
        let come = part.iter().filter(|line| !matches!(line, Line::Gone(_))).count();
        out.push_str(&format!("@@ -{old},{gone} +{new},{come} @@\n"));
        for line in part {
            let (sign, text) = match line {
                Line::Same(text) => (' ', text),
                Line::Gone(text) => ('-', text),
                Line::New(text) => ('+', text),
            };
            out.push(sign);
            out.push_str(text);
            out.push('\n');
        }
        (old, new, from) = (old + gone, new + come, end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_with_what_is_around_them() {
        let old: String = (1..=30).map(|at| format!("line {at}\n")).collect();
        let new = old.replace("line 5\n", "line five\n").replace("line 9\n", "");
        let new = new.replace("line 30\n", "line 30\nline 31\n");
        let wanted = "@@ -2,11 +2,10 @@\n line 2\n line 3\n line 4\n-line 5\n+line five\n line 6\n line 7\n line 8\n\
                      -line 9\n line 10\n line 11\n line 12\n@@ -28,3 +27,4 @@\n line 28\n line 29\n line 30\n+line 31\n";
        assert_eq!(diff(old.as_bytes(), new.as_bytes()), wanted);
        assert_eq!(diff(b"", b"a\nb\n"), "@@ -1,0 +1,2 @@\n+a\n+b\n");
        assert_eq!(diff(b"a\nb\n", b"a\nb\n"), "");
        assert_eq!(diff(b"\0", b"a"), "binary\n");
    }

    /// Whatever has changed: the lines give both texts back.
    #[test]
    fn both_texts_are_in_what_is_shown() {
        let mut seed = 7u32;
        let mut next = |most: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % most
        };
        for _ in 0..300 {
            let mut text = || -> Vec<&'static str> {
                let length = next(40);
                (0..length).map(|_| ["a", "b", "c", "d"][next(4) as usize]).collect()
            };
            let (old, new) = (text(), text());
            let lines = lines(&old, &new).unwrap();
            let of = |other: fn(&Line<'static>) -> bool| -> Vec<&str> {
                let text = lines.iter().filter(|line| !other(line));
                text.map(|line| match line {
                    Line::Same(text) | Line::Gone(text) | Line::New(text) => *text,
                })
                .collect()
            };
            assert_eq!(of(|line| matches!(line, Line::New(_))), old);
            assert_eq!(of(|line| matches!(line, Line::Gone(_))), new);
        }
        let (old, new) = ("a\n".repeat(3000), "b\n".repeat(3000));
        assert_eq!(diff(old.as_bytes(), new.as_bytes()), "another text: 3000 lines, 3000 before\n");
    }
}
