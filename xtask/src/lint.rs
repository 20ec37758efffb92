//! `cargo xtask lint`: formatting, structure, lints, documentation, the dependencies between the crates, licences, spelling.

use anyhow::{Result, ensure};

use crate::{
    examples,
    requirements::find,
    steps::{Step, Steps, say},
    structure,
};

/// The crates without I/O.
const SANS_IO: [&str; 5] = [
    "kokanee-websocket",
    "kokanee-engineio",
    "kokanee-socketio",
    "kokanee-cluster",
    "kokanee-handler",
];
/// External crates for I/O.
const IO: [&str; 4] = ["hyper", "mio", "socket2", "tokio"];

/// Runs all checks. Checks whose program is not installed (typos, cargo-deny) are skipped with a note.
///
/// # Errors
/// A check fails.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    steps.run(&Step::new("format", "cargo fmt --all --check"))?;
    structure::check()?;
    examples::check()?;
    sans_io(steps)?;
    optional(steps, "typos", &Step::new("spelling", "typos"))?;
    // Not the advisories, because they change without a change here: run `cargo deny check advisories` by hand.
    let deny = Step::new("dependencies", "cargo deny check bans licenses sources");
    optional(steps, "cargo-deny", &deny)?;
    let clippy = Step::new(
        "clippy",
        "cargo clippy --workspace --all-targets --all-features -- -D warnings",
    );
    steps.run(&clippy)?;
    // They are not a part of the workspace, and are built last of all. What both need is checked once.
    let fuzz = Step::new(
        "clippy of the fuzz targets",
        "cargo clippy --manifest-path fuzz/Cargo.toml --target-dir target -- -D warnings",
    );
    steps.run(&fuzz)?;
    // The program has the library's name, so Cargo would write the documentation of both to the same files.
    let doc = Step::new(
        "documentation",
        "cargo doc --workspace --exclude kokanee-cli --no-deps --all-features --document-private-items",
    );
    steps.run(&doc.env("RUSTDOCFLAGS", "-D warnings"))
}

fn optional(steps: &mut Steps, program: &str, step: &Step) -> Result<()> {
    if find(program).is_none() {
        say(&format!(
            "\n── left out, as {program} is not installed: {step}"
        ));
        return Ok(());
    }
    steps.run(step)
}

/// Checks that no crate of the protocol core depends on one that does I/O.
fn sans_io(steps: &mut Steps) -> Result<()> {
    let packages = SANS_IO.map(|name| ["-p", name]);
    let tree = Step::new(
        "sans-I/O borders",
        "cargo tree -e normal --prefix none --format {p} --all-features",
    )
    .args(packages.as_flattened());
    let output = steps.output(&tree)?;
    let found = io_crates(&output);
    ensure!(
        found.is_empty(),
        "{} must not depend on {}\nto see why: cargo tree -e normal -i {} -p {}",
        SANS_IO.join(", "),
        found.join(", "),
        found[0],
        SANS_IO.join(" -p "),
    );
    Ok(())
}

/// Returns the crates of [`IO`] in the output of `cargo tree`.
fn io_crates(tree: &str) -> Vec<&'static str> {
    let names: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    IO.into_iter().filter(|name| names.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokio_in_the_tree_is_found() {
        assert_eq!(
            io_crates("kokanee-engineio v0.1.0 (crates/engineio)\nbytes v1.11.1\n"),
            [""; 0]
        );
        assert_eq!(
            io_crates("bytes v1.11.1\n\ntokio v1.47.0\nmio v1.0.0 (*)\n"),
            ["mio", "tokio"]
        );
        assert_eq!(io_crates("tokio-websockets v0.13.0\n"), [""; 0]);
    }
}
