//! What importing owes to any text: it does not panic, what is refused says where, what comes out is a
//! manifest's TOML.

use std::path::Path;

use pilotlight_config::Pretend;
use pilotlight_import::{Kind, Source, import};

/// Imports these bytes as `file`.
pub fn check(kind: Kind, file: &str, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let source = Source { file: Path::new(file), prefix: None, out: None, disk: &Pretend };
    match import(kind, text, source) {
        Ok(imported) => {
            if let Err(report) =
                pilotlight_config::parse_str(&imported.manifest, Path::new("/edge"))
            {
                let said = report.render(false);
                assert!(!said.contains("unknown key"), "{said}");
            }
        }
        Err(refused) => assert!(refused.line > 0 && !refused.message.is_empty()),
    }
}
