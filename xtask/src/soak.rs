//! `cargo xtask soak`: mixed traffic with churn against the release server, which must hold no more afterwards than before.

use anyhow::{Context, Result, bail};

use crate::{
    release,
    steps::{Step, Steps, say},
};

/// How long the CI soaks, and everybody who does not say otherwise.
pub(crate) const SECONDS: u64 = 180;

/// Reads `[--seconds N]`.
///
/// # Errors
/// The words are others.
pub(crate) fn parse(arguments: &[&str]) -> Result<u64> {
    match arguments {
        [] => Ok(SECONDS),
        ["--seconds", number] => number.parse().context("a number of seconds is expected"),
        _ => bail!("the soak takes --seconds N and nothing else"),
    }
}

/// Builds the release programs and runs `kokanee-bench soak`. Linux only.
///
/// # Errors
/// A build fails, a client was not served, or something is held that was not held before.
pub(crate) fn run(steps: &mut Steps, seconds: u64) -> Result<()> {
    if !cfg!(target_os = "linux") {
        say("\n── left out, as it needs Linux: soak");
        return Ok(());
    }
    release::build(steps)?;
    let soak = Step::program("soak", release::path(release::BENCH)).arg("soak");
    let seconds = seconds.to_string();
    let soak = soak.arg("--program").arg(release::path(release::SERVER));
    steps.run(&soak.args(["--seconds", &seconds]))
}
