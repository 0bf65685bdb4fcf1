//! No text makes importing an nginx.conf panic; what is refused says where, what comes out is TOML.
#![no_main]

use std::path::Path;

use pilotlight_config::Pretend;
use pilotlight_import::{Kind, Source, import};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = Path::new("/edge/nginx.conf");
    match import(Kind::Nginx, text, Source { file, prefix: None, out: None, disk: &Pretend }) {
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
});
