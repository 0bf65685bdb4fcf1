//! What was learnt of applications' loads: it outlives sleep.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::park::state::{Reader, Writer};

/// By application.
#[derive(Default)]
pub(crate) struct States(Mutex<BTreeMap<String, Vec<u8>>>);

impl States {
    pub(super) fn put(&self, app: &str, state: Vec<u8>) {
        self.lock().insert(app.to_owned(), state);
    }

    pub(super) fn take(&self, app: &str) -> Option<Vec<u8>> {
        self.lock().remove(app)
    }

    pub(crate) fn keep(&self, to: &mut Writer) {
        for (app, state) in &*self.lock() {
            to.bytes(app.as_bytes());
            to.bytes(state);
        }
    }

    pub(crate) fn take_back(&self, from: &mut Reader<'_>) -> Option<()> {
        while !from.0.is_empty() {
            let (app, state) = (from.text()?, from.bytes()?);
            self.put(app, state.to_vec());
        }
        Some(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
