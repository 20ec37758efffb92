//! Requirements of the tests outside of Cargo: programs of the system, npm packages, Python packages.
//!
//! Existing programs are used. Missing ones are installed as Debian packages, which needs root and apt-get; without them the
//! error says what to install.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::steps::{Step, Steps, root};

const NODE_MAJOR: u32 = 20;

/// Something that must be installed before a suite can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// Node 20 or newer, and npm.
    Node,
    /// Python 3 with virtual environments.
    Python,
    /// netcat, socat and openssl: peers for raw sockets.
    SocketTools,
    /// A browser for the demo page.
    Chromium,
    /// nginx and HAProxy, to stand in front of the server.
    Proxies,
    /// A terminal for the interactive client.
    Tmux,
    /// The instruction counter of the benchmark's gate.
    Valgrind,
    /// The compiler of the fuzzing engine.
    CxxCompiler,
    /// The tools that build the allocator of the program, in addition to the compiler.
    Make,
}

impl Requirement {
    fn debian_packages(self) -> &'static [&'static str] {
        match self {
            Self::Node => &["nodejs", "npm"],
            Self::Python => &["python3", "python3-venv"],
            Self::SocketTools => &["netcat-openbsd", "socat", "openssl"],
            Self::Chromium => &["chromium"],
            Self::Proxies => &["nginx-light", "haproxy"],
            Self::Tmux => &["tmux"],
            Self::Valgrind => &["valgrind"],
            Self::CxxCompiler => &["g++"],
            Self::Make => &["make"],
        }
    }

    fn is_met(self) -> bool {
        match self {
            Self::Node => find("node").is_some() && find("npm").is_some(),
            Self::Python => {
                output_of(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_some()
            }
            Self::SocketTools => ["nc", "socat", "openssl"]
                .into_iter()
                .all(|program| find(program).is_some()),
            Self::Chromium => browser().is_some(),
            // Programs of the administrator may not be in the path of other users.
            Self::Proxies => ["nginx", "haproxy"].into_iter().all(|program| {
                find(program).is_some() || Path::new("/usr/sbin").join(program).is_file()
            }),
            Self::Tmux => find("tmux").is_some(),
            Self::Valgrind => find("valgrind").is_some(),
            Self::CxxCompiler => find("c++").is_some(),
            Self::Make => find("make").is_some(),
        }
    }
}

/// Installs what is missing of these.
///
/// # Errors
/// It cannot be installed here, or Node is too old.
pub(crate) fn install(steps: &mut Steps, requirements: &[Requirement]) -> Result<()> {
    let packages: Vec<&str> = requirements
        .iter()
        .filter(|it| !it.is_met())
        .flat_map(|it| it.debian_packages())
        .copied()
        .collect();
    if !packages.is_empty() {
        apt_install(steps, &packages)?;
    }
    if requirements.contains(&Requirement::Node) {
        check_node()?;
    }
    Ok(())
}

fn apt_install(steps: &mut Steps, packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if find("apt-get").is_none() {
        bail!(
            "the tests need {names} (names of Debian packages): install them with your system's package manager"
        );
    }
    if output_of(Command::new("id").arg("-u")).as_deref() != Some("0") {
        bail!("the tests need {names}: run `apt-get install {names}` as root");
    }
    steps.run(&Step::new("package lists", "apt-get -q update"))?;
    let install = Step::new(
        "packages",
        "apt-get -q install --yes --no-install-recommends",
    )
    .args(packages)
    .env("DEBIAN_FRONTEND", "noninteractive");
    steps.run(&install)
}

fn check_node() -> Result<()> {
    let version =
        output_of(Command::new("node").arg("--version")).context("`node --version` fails")?;
    let major = node_major(&version)
        .with_context(|| format!("cannot parse the version of node: {version:?}"))?;
    ensure!(
        major >= NODE_MAJOR,
        "the tests need Node {NODE_MAJOR} or newer, and this is {version}"
    );
    Ok(())
}

fn node_major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Installs the npm packages of a directory below the root, if its lock file is newer than the installed packages.
///
/// # Errors
/// npm fails.
pub(crate) fn npm_packages(steps: &mut Steps, directory: &str) -> Result<()> {
    let path = root().join(directory);
    let installed = path.join("node_modules/.package-lock.json");
    if is_newer(&installed, &path.join("package-lock.json")) {
        return Ok(());
    }
    steps.run(&Step::new("npm packages", "npm ci --no-audit --no-fund").within(directory))
}

fn is_newer(path: &Path, other: &Path) -> bool {
    let modified = |path: &Path| {
        fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    modified(path).is_some_and(|time| modified(other).is_some_and(|other| time >= other))
}

/// Installs the packages of `FOLDER/requirements.txt` into the virtual environment `FOLDER/.venv`, if it lacks any, and returns
/// its interpreter.
///
/// # Errors
/// Python or pip fails.
pub(crate) fn python_packages(steps: &mut Steps, folder: &str) -> Result<PathBuf> {
    let requirements = format!("{folder}/requirements.txt");
    let wanted = fs::read_to_string(root().join(&requirements))?;
    let name = format!("{folder}/.venv");
    let venv = root().join(&name);
    let interpreter = venv.join("bin/python");
    // Written last, so it proves that everything before it succeeded.
    let installed = venv.join("installed-requirements.txt");
    if interpreter.exists() && fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(interpreter);
    }
    steps.run(&Step::new("python environment", "python3 -m venv --clear").arg(&name))?;
    let pip = Step::new(
        "python packages",
        &format!("{name}/bin/python -m pip install"),
    )
    .args(["--quiet", "--disable-pip-version-check", "-r"])
    .arg(&requirements);
    steps.run(&pip)?;
    fs::write(&installed, wanted)?;
    Ok(interpreter)
}

/// Returns the browser for the demo page: the one named by `CHROMIUM`, or the first of Chromium's family in the path.
pub(crate) fn browser() -> Option<PathBuf> {
    let named = env::var_os("CHROMIUM").map(PathBuf::from);
    named.or_else(|| {
        ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find_map(find)
    })
}

/// Returns the full path of a program.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// Returns the output of a short command, or `None` if it fails.
fn output_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_of_node_is_its_first_number() {
        assert_eq!(node_major("v20.19.2"), Some(20));
        assert_eq!(node_major("20"), None);
    }

    #[test]
    fn programs_are_found_in_the_path() {
        assert!(find("cargo").is_some());
        assert_eq!(find("no-such-program-here"), None);
    }

    #[test]
    fn missing_file_is_not_newer() {
        let here = Path::new(file!());
        assert!(!is_newer(Path::new("no/such/file"), here));
    }
}
