//! `cargo xtask python`: builds the Python package as users install it, and runs its tests; `cargo xtask wheel`: builds source
//! distribution and wheel.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{
    interop, release,
    requirements::{self, Requirement},
    steps::{Step, Steps, root, say},
};

const DIRECTORY: &str = "python";

/// Installs the package from its folder into a virtual environment, builds the servers that its clients are tested against, and
/// runs its tests there.
///
/// # Errors
/// A requirement cannot be installed, the package or a server cannot be built, or a test fails, also for want of what it needs.
pub(crate) fn test(steps: &mut Steps, arguments: &[&str]) -> Result<()> {
    requirements::install(
        steps,
        &[
            Requirement::Node,
            Requirement::Python,
            Requirement::SocketTools,
            Requirement::Chromium,
        ],
    )?;
    requirements::npm_packages(steps, "tests/interop")?;
    let browser = requirements::browser().context("no browser is installed")?;
    release::build(steps)?;
    interop::build_peer(steps)?;
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
    // From the root, where no folder hides the package that was installed. Tests that share a host's process are a group. Most of
    // them wait for processes, so that a third one is of use also where there are two CPUs.
    let pytest = Step::program("python tests", python)
        .args(["-m", "pytest", "-q", "--numprocesses=3"])
        .args(["--dist=loadgroup", "--complete", "python/tests"])
        .args(arguments)
        .env("KOKANEE", release::path(release::SERVER))
        .env("CHROMIUM", browser);
    steps.run(&pytest)
}

/// The size that the wheel must not exceed.
const MAX_WHEEL_BYTES: u64 = 4_000_000;

/// Builds the source distribution into `target/wheels`, and from it, without a network, the wheel for this platform. Returns the
/// wheel's path.
///
/// # Errors
/// The package cannot be built, or the wheel is too large.
pub(crate) fn wheel(steps: &mut Steps) -> Result<PathBuf> {
    requirements::install(steps, &[Requirement::Python])?;
    let python = requirements::python_packages(steps, DIRECTORY)?;
    steps.run(&Step::new("crates", "cargo fetch --locked"))?;
    let wheels = root().join("target/wheels");
    if wheels.exists() {
        fs::remove_dir_all(&wheels)?;
    }
    let build = Step::program("wheel", python)
        .args(["-m", "maturin", "build", "--release", "--sdist", "--out"])
        .arg(&wheels)
        .env("CARGO_NET_OFFLINE", "true")
        .within(DIRECTORY);
    steps.run(&build)?;
    let mut wheel = None;
    for entry in fs::read_dir(&wheels)? {
        let (path, bytes) = {
            let entry = entry?;
            (entry.path(), entry.metadata()?.len())
        };
        say(&format!("{bytes:>9} bytes  {}", path.display()));
        if path.extension().is_some_and(|extension| extension == "whl") {
            ensure!(
                bytes <= MAX_WHEEL_BYTES,
                "the wheel has {bytes} bytes, more than {MAX_WHEEL_BYTES}"
            );
            wheel = Some(path);
        }
    }
    wheel.context("maturin has built no wheel")
}
