//! `init`: a folder with the manifests of a fleet, and a gateway for it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::end::fail;
use crate::print;

const FILES: &[(&str, &str)] = &[
    ("pilotlight.toml", include_str!("init/pilotlight.toml")),
    ("release.toml", include_str!("init/release.toml")),
    ("rollout.toml", include_str!("init/rollout.toml")),
    ("fleet.toml", include_str!("init/fleet.toml")),
    ("node.toml", include_str!("init/node.toml")),
    ("controller.toml", include_str!("init/controller.toml")),
    ("faults.toml", include_str!("init/faults.toml")),
];

/// Writes them; a file that is there stays as it is, and then none is written.
pub(crate) fn init(folder: &Path) -> ExitCode {
    if let Some((name, _)) = FILES.iter().find(|(name, _)| folder.join(name).exists()) {
        return fail(format!("{} is there already", folder.join(name).display()));
    }
    match write(folder) {
        Ok(()) => {
            let shown = folder.display();
            print(&format!(
                "{shown} begun. Try it: edge-deploy simulate {shown}/rollout.toml --nodes 1000 --faults {shown}/faults.toml\n"
            ));
            ExitCode::SUCCESS
        }
        Err(error) => fail(format!("cannot write to {}: {error}", folder.display())),
    }
}

fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, text) in FILES {
        let file = OpenOptions::new().write(true).create_new(true).open(folder.join(name));
        file?.write_all(text.as_bytes())?;
    }
    Ok(())
}
