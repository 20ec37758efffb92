//! `kokanee-bench`: the load generator on one URL, and the comparison of Kokanee with its peers.

#[cfg(target_os = "linux")]
mod lab;
mod output;
mod single;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use output::note;

/// Load generator for Socket.IO servers, and the comparison of Kokanee with its peers.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Puts one server under load and prints what was measured.
    Load(single::Load),
    /// Compares servers: CPU time per message and memory per connection, interleaved in rounds.
    #[cfg(target_os = "linux")]
    Compare(lab::Compare),
    /// Counts user-space instructions per message with callgrind.
    #[cfg(target_os = "linux")]
    Instructions(lab::Instructions),
    /// Counts system calls per message with perf or strace.
    #[cfg(target_os = "linux")]
    Syscalls(lab::Syscalls),
    /// Checks that the memory of `kokanee serve` goes back when many clients have gone.
    #[cfg(target_os = "linux")]
    Memory(lab::Memory),
    /// Runs mixed traffic with churn against `kokanee serve`, and checks that nothing is left of it.
    #[cfg(target_os = "linux")]
    Soak(lab::Soak),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Load(load) => load.run(),
        #[cfg(target_os = "linux")]
        Command::Compare(compare) => compare.run(),
        #[cfg(target_os = "linux")]
        Command::Instructions(instructions) => instructions.run(),
        #[cfg(target_os = "linux")]
        Command::Syscalls(syscalls) => syscalls.run(),
        #[cfg(target_os = "linux")]
        Command::Memory(memory) => memory.run(),
        #[cfg(target_os = "linux")]
        Command::Soak(soak) => soak.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
