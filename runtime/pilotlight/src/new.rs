//! `pilotlight new`: a filter with its test, or a folder with a gateway.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::flags::New;
use crate::{FAILED, REFUSED, commands};

// Who has no tests to run has no compiler either.
#[cfg(feature = "testing")]
mod wasm;

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

/// What is begun.
struct Kind {
    files: &'static [Files],
    /// Files that stay as they are.
    sdk: Files,
    /// The files stand in a folder of that name.
    is_folder: bool,
    /// What tries it.
    then: &'static str,
}

fn kind(what: New) -> Option<Kind> {
    #[cfg(feature = "testing")]
    let guest = |files, sdk| {
        Some(Kind { files, sdk, is_folder: true, then: "NAME/build && pilotlight test NAME" })
    };
    match what {
        New::Lua => {
            Some(Kind { files: &[LUA], sdk: &[], is_folder: false, then: "pilotlight test FOLDER" })
        }
        New::Gateway => Some(Kind {
            files: &[GATEWAY],
            sdk: &[],
            is_folder: true,
            then: "pilotlight test NAME",
        }),
        #[cfg(feature = "testing")]
        New::Rust => guest(&[wasm::RUST, wasm::COMMON], wasm::RUST_SDK),
        #[cfg(feature = "testing")]
        New::Application => Some(Kind {
            files: &[wasm::APPLICATION],
            sdk: &[],
            is_folder: true,
            then: "NAME/build && pilotlight check NAME/pilotlight.toml",
        }),
        #[cfg(feature = "testing")]
        New::C => guest(&[wasm::C, wasm::COMMON], wasm::C_SDK),
        #[cfg(feature = "testing")]
        New::AssemblyScript => {
            guest(&[wasm::ASSEMBLYSCRIPT, wasm::COMMON], wasm::ASSEMBLYSCRIPT_SDK)
        }
        #[cfg(not(feature = "testing"))]
        _ => None,
    }
}

/// Writes the files, and says which. Nothing that is there already is touched.
pub(crate) fn new(what: New, name: &str) -> ExitCode {
    let Some(Kind { files, sdk, is_folder, then }) = kind(what) else {
        eprintln!(
            "pilotlight: this build begins nothing in Wasm\nhint: begin them with the full build"
        );
        return ExitCode::from(REFUSED);
    };
    let below = if is_folder { name } else { name.strip_suffix(".lua").unwrap_or(name) };
    let path = Path::new(below);
    let own = path.file_name().and_then(|own| own.to_str()).unwrap_or_default();
    if !is_name(own, what) {
        eprintln!("pilotlight: \"{name}\" is no name: letters, digits, `-` and `_`");
        return ExitCode::from(REFUSED);
    }
    // The filter of a gateway has a name of its own.
    let filter = if what == New::Gateway { "hello" } else { own };
    let own =
        files.iter().copied().flatten().map(|(file, text)| (file, text.replace("NAME", filter)));
    let files: Vec<(PathBuf, String)> = own
        .chain(sdk.iter().map(|(file, text)| (file, (*text).to_owned())))
        .map(|(file, text)| (PathBuf::from(file.replace("NAME", below)), text))
        .collect();
    if let Some((file, _)) = files.iter().find(|(file, _)| file.exists()) {
        eprintln!("pilotlight: {} is there already", file.display());
        return ExitCode::from(REFUSED);
    }
    for (file, text) in files {
        if let Err(error) = write(&file, &text) {
            eprintln!("pilotlight: cannot write {}: {error}", file.display());
            return ExitCode::from(FAILED);
        }
        commands::print(&format!("{}\n", file.display()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).display().to_string();
    eprintln!("try it: {}", then.replace("NAME", below).replace("FOLDER", &folder));
    ExitCode::SUCCESS
}

fn is_name(own: &str, what: New) -> bool {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    // A crate's name is stricter than a file's.
    let begins = own.starts_with(|c: char| c.is_ascii_alphabetic()) && !own.contains('.');
    !own.is_empty()
        && own.chars().all(is_safe)
        && !own.starts_with('.')
        && (begins || matches!(what, New::Lua | New::Gateway))
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Whoever made it since keeps it.
    let mut made = std::fs::File::create_new(file)?;
    io::Write::write_all(&mut made, text.as_bytes())?;
    if text.starts_with("#!") {
        let mode = made.metadata()?.permissions().mode();
        made.set_permissions(std::fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))?;
    }
    Ok(())
}
