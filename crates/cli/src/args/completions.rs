//! Options of `kokanee completions` and `kokanee man`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::Shell;

const COMPLETIONS_HELP: &str = "\
Examples:
  # for this shell
  source <(kokanee completions bash)
  kokanee completions bash \\
    > ~/.local/share/bash-completion/completions/kokanee
  # if ~/.zfunc is in fpath
  kokanee completions zsh > ~/.zfunc/_kokanee
  kokanee completions fish \\
    > ~/.config/fish/completions/kokanee.fish";

/// Print the script with which a shell completes what you type
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

const MAN_HELP: &str = "\
Examples:
  # read the page of the program, and of a command
  kokanee man | man -l -
  kokanee man inspect | man -l -
  # install all of them
  kokanee man --dir ~/.local/share/man/man1";

/// Print a manual page, or write all of them to a directory
#[derive(Debug, Args)]
#[command(after_help = MAN_HELP)]
pub(crate) struct ManArgs {
    /// The command whose page is wanted; the program's own by default
    pub(crate) command: Option<String>,

    /// Write one file for each page to this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "command")]
    pub(crate) dir: Option<PathBuf>,
}
