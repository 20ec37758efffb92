//! The command line. Each module has the options of one subcommand, or of several.

mod bench;
mod client;
mod common;
mod completions;
mod inspect;
mod parse;
mod serve;
mod sockets;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use bench::{BenchArgs, ScenarioArg};
pub(crate) use client::{ConnectArgs, ConnectionArgs, EmitArgs, ListenArgs};
pub(crate) use common::{ColorArg, ColorArgs, ParserArg, TransportArg};
pub(crate) use completions::{CompletionsArgs, ManArgs};
pub(crate) use inspect::{InspectArgs, InspectForm};
pub(crate) use serve::{RawArgs, ServeArgs};
pub(crate) use sockets::{
    EndArgs, MessageArgs, TcpArgs, TcpClientArgs, TcpCommand, TcpConnectArgs, TcpEchoArgs,
    TcpListenArgs, TcpSendArgs, TcpServerArgs, UdpArgs, UdpCommand, UdpConnectArgs, UdpListenArgs,
    UdpSendArgs, ViewArgs, address,
};

/// Socket.IO for the terminal
#[derive(Debug, Parser)]
#[command(name = "kokanee", version, propagate_version = true)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Parses the arguments of this process. Ends it if they are wrong, or ask for help.
    pub(crate) fn from_process() -> Self {
        let matches = hide_env(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Leaves environment variables out of the help: each option would be twice as long with its own.
fn hide_env(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| arg.hide_env(true));
    command.mut_subcommands(hide_env)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<ServeArgs>),
    Connect(Box<ConnectArgs>),
    Emit(Box<EmitArgs>),
    Listen(Box<ListenArgs>),
    Bench(Box<BenchArgs>),
    Inspect(InspectArgs),
    Tcp(Box<TcpArgs>),
    Udp(Box<UdpArgs>),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The options of a command and of all below it, as `(command, letter, name)`.
    fn options(command: &clap::Command) -> Vec<(String, Option<char>, String)> {
        let own = command.get_arguments().filter_map(|arg| {
            let name = arg.get_long()?.to_owned();
            Some((command.get_name().to_owned(), arg.get_short(), name))
        });
        let below = command.get_subcommands().flat_map(options);
        own.chain(below).collect()
    }

    #[test]
    fn a_letter_is_the_same_option_in_every_command() {
        let options = options(&Cli::command());
        for (command, letter, name) in options.iter().filter(|(_, letter, _)| letter.is_some()) {
            for (other, other_letter, other_name) in &options {
                assert_eq!(
                    letter == other_letter,
                    name == other_name,
                    "{letter:?} --{name} of {command}, {other_letter:?} --{other_name} of {other}"
                );
            }
        }
        assert!(options.len() > 100, "{options:?}");
    }
}
