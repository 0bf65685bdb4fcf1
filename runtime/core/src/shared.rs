//! Dictionaries that all workers share.
