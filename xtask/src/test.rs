//! `cargo xtask test`: every test of the repository, after installing its requirements.

use anyhow::Result;

use crate::{
    bench, fuzz, interop, python,
    requirements::{self, Requirement, find},
    steps::{Step, Steps},
};

/// Runs the Rust tests, the interop suites, the tests of the Python package, the benchmark's gate, and every fuzz target for a minute.
///
/// # Errors
/// A requirement cannot be installed, or a test fails.
pub(crate) fn all(steps: &mut Steps) -> Result<()> {
    requirements::install(
        steps,
        &[
            Requirement::Node,
            Requirement::Python,
            Requirement::SocketTools,
            Requirement::Chromium,
            Requirement::Tmux,
            Requirement::Valgrind,
            Requirement::CxxCompiler,
            Requirement::Make,
        ],
    )?;
    quick(steps)?;
    interop::run(steps)?;
    python::test(steps, &[])?;
    bench::gate(steps)?;
    fuzz::run(steps, &fuzz::Options::default())
}

/// Runs the Rust tests: unit, integration and documentation tests of the workspace.
///
/// # Errors
/// A test fails.
pub(crate) fn quick(steps: &mut Steps) -> Result<()> {
    if find("cargo-nextest").is_some() {
        steps.run(&Step::new(
            "rust tests",
            "cargo nextest run --workspace --no-fail-fast",
        ))?;
    } else {
        steps.run(&Step::new(
            "rust tests",
            "cargo test --workspace --all-targets --no-fail-fast",
        ))?;
    }
    steps.run(&Step::new(
        "documentation tests",
        "cargo test --workspace --doc",
    ))
}
