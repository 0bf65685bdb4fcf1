//! `pilotlight new`: a filter with its test, or a folder with a gateway.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::flags::New;
use crate::{FAILED, REFUSED, commands};

/// Files by their names, in which `NAME` stands for the new one's.
type Files = &'static [(&'static str, &'static str)];

const LUA: Files = &[
    ("NAME.lua", include_str!("new/filter.lua")),
    ("NAME_test.lua", include_str!("new/filter_test.lua")),
];

const GATEWAY: Files = &[
    ("NAME/pilotlight.toml", include_str!("new/pilotlight.toml")),
    ("NAME/filters/hello.lua", include_str!("new/filter.lua")),
    ("NAME/filters/hello_test.lua", include_str!("new/filter_test.lua")),
    ("NAME/.gitignore", "var/\n"),
];

/// Writes the files, and says which. Nothing that is there already is touched.
pub(crate) fn new(what: New, name: &str) -> ExitCode {
    let (files, below) = match what {
        New::Lua => (LUA, name.strip_suffix(".lua").unwrap_or(name)),
        New::Gateway => (GATEWAY, name),
    };
    let path = Path::new(below);
    let own = path.file_name().and_then(|own| own.to_str()).unwrap_or_default();
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if own.is_empty() || !own.chars().all(is_safe) || own.starts_with('.') {
        eprintln!("pilotlight: \"{name}\" is no name: letters, digits, `-` and `_`");
        return ExitCode::from(REFUSED);
    }
    // The filter of a gateway has a name of its own.
    let filter = if what == New::Gateway { "hello" } else { own };
    let made = |file: &str| PathBuf::from(file.replace("NAME", below));
    if let Some((file, _)) = files.iter().find(|(file, _)| made(file).exists()) {
        eprintln!("pilotlight: {} is there already", made(file).display());
        return ExitCode::from(REFUSED);
    }
    for (file, text) in files {
        let file = made(file);
        if let Err(error) = write(&file, &text.replace("NAME", filter)) {
            eprintln!("pilotlight: cannot write {}: {error}", file.display());
            return ExitCode::from(FAILED);
        }
        commands::print(&format!("{}\n", file.display()));
    }
    let folder = if what == New::Gateway { path } else { path.parent().unwrap_or(Path::new("")) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    eprintln!("try it: pilotlight test {}", folder.display());
    ExitCode::SUCCESS
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Whoever made it since keeps it.
    io::Write::write_all(&mut std::fs::File::create_new(file)?, text.as_bytes())
}
