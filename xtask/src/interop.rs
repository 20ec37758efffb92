//! `cargo xtask interop`: the published JavaScript and Python clients, and a browser, against the built server; and the
//! client of this project against the published servers.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::{
    release,
    requirements::{self, Requirement, find},
    steps::{Step, Steps, root},
};

const DIRECTORY: &str = "tests/interop";
/// How many clients the upgrade test upgrades from polling to WebSocket, and a fifth of them again in two variations.
const UPGRADES: &str = "10000";

/// Installs what the suites need, builds the server and runs them.
///
/// # Errors
/// A requirement cannot be installed, or a test fails.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    requirements::install(
        steps,
        &[
            Requirement::Node,
            Requirement::Python,
            Requirement::SocketTools,
            Requirement::Chromium,
            Requirement::Proxies,
            Requirement::Tmux,
        ],
    )?;
    requirements::npm_packages(steps, DIRECTORY)?;
    let python = requirements::python_packages(steps, DIRECTORY)?;
    let browser = requirements::browser().context("no browser is installed")?;
    release::build(steps)?;

    let server = release::path(release::SERVER);
    let javascript = Step::new(
        "javascript interop",
        "node --test --test-reporter=spec --test-concurrency=1",
    )
    .args(javascript_suites()?)
    .env("KOKANEE", &server)
    .env("CHROMIUM", browser)
    .env("UPGRADES", UPGRADES)
    .within(DIRECTORY);
    let pytest = Step::program("python interop", python)
        .args(["-m", "pytest", "-q", "py"])
        .env("KOKANEE", &server)
        .within(DIRECTORY);
    // Each has its own servers, and often waits.
    steps.run_in_parallel(&[javascript, pytest])?;
    build_peer(steps)?;
    steps.run(&rust_client())
}

/// Builds the server on socketioxide, which the clients for Rust and for Python are tested against.
///
/// # Errors
/// It does not compile.
pub(crate) fn build_peer(steps: &mut Steps) -> Result<()> {
    steps.run_once(&Step::new(
        "rust peer",
        "cargo build --manifest-path bench/peers/Cargo.toml --target-dir bench/peers/target --bin socketioxide-interop",
    ))
}

/// The tests that are ignored elsewhere because they need what is installed here. More than there are CPUs run at the same time, as they mostly
/// wait.
fn rust_client() -> Step {
    let line = if find("cargo-nextest").is_some() {
        "cargo nextest run --package kokanee-client-interop --package kokanee-cli --run-ignored only --no-fail-fast --test-threads 5"
    } else {
        "cargo test --package kokanee-client-interop --package kokanee-cli --no-fail-fast -- --ignored"
    };
    Step::new("rust client interop", line)
}

/// The files of the JavaScript suites, in order, because Node 20 does not expand patterns.
fn javascript_suites() -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join(DIRECTORY).join("js"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".test.mjs") {
            files.push(format!("js/{name}"));
        }
    }
    ensure!(!files.is_empty(), "{DIRECTORY}/js contains no suite");
    files.sort();
    Ok(files)
}
