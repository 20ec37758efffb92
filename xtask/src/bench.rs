//! `cargo xtask bench`: the comparison with the peers, or with `--python` that of servers for Python. Also the gate on
//! instructions, which is part of the tests.

use anyhow::Result;

use crate::{
    python, release,
    requirements::{self, Requirement},
    steps::{Step, Steps, say},
};

/// Maximum user-space instructions per message, by case of the benchmark: about 4 % above the measured counts, which vary by
/// up to 3 %. The maximum of a delivery is fixed at 800.
const GATE: &str = "echo=3500,echo16=1940,broadcast=800,polling=34200";

/// Where the servers for Python are.
const PYTHON_PEERS: &str = "bench/peers/python";

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

/// Builds and installs the Python package, runs `kokanee-bench compare --python`, and measures import and wheel.
///
/// # Errors
/// A build fails, or a message was lost.
pub(crate) fn compare_python(steps: &mut Steps, arguments: &[&str]) -> Result<()> {
    let python = requirements::python_packages(steps, PYTHON_PEERS)?;
    let wheel = python::wheel(steps)?;
    let install = Step::program("python package", &python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--force-reinstall", "--no-deps"])
        .arg(&wheel);
    steps.run(&install)?;
    release::build(steps)?;
    let sizes = Step::program("import and wheel", python)
        .arg(format!("{PYTHON_PEERS}/sizes.py"))
        .arg(&wheel);
    steps.run(&sizes)?;
    let comparison = measurement("comparison", "compare").arg("--python");
    steps.run(&comparison.args(arguments))
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
