//! How tests ended.

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It is as it should be.
    Passed,
    /// It is not, as the test says.
    Failed {
        /// Names file and line.
        message: String,
        /// Where it was called from.
        trace: String,
    },
    /// The test itself went wrong.
    Broken {
        /// Names file and line where there is one.
        message: String,
        /// Where it was called from.
        trace: String,
    },
}

/// A test that was run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Empty for a file that could not be run.
    pub(crate) name: String,
    pub(crate) ended: Ended,
    /// What the test printed, and lines of the log.
    pub(crate) printed: Vec<String>,
}

impl Outcome {
    pub(crate) fn has_passed(&self) -> bool {
        self.ended == Ended::Passed
    }
}

/// The tests of a file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) tests: Vec<Outcome>,
}
