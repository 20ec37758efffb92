//! `cargo xtask fuzz`: builds every fuzz target with libFuzzer and the address sanitizer, and runs each for a while.
//!
//! The targets are the programs in `fuzz/fuzz_targets`. A target starts from the inputs in `fuzz/seeds`, keeps inputs that
//! reach new code in `fuzz/corpus`, and writes inputs that break it to `fuzz/artifacts`.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    requirements::{self, Requirement},
    steps::{Step, Steps, root},
};

const DIRECTORY: &str = "fuzz";

/// What makes the code report its coverage to libFuzzer. The sanitizer needs `RUSTC_BOOTSTRAP` on a stable compiler.
const FLAGS: &str = "\
    --cfg fuzzing \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Zsanitizer=address \
    -Cdebug-assertions \
    -Coverflow-checks \
    -Ccodegen-units=1";

/// Seconds after which a single input counts as a failure.
const INPUT_SECONDS: u32 = 10;

/// What to fuzz, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    seconds: u32,
    /// Names of targets; all if empty.
    targets: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seconds: 60,
            targets: Vec::new(),
        }
    }
}

impl Options {
    /// Reads `[--seconds N] [TARGET...]`.
    ///
    /// # Errors
    /// N is not a number, or an option is unknown.
    pub(crate) fn parse(mut words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        loop {
            words = match words {
                [] => return Ok(options),
                ["--seconds", seconds, rest @ ..] => {
                    options.seconds = seconds
                        .parse()
                        .with_context(|| format!("{seconds:?} is not a number of seconds"))?;
                    rest
                }
                [option, ..] if option.starts_with('-') => bail!("unknown option {option} of fuzz"),
                [target, rest @ ..] => {
                    options.targets.push((*target).to_owned());
                    rest
                }
            }
        }
    }
}

/// Builds the targets and runs them, as many at the same time as there are CPUs.
///
/// # Errors
/// A target does not compile or finds an input that breaks it.
pub(crate) fn run(steps: &mut Steps, options: &Options) -> Result<()> {
    let targets = chosen(targets()?, &options.targets)?;
    requirements::install(steps, &[Requirement::CxxCompiler])?;
    let host = host()?;
    let build = Step::new(
        "fuzz targets",
        "cargo build --release --manifest-path fuzz/Cargo.toml",
    )
    .args(["--target-dir", "fuzz/target", "--bins", "--target", &host])
    .env("RUSTC_BOOTSTRAP", "1")
    .env("RUSTFLAGS", FLAGS);
    steps.run(&build)?;
    let mut runs = Vec::new();
    for target in targets {
        let seeds = format!("{DIRECTORY}/seeds/{target}");
        let has_seeds = root().join(&seeds).is_dir();
        let program = format!("{DIRECTORY}/target/{host}/release/{target}");
        let step = Step::program(format!("fuzz {target}"), root().join(program))
            .arg(format!("-max_total_time={}", options.seconds))
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .args(["-verbosity=0", "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", made("artifacts", &target)?))
            .arg(made("corpus", &target)?)
            .args(has_seeds.then_some(seeds));
        runs.push(step);
    }
    steps.run_in_parallel(&runs)
}

/// Returns the names of all targets, in order.
fn targets() -> Result<Vec<String>> {
    let directory = root().join(DIRECTORY).join("fuzz_targets");
    let mut names = Vec::new();
    for entry in
        fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
        }
    }
    ensure!(
        !names.is_empty(),
        "{} contains no target",
        directory.display()
    );
    names.sort();
    Ok(names)
}

/// Returns the named targets, or all if none is named.
fn chosen(mut all: Vec<String>, wanted: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!(
            "unknown fuzz target {unknown}; the targets are {}",
            all.join(", ")
        );
    }
    all.retain(|name| wanted.is_empty() || wanted.contains(name));
    Ok(all)
}

/// Makes a target's directory of this kind, and returns its path from the root.
fn made(kind: &str, target: &str) -> Result<String> {
    let path = format!("{DIRECTORY}/{kind}/{target}");
    fs::create_dir_all(root().join(&path)).with_context(|| format!("cannot make {path}"))?;
    Ok(path)
}

/// The platform that the compiler builds for. If Cargo gets it explicitly, build scripts are not instrumented.
fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc did not print its host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_seconds_and_targets() {
        let options = Options::parse(&["frames", "--seconds", "5", "packets"]).unwrap();
        assert_eq!(options.seconds, 5);
        assert_eq!(options.targets, ["frames", "packets"]);
        assert_eq!(Options::parse(&[]).unwrap(), Options::default());
        assert!(Options::parse(&["--seconds", "soon"]).is_err());
        assert!(Options::parse(&["--jobs"]).is_err());
    }

    #[test]
    fn unknown_target_is_refused() {
        let all = vec!["frames".to_owned(), "packets".to_owned()];
        assert_eq!(chosen(all.clone(), &[]).unwrap(), all);
        assert_eq!(chosen(all.clone(), &all[1..]).unwrap(), ["packets"]);
        let error = chosen(all, &["sessions".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown fuzz target sessions; the targets are frames, packets"
        );
    }
}
