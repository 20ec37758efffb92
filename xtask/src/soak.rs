//! `cargo xtask soak`: mixed traffic with churn against the release server, which afterwards must hold no more than before.

use anyhow::{Context, Result, bail};

use crate::{
    release,
    steps::{Step, Steps, say},
};

/// Default duration, also in the CI.
pub(crate) const SECONDS: u64 = 180;

/// Reads `[--seconds N]`.
///
/// # Errors
/// The arguments are invalid.
pub(crate) fn parse(arguments: &[&str]) -> Result<u64> {
    match arguments {
        [] => Ok(SECONDS),
        ["--seconds", number] => number.parse().context("expected a number of seconds"),
        _ => bail!("the only option of soak is --seconds N"),
    }
}

/// Builds the release programs and runs `kokanee-bench soak`. Linux only.
///
/// # Errors
/// A build fails, a client was not served, or the server holds more than before.
pub(crate) fn run(steps: &mut Steps, seconds: u64) -> Result<()> {
    if !cfg!(target_os = "linux") {
        say("\n── skipped, because it needs Linux: soak");
        return Ok(());
    }
    release::build(steps)?;
    let soak = Step::program("soak", release::path(release::BENCH)).arg("soak");
    let seconds = seconds.to_string();
    let soak = soak.arg("--program").arg(release::path(release::SERVER));
    steps.run(&soak.args(["--seconds", &seconds]))
}
