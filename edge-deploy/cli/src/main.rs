//! `edge-deploy`: the fleet's binary. Flags in, a command run, an exit code out.
//!
//! Exit codes: 0 done; 1 failed while running, or a simulated rollout that did not get through; 2 bad usage
//! or a bad manifest.

mod clock;
mod flags;
mod gateway;
mod init;
mod keys;
mod manifests;
mod node;
mod pack;
mod push;
mod simulate;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use flags::Command;

/// Failed while running.
const FAILED: u8 = 1;
/// Bad usage or a bad manifest.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let command = match flags::parse() {
        Ok(command) => command,
        Err(error) => {
            let hint = "`edge-deploy help` lists the commands and their flags";
            eprintln!("edge-deploy: {error}\nhint: {hint}");
            return ExitCode::from(REFUSED);
        }
    };
    match command {
        Command::Help => help(),
        Command::Version => {
            print(&format!("edge-deploy {}\n", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Command::Init { folder } => init::init(&folder),
        Command::KeysNew { path } => keys::new(&path),
        Command::Pack(pack) => pack::pack(&pack),
        Command::Agent(agent) => node::agent(&agent),
        Command::Launch(launch) => node::launch(&launch),
        Command::Push(push) => push::push(&push),
        Command::Check { files } => manifests::check(&files),
        Command::Simulate(simulate) => simulate::simulate(&simulate),
    }
}

fn help() -> ExitCode {
    let mut text = String::from("The fleet of Pilotlight.\n\nusage: edge-deploy COMMAND\n\n");
    for (usage, does) in flags::COMMANDS {
        let _ = writeln!(text, "  {usage}\n      {does}");
    }
    text.push_str("\nexit codes: 0 done; 1 failed while running; 2 bad usage or a bad manifest\n");
    print(&text);
    ExitCode::SUCCESS
}

/// Data goes to standard output; whoever reads it may leave.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
