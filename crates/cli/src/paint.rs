//! Colours of terminal output, and when they are used.

use std::{
    env,
    io::{self, IsTerminal},
};

use crate::args::{ColorArg, ColorArgs};

/// Returns whether text to this stream is coloured. By default it is not with `NO_COLOR` or a dumb terminal.
fn is_colored(wish: ColorArg, stream: &impl IsTerminal) -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    match wish {
        ColorArg::Always => true,
        ColorArg::Never => false,
        ColorArg::Auto => {
            stream.is_terminal()
                && !is_set("NO_COLOR")
                && env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// Colours text if it is `true`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    /// Returns the paint for stdout.
    pub(crate) fn for_stdout(wish: ColorArgs) -> Self {
        Self(is_colored(wish.when, &io::stdout()))
    }

    /// Returns the paint for stderr.
    pub(crate) fn for_stderr(wish: ColorArgs) -> Self {
        Self(is_colored(wish.when, &io::stderr()))
    }

    fn with(self, code: u8, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with(1, text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with(2, text)
    }

    /// Swaps foreground and background.
    pub(crate) fn reverse(self, text: &str) -> String {
        self.with(7, text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with(31, text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.with(32, text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with(33, text)
    }

    pub(crate) fn blue(self, text: &str) -> String {
        self.with(34, text)
    }

    pub(crate) fn magenta(self, text: &str) -> String {
        self.with(35, text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.with(36, text)
    }

    /// Colours text by an id: the same id always has the same colour.
    pub(crate) fn by_id(self, id: &str, text: &str) -> String {
        const HUES: [u8; 5] = [36, 35, 34, 33, 32];
        let sum: usize = id.bytes().map(usize::from).sum();
        self.with(HUES[sum % HUES.len()], text)
    }
}
