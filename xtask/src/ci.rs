//! `cargo xtask ci`: everything that a change must pass.

use anyhow::Result;

use crate::{lint, soak, steps::Steps, test};

/// Runs the checks, then the tests, then the soak.
///
/// # Errors
/// A check or test fails.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    lint::run(steps)?;
    test::all(steps)?;
    soak::run(steps, soak::SECONDS)
}
