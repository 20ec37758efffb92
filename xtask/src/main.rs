//! `cargo xtask`: what a developer and the CI run on this repository, one module per verb.
//!
//! A verb is a sequence of [`steps`]: each is printed, runs a child process that shares the terminal, and ends the verb if it
//! fails. [`requirements`] finds or installs the tools that the steps need.

mod bench;
mod ci;
mod examples;
mod fuzz;
mod imports;
mod interop;
mod lint;
mod python;
mod release;
mod requirements;
mod soak;
mod steps;
mod structure;
mod test;

use std::process::ExitCode;

use anyhow::bail;
use steps::{Steps, say};

const USAGE: &str = "\
Usage: cargo xtask <verb>

  test [--quick]                   installs what the tests need and runs all of them; --quick: the Rust tests only
  interop                          the JavaScript, Python and browser suites against the built server
  python [ARGUMENTS...]            installs the Python package from its source and runs its tests; arguments are pytest's
  wheel                            builds the Python package's source distribution, and from it the wheel
  fuzz [--seconds N] [TARGET...]   every fuzz target, or those named, 60 seconds each
  bench [--python] [ARGUMENTS...]  builds the peers and runs `kokanee-bench compare` with the arguments; --python: servers
                                   for Python, its package's import and wheel
  soak [--seconds N]               3 minutes of mixed traffic with churn, or N seconds; afterwards the server must hold nothing
  lint [--structure | --examples]  formatting, structure, clippy, documentation, dependencies, spelling; --structure: the
                                   circles of imports and the long files and functions only; --examples: how many
                                   examples the documentation has
  ci                               lint, then test, then soak";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut steps = Steps::default();
    let result = run(&mut steps, &words);
    steps.summarize();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(steps: &mut Steps, words: &[&str]) -> anyhow::Result<()> {
    match words {
        ["test"] => test::all(steps),
        ["test", "--quick"] => test::quick(steps),
        ["interop"] => interop::run(steps),
        ["python", arguments @ ..] => python::test(steps, arguments),
        ["wheel"] => python::wheel(steps).map(|_| ()),
        ["fuzz", arguments @ ..] => fuzz::run(steps, &fuzz::Options::parse(arguments)?),
        ["bench", "--python", arguments @ ..] => bench::compare_python(steps, arguments),
        ["bench", arguments @ ..] => bench::compare(steps, arguments),
        ["soak", arguments @ ..] => soak::run(steps, soak::parse(arguments)?),
        ["lint"] => lint::run(steps),
        ["lint", "--structure"] => structure::check(),
        ["lint", "--examples"] => examples::check(),
        ["ci"] => ci::run(steps),
        ["help" | "--help" | "-h"] => {
            say(USAGE);
            Ok(())
        }
        [] => bail!("no verb\n\n{USAGE}"),
        _ => bail!("unknown verb `{}`\n\n{USAGE}", words.join(" ")),
    }
}
