//! What the program prints.

use std::io::{self, Write};

/// Writes a line of the result.
#[cfg(target_os = "linux")]
pub(crate) fn say(line: &str) {
    // A failure cannot be reported anywhere.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a line on stderr, apart from the result on stdout.
pub(crate) fn note(line: &str) {
    // A failure cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "{line}");
}
