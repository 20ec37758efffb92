//! `kokanee connect`: an interactive session in a terminal, or one that reads lines from stdin.

mod command;
mod editor;
mod history;
mod names;
mod plain;
mod screen;
mod session;
mod status;
mod terminal;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use crate::{
    args::ConnectArgs,
    output::Output,
    peer::{self, PeerError},
};

/// Runs the command.
pub(crate) fn run(args: &ConnectArgs) -> ExitCode {
    peer::run(&args.connection, |output| async move {
        connect(args, output).await
    })
}

async fn connect(args: &ConnectArgs, output: Output) -> Result<(), PeerError> {
    if io::stdin().is_terminal() && io::stdout().is_terminal() && !args.json {
        terminal::run(args, output).await
    } else {
        plain::run(args, output).await
    }
}
