//! `pilotlight`: the gateway's binary. Flags in, a command run, an exit code out.
//!
//! Exit codes: 0 done; 1 failed while running; 2 bad usage or a bad manifest.

mod allocator;
mod commands;
mod descriptors;
mod engines;
mod flags;
#[cfg(feature = "import")]
mod import;
mod new;
mod test;

use std::process::ExitCode;

use flags::Command;

#[global_allocator]
static ALLOCATOR: allocator::Mimalloc = allocator::Mimalloc;

/// Failed while running.
const FAILED: u8 = 1;
/// Bad usage or a bad manifest.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let command = match flags::parse() {
        Ok(command) => command,
        Err(error) => {
            eprintln!(
                "pilotlight: {error}\nhint: `pilotlight help` lists the commands and their flags"
            );
            return ExitCode::from(REFUSED);
        }
    };
    match command {
        Command::Help => commands::help(),
        Command::Version { verbose } => commands::version(verbose),
        Command::Schema => commands::schema(),
        Command::Run(from) => commands::run(from),
        Command::Check { file, json } => commands::check(&file, json),
        Command::Compile { file, output, target } => {
            commands::compile(&file, output, target.as_deref())
        }
        #[cfg(feature = "import")]
        Command::Import(import) => import::import(&import),
        #[cfg(not(feature = "import"))]
        Command::Import(import) => commands::no_import(&import.file),
        Command::Admin { ask, at, json } => commands::admin(ask, &at, json),
        Command::Test { paths, tap, junit } => test::test(&paths, tap, junit.as_deref()),
        Command::New { what, name } => new::new(what, &name),
    }
}
