//! `cargo xtask python`: builds the Python package as users install it, and runs its tests; `cargo xtask wheel`: builds the wheel.

use anyhow::{Context, Result};

use crate::{
    requirements::{self, Requirement},
    steps::{Step, Steps, root},
};

const DIRECTORY: &str = "python";

/// Installs the package from its folder into a virtual environment, and runs its tests there.
///
/// # Errors
/// A requirement cannot be installed, the package cannot be built, or a test fails.
pub(crate) fn test(steps: &mut Steps, arguments: &[&str]) -> Result<()> {
    requirements::install(steps, &[Requirement::Node, Requirement::Python])?;
    requirements::npm_packages(steps, "tests/interop")?;
    let python = requirements::python_packages(steps, DIRECTORY)?;
    // What is installed is this source, whatever version it says.
    let install = Step::program("python package", &python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--force-reinstall",
        "--no-deps",
        "./python",
    ]);
    steps.run(&install)?;
    // From the root, where no folder hides the package that was installed. Tests that share a host's process are a group.
    let pytest = Step::program("python tests", python)
        .args(["-m", "pytest", "-q", "--numprocesses=auto"])
        .args(["--maxprocesses=4", "--dist=loadgroup", "python/tests"])
        .args(arguments);
    steps.run(&pytest)
}

/// Builds the wheel for this platform into `target/wheels`.
///
/// # Errors
/// The package cannot be built.
pub(crate) fn wheel(steps: &mut Steps) -> Result<()> {
    requirements::install(steps, &[Requirement::Python])?;
    let python = requirements::python_packages(steps, DIRECTORY)?;
    let wheels = root().join("target/wheels");
    let wheels = wheels.to_str().context("the path is not text")?;
    let build = Step::program("wheel", python)
        .args(["-m", "maturin", "build", "--release", "--out", wheels])
        .within(DIRECTORY);
    steps.run(&build)
}
