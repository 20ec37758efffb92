//! Options of `kokanee completions` and `kokanee man`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::Shell;

const COMPLETIONS_HELP: &str = "\
Examples:
  # for the current shell session
  source <(kokanee completions bash)
  kokanee completions bash \\
    > ~/.local/share/bash-completion/completions/kokanee
  # if ~/.zfunc is in fpath
  kokanee completions zsh > ~/.zfunc/_kokanee
  kokanee completions fish \\
    > ~/.config/fish/completions/kokanee.fish";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(crate) struct CompletionsArgs {
    /// The shell to complete for
    pub(crate) shell: Shell,
}

const MAN_HELP: &str = "\
Examples:
  # read the page of the program, and of one command
  kokanee man | man -l -
  kokanee man inspect | man -l -
  # install all of them
  kokanee man --dir ~/.local/share/man/man1";

/// Print a manual page, or write all of them to a directory
#[derive(Debug, Args)]
#[command(after_help = MAN_HELP)]
pub(crate) struct ManArgs {
    /// Command to print the page of; by default the program itself
    pub(crate) command: Option<String>,

    /// Write all pages to this directory, one file each
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "command")]
    pub(crate) dir: Option<PathBuf>,
}
