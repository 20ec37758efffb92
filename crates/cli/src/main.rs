//! The program `kokanee`. Each subcommand is a module; `args` has the command line, and everything is written by `output`.

mod args;
mod arguments;
mod bench;
mod completions;
mod connect;
mod demo;
mod emit;
mod entry;
mod escape;
mod exit;
mod heap;
mod inspect;
mod listen;
mod log;
mod metrics;
mod notice;
mod output;
mod page;
mod paint;
mod peer;
mod pretty;
mod raw;
mod serve;
mod signal;
mod signals;
mod sockets;
mod trace;
mod url;
mod value;

use std::process::ExitCode;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    match Cli::from_process().command {
        Command::Serve(args) => serve::run(&args),
        Command::Connect(args) => connect::run(&args),
        Command::Emit(args) => emit::run(&args),
        Command::Listen(args) => listen::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Tcp(args) => sockets::tcp(&args),
        Command::Udp(args) => sockets::udp(&args),
        Command::Completions(args) => completions::print(args.shell),
        Command::Man(args) => completions::man(&args),
    }
}
