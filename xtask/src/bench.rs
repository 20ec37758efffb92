//! `cargo xtask bench`: the comparison with the peers. Also the gate on instructions, which is part of the tests.

use anyhow::Result;

use crate::{
    release,
    requirements::{self, Requirement},
    steps::{Step, Steps, say},
};

/// Maximum user-space instructions per message, by case of the benchmark: about 4 % above the measured counts, which vary by
/// up to 3 %. The maximum of a delivery is fixed at 800.
const GATE: &str = "echo=3500,echo16=1915,broadcast=800,polling=33900";

/// Builds the peers and runs `kokanee-bench compare`.
///
/// # Errors
/// A build fails, or a message was lost.
pub(crate) fn compare(steps: &mut Steps, arguments: &[&str]) -> Result<()> {
    requirements::install(steps, &[Requirement::Node])?;
    requirements::npm_packages(steps, "bench/peers/node")?;
    steps.run(&Step::new(
        "peers",
        "cargo build --release --manifest-path bench/peers/Cargo.toml --target-dir bench/peers/target",
    ))?;
    release::build(steps)?;
    steps.run(&measurement("comparison", "compare").args(arguments))
}

/// Counts the instructions per message and fails if they are too many. Linux only.
///
/// # Errors
/// Valgrind cannot be installed, or the gate is broken.
pub(crate) fn gate(steps: &mut Steps) -> Result<()> {
    if !cfg!(target_os = "linux") {
        say("\n── skipped, because it needs Linux: instructions per message");
        return Ok(());
    }
    requirements::install(steps, &[Requirement::Valgrind])?;
    release::build(steps)?;
    let step = measurement("instructions per message", "instructions");
    steps.run(&step.args(["--servers", "kokanee", "--gate", GATE]))
}

/// A step that runs a measurement of `kokanee-bench`.
fn measurement(name: &str, command: &str) -> Step {
    let server = release::path(release::BENCH_SERVER);
    Step::program(name, release::path(release::BENCH))
        .arg(command)
        .arg("--server")
        .arg(format!("kokanee={}", server.display()))
}
