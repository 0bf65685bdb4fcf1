//! A module's file, by what is in it. It is read when its content is not known by its state, or when
//! the cache lacks it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::cache;
use crate::code::recognise;
use crate::compile::WASM_MAX;
use crate::engine::Mistake;
use crate::ledger::{Facts, Ledger};

/// What a manifest names.
pub(crate) struct Source<'a> {
    path: &'a Path,
    /// The name under which its machine code is kept.
    pub(crate) key: String,
    bytes: Option<Vec<u8>>,
}

impl Source<'_> {
    pub(crate) fn open<'a>(path: &'a Path, ledger: &mut Ledger<'_>) -> Result<Source<'a>, Mistake> {
        let mut file = File::open(path).map_err(unread)?;
        let metadata = file.metadata().map_err(unread)?;
        let facts = Facts::of(&metadata);
        if let Some(key) = ledger.key(&facts) {
            return Ok(Source { path, key: key.to_owned(), bytes: None });
        }
        let (size, ahead) = (metadata.len(), is_ahead(path));
        if size > WASM_MAX && !ahead {
            let text = format!("{size} bytes: larger than a module may be, {WASM_MAX}");
            return Err(Mistake::new(text));
        }
        ledger.begin();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unread)?;
        if !ahead {
            recognise(&bytes)?;
        }
        let key = cache::key(&bytes);
        ledger.note(facts, &key);
        Ok(Source { path, key, bytes: Some(bytes) })
    }

    /// What is in it, under the key that it has then.
    pub(crate) fn read(&mut self) -> Result<Vec<u8>, Mistake> {
        if let Some(bytes) = self.bytes.take() {
            return Ok(bytes);
        }
        let bytes = fs::read(self.path).map_err(unread)?;
        self.key = cache::key(&bytes);
        Ok(bytes)
    }

    /// Whether it says that it is machine code.
    pub(crate) fn is_ahead(&self) -> bool {
        is_ahead(self.path)
    }
}

fn is_ahead(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "cwasm")
}

fn unread(error: io::Error) -> Mistake {
    Mistake::new(format!("can't be read: {error}"))
}
