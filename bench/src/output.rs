//! What the program prints.

use std::io::{self, Write};

/// Writes a line of the result.
#[cfg(target_os = "linux")]
pub(crate) fn say(line: &str) {
    // If this fails, nobody can be informed of it.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a line for the person who waits, beside the result on standard output.
pub(crate) fn note(line: &str) {
    // If this fails, nobody can be informed of it.
    let _ = writeln!(io::stderr(), "{line}");
}
