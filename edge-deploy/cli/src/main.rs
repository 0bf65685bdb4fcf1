//! `edge-deploy`: the fleet's binary. Flags in, a command run, an exit code out.
//!
//! Exit codes: 0 done; 1 failed while running, or a simulated rollout that did not get through; 2 bad usage
//! or a bad manifest; 3 a rollout that was taken back or has expired; 4 one that waits for an operator; 5 one that
//! goes on when the time to watch it is over.

mod clock;
mod end;
mod flags;
mod gateway;
mod init;
mod keys;
mod manifests;
mod node;
mod operate;
mod pack;
mod push;
mod serve;
mod simulate;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use flags::Command;

/// Failed while running.
const FAILED: u8 = 1;
/// Bad usage or a bad manifest.
const REFUSED: u8 = 2;
/// A rollout that was taken back, or has expired.
const BACK: u8 = 3;
/// A rollout that waits for an operator.
const WAITS: u8 = 4;
/// A rollout that goes on when `--timeout` is over.
const LATE: u8 = 5;

fn main() -> ExitCode {
    let command = match flags::parse() {
        Ok(command) => command,
        Err(error) => {
            let hint = "`edge-deploy help` lists the commands and their flags";
            return end::refuse(format!("{error}\nhint: {hint}"));
        }
    };
    match command {
        Command::Help => help(),
        Command::Version => {
            print(&format!("edge-deploy {}\n", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Command::Init { folder } => init::init(&folder),
        Command::Keys(flags::Keys::New { path }) => keys::new(&path),
        Command::Keys(flags::Keys::Root(rooted)) => keys::root(&rooted),
        Command::Keys(flags::Keys::Rotate(rooted)) => keys::rotate(&rooted),
        Command::Keys(flags::Keys::Sign { file, keys }) => keys::sign(&file, &keys),
        Command::Keys(flags::Keys::Show { files }) => keys::show(&files),
        Command::Quarantine(quarantine) => node::quarantine(&quarantine),
        Command::Pack(pack) => pack::pack(&pack),
        Command::Agent(agent) => node::agent(&agent),
        Command::Launch(launch) => node::launch(&launch),
        Command::Push(push) => push::push(&push),
        Command::Check { files } => manifests::check(&files),
        Command::Serve { file } => serve::serve(&file),
        Command::Operate(operate) => operate::operate(&operate),
        Command::Simulate(simulate) => simulate::simulate(&simulate),
    }
}

fn help() -> ExitCode {
    let mut text = String::from("The fleet of Pilotlight.\n\nusage: edge-deploy COMMAND\n\n");
    for (usage, does) in flags::COMMANDS {
        let _ = writeln!(text, "  {usage}\n      {does}");
    }
    text.push_str("\nexit codes: 0 done; 1 failed while running; 2 bad usage or a bad manifest; 3 taken back or expired; 4 waits for an operator; 5 goes on past --timeout\n");
    print(&text);
    ExitCode::SUCCESS
}

/// Data goes to standard output; whoever reads it may leave.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
