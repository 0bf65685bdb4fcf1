//! The text that a script reads up to (`receiveuntil`), looked for while it comes.

/// A text to look for, with what is needed to go on after a part of it was seen (Knuth, Morris and
/// Pratt): for each length of it, the length of its longest beginning that is also an end of that.
pub(crate) struct Pattern {
    text: Vec<u8>,
    borders: Vec<u32>,
}

/// Where a search is: bytes looked at, and how many of the last ones are a beginning of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Search {
    at: usize,
    matched: usize,
}

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The text, behind so many other bytes.
    Text(usize),
    /// So many bytes that are not of the text: at least as many as asked for.
    Enough(usize),
    /// Neither yet.
    More,
}

impl Pattern {
    pub(crate) fn new(text: &[u8]) -> Pattern {
        let mut borders = vec![0; text.len() + 1];
        let mut border = 0;
        for at in 1..text.len() {
            while border > 0 && text[at] != text[border] {
                border = borders[border] as usize;
            }
            if text[at] == text[border] {
                border += 1;
            }
            borders[at + 1] = border as u32;
        }
        Pattern { text: text.to_vec(), borders }
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Goes on with a search in `bytes`, which begin with what it has looked at already. `size` is
    /// how many bytes before the text are enough; 0: as many as there are.
    ///
    /// A part of the text that comes to nothing counts at once and as a whole, as in OpenResty, so
    /// `Enough` may be more than `size`.
    pub(crate) fn find(&self, search: &mut Search, bytes: &[u8], size: usize) -> Found {
        let Search { mut at, mut matched } = *search;
        let enough = |before: usize| size > 0 && before >= size;
        while at < bytes.len() {
            if matched == 0 && size == 0 {
                match memchr::memchr(self.text[0], &bytes[at..]) {
                    Some(skipped) => at += skipped,
                    None => {
                        at = bytes.len();
                        break;
                    }
                }
            }
            let byte = bytes[at];
            if byte == self.text[matched] {
                (at, matched) = (at + 1, matched + 1);
                if matched == self.text.len() {
                    return Found::Text(at - matched);
                }
                continue;
            }
            // The longest shorter part that this byte goes on with; the text's first byte alone
            // is looked at anew.
            let mut border = self.borders[matched] as usize;
            while border > 0 && byte != self.text[border] {
                border = self.borders[border] as usize;
            }
            match (border, matched) {
                (0, 0) => at += 1,
                (0, _) => matched = 0,
                (border, _) => (at, matched) = (at + 1, border + 1),
            }
            if enough(at - matched) {
                return Found::Enough(at - matched);
            }
        }
        *search = Search { at, matched };
        Found::More
    }
}

impl Search {
    /// Bytes that are not of the text whatever comes.
    pub(crate) fn passed(&self) -> usize {
        self.at - self.matched
    }
}

#[cfg(test)]
mod tests;
