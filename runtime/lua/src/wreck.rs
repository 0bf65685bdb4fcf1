//! Where coroutines stood that died of an error which goes on to whoever called them.

/// More of it than anybody reads.
const BYTES: usize = 8192;

/// Coroutines that died of one error, the innermost first.
#[derive(Debug, Default)]
pub(crate) struct Wreck {
    message: String,
    /// How many there are.
    count: usize,
    trace: String,
}

impl Wreck {
    /// One more died of `message`; another message is another error.
    pub(crate) fn add(&mut self, message: String, trace: &str) {
        if self.message != message {
            *self = Wreck { message, ..Wreck::default() };
        }
        if self.message.len() > BYTES {
            *self = Wreck::default();
            return;
        }
        if self.trace.len() + trace.len() < BYTES {
            self.count += 1;
            self.trace.push_str(trace);
            self.trace.push_str(&format!("\ncoroutine {}:\n", self.count));
        }
    }

    /// The trace of a script that failed with `message`, behind those of its coroutines if it was
    /// theirs.
    pub(crate) fn before(&mut self, message: &str, own: String) -> String {
        let Wreck { message: theirs, trace, .. } = std::mem::take(self);
        if theirs.is_empty() || theirs != message { own } else { trace + &own }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_comes_first_and_another_error_is_not_theirs() {
        let mut wreck = Wreck::default();
        wreck.add("a".into(), "\tstale");
        wreck.add("b".into(), "\tinner");
        wreck.add("b".into(), "\touter");
        let whole = "\tinner\ncoroutine 1:\n\touter\ncoroutine 2:\n\tmain";
        assert_eq!(wreck.before("b", "\tmain".into()), whole);
        wreck.add("b".into(), "\tinner");
        assert_eq!(wreck.before("c", "\tmain".into()), "\tmain");
        assert_eq!(wreck.before("b", "\tmain".into()), "\tmain");
    }
}
