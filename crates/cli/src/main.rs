//! The command `kokanee`. Each subcommand is a module; `args` says what it understands, `output` is all it writes.

mod args;
mod demo;
mod escape;
mod log;
mod output;
mod page;
mod serve;
mod signals;

use std::process::ExitCode;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    match Cli::from_process().command {
        Command::Serve(args) => serve::run(&args),
    }
}
