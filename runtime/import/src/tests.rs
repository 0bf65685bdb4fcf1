//! Whole configurations: what is expected stands beside them, and is what the gateway can load.

mod golden;
mod random;

use std::io;
use std::path::{Path, PathBuf};

use pilotlight_config::{Disk, Pretend};

use super::*;

/// Files of a test, all below one folder.
pub(crate) struct Shelf<'t>(pub(crate) &'t [(String, String)]);

impl Disk for Shelf<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        let found = self.0.iter().find(|(name, _)| path == Path::new("/etc/edge").join(name));
        found.map(|(_, text)| text.clone()).ok_or(io::ErrorKind::NotFound.into())
    }
    fn file(&self, path: &Path) -> io::Result<()> {
        self.read(path).map(drop)
    }
    fn folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let below = |name: &String| {
            let whole = PathBuf::from("/etc/edge").join(name);
            let name = whole.strip_prefix(path).ok()?.components().next()?;
            Some(name.as_os_str().to_str()?.to_owned())
        };
        Ok(self.0.iter().filter_map(|(name, _)| below(name)).collect())
    }
}

pub(crate) fn run(kind: Kind, text: &str, disk: &dyn Disk) -> Result<Imported, Refused> {
    let name = if kind == Kind::Kong { "/etc/edge/kong.yaml" } else { "/etc/edge/nginx.conf" };
    import(kind, text, Source { file: Path::new(name), prefix: None, out: None, disk })
}

/// The manifest must be one.
pub(crate) fn loads(manifest: &str) -> Result<String, String> {
    // Variables that it names are there.
    let env = |_: &str| Some("x".to_owned());
    let path = Path::new("/etc/edge/pilotlight.toml");
    match pilotlight_config::parse_with(manifest, path, &env, &Pretend) {
        Ok(loaded) => Ok(loaded.warnings.render(false)),
        Err(report) => Err(report.render(false)),
    }
}
