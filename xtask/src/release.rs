//! The release programs that several verbs use.

use std::{env, path::PathBuf};

use anyhow::Result;

use crate::steps::{Step, Steps, root};

/// The demo server, which the interop suites test.
pub(crate) const SERVER: &str = "kokanee";
/// The load generator.
pub(crate) const BENCH: &str = "kokanee-bench";
/// The server that the load generator measures.
pub(crate) const BENCH_SERVER: &str = "kokanee-bench-server";

/// Builds the programs.
///
/// # Errors
/// They do not compile.
pub(crate) fn build(steps: &mut Steps) -> Result<()> {
    // By their packages, as the features that others want of a dependency, such as a clock that tests can pause, are not for them. For
    // the same reason, the server that is measured is built on its own: the command's has metrics.
    let command = Step::new("release build", "cargo build --release");
    let server = Step::new("build of the measured server", "cargo build --release");
    steps.run_once(
        &command
            .args(["--package", "kokanee-cli", "--package", "kokanee-bench"])
            .args(["--bin", SERVER, "--bin", BENCH]),
    )?;
    steps.run_once(&server.args(["--package", "kokanee-examples", "--bin", BENCH_SERVER]))
}

/// Returns the path of one of them.
pub(crate) fn path(program: &str) -> PathBuf {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    root().join(target).join("release").join(program)
}
