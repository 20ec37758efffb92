//! `cargo xtask ci`: all that a change must pass.

use anyhow::Result;

use crate::{lint, steps::Steps, test};

/// Runs the checks, then the tests.
///
/// # Errors
/// Something does not pass.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    lint::run(steps)?;
    test::all(steps)
}
