//! Steps: child processes that are announced, timed, and described as commands that can be repeated by hand.

use std::{
    collections::HashSet,
    env,
    ffi::{OsStr, OsString},
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// Returns the root of the repository.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Prints a line between the output of the steps.
pub(crate) fn say(line: &str) {
    // A failure cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "{line}");
}

/// The finished steps, with the time of each.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    finished: Vec<(String, Duration)>,
    /// The commands that need not run again.
    done: HashSet<String>,
}

impl Steps {
    /// Announces a step, runs it with the terminal of this process, and waits for it.
    ///
    /// # Errors
    /// It cannot be started or fails. The error names the step and the command that repeats it.
    pub(crate) fn run(&mut self, step: &Step) -> Result<()> {
        self.timed(step, |command| {
            let status = command.status()?;
            Ok((status, ()))
        })
    }

    /// Runs a step as [`run`](Self::run) does, unless this has run the same command already: for builds that several verbs need.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub(crate) fn run_once(&mut self, step: &Step) -> Result<()> {
        let command = step.to_string();
        if !self.done.contains(&command) {
            self.run(step)?;
            self.done.insert(command);
        }
        Ok(())
    }

    /// Runs a step as [`run`](Self::run) does, and returns its stdout.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub(crate) fn output(&mut self, step: &Step) -> Result<String> {
        self.timed(step, |command| {
            let output = command.stderr(Stdio::inherit()).output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok((output.status, text))
        })
    }

    /// Runs steps that do not disturb each other, as many at the same time as there are CPUs. Prints the output of a step
    /// when it has ended. Starts no other step after a failure.
    ///
    /// # Errors
    /// One of them cannot be started or fails. The error is that of the first such step in the list.
    pub(crate) fn run_in_parallel(&mut self, steps: &[Step]) -> Result<()> {
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        let waiting = Mutex::new(steps.iter().enumerate());
        let ended = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..jobs.min(steps.len()) {
                scope.spawn(|| {
                    while let Some((index, step)) = next(&waiting) {
                        let mut own = Self::default();
                        let result = own.timed(step, |command| {
                            let output = command.output()?;
                            say(&format!(
                                "\n── end of {}\n{}{}",
                                step.name,
                                String::from_utf8_lossy(&output.stdout),
                                String::from_utf8_lossy(&output.stderr)
                            ));
                            Ok((output.status, ()))
                        });
                        if result.is_err() {
                            // The other threads find no step any more.
                            while next(&waiting).is_some() {}
                        }
                        lock(&ended).push((index, own, result));
                    }
                });
            }
        });
        let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        ended.sort_by_key(|(index, ..)| *index);
        let mut outcome = Ok(());
        for (_, own, result) in ended {
            self.finished.extend(own.finished);
            outcome = outcome.and(result);
        }
        outcome
    }

    fn timed<T>(
        &mut self,
        step: &Step,
        run: impl FnOnce(&mut Command) -> io::Result<(std::process::ExitStatus, T)>,
    ) -> Result<T> {
        say(&format!("\n── {}: {step}", step.name));
        let start = Instant::now();
        let failure = || format!("the step `{}` failed\nto repeat it: {step}", step.name);
        let (status, result) = run(&mut step.command()).with_context(failure)?;
        self.finished.push((step.name.clone(), start.elapsed()));
        if !status.success() {
            bail!(
                "the step `{}` failed: {status}\nto repeat it: {step}",
                step.name
            );
        }
        Ok(result)
    }

    /// Prints how long each step took, if there was more than one.
    pub(crate) fn summarize(&self) {
        if self.finished.len() < 2 {
            return;
        }
        say("\n── time");
        for (name, time) in &self.finished {
            say(&format!("{:>8.1} s  {name}", time.as_secs_f64()));
        }
        let total: Duration = self.finished.iter().map(|(_, time)| *time).sum();
        say(&format!("{:>8.1} s  in total", total.as_secs_f64()));
    }
}

/// Locks, also after a panic of another thread, which the scope of the threads reports.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the next item out of a shared iterator.
fn next<I: Iterator>(waiting: &Mutex<I>) -> Option<I::Item> {
    lock(waiting).next()
}

/// A command with a name. Its `Display` is a shell command for the root of the repository.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    name: String,
    program: OsString,
    arguments: Vec<OsString>,
    directory: PathBuf,
    variables: Vec<(String, OsString)>,
}

impl Step {
    /// A step that runs `line`, split at spaces, in the root of the repository.
    pub(crate) fn new(name: impl Into<String>, line: &str) -> Self {
        let mut words = line.split_whitespace();
        Self::program(name, words.next().unwrap_or_default()).args(words)
    }

    /// A step that runs `program` without arguments, in the root of the repository.
    pub(crate) fn program(name: impl Into<String>, program: impl AsRef<OsStr>) -> Self {
        Self {
            name: name.into(),
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            directory: PathBuf::new(),
            variables: Vec::new(),
        }
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.arguments.push(word.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(self, words: impl IntoIterator<Item = S>) -> Self {
        words.into_iter().fold(self, Self::arg)
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables
            .push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs the step in a directory below the root.
    pub(crate) fn within(mut self, directory: &str) -> Self {
        self.directory = directory.into();
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(root().join(&self.directory))
            .stdin(Stdio::null());
        // Cargo sets these for this package. A build script of the step would mistake them for its own.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_below = !self.directory.as_os_str().is_empty();
        if is_below {
            write!(f, "(cd {} && ", quoted(self.directory.as_os_str()))?;
        }
        for (name, value) in &self.variables {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(&quoted(&self.program))?;
        for argument in &self.arguments {
            write!(f, " {}", quoted(argument))?;
        }
        if is_below { f.write_str(")") } else { Ok(()) }
    }
}

/// Quotes a word for the shell.
fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./,:+@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_is_shown_as_a_line_for_the_shell() {
        let step = Step::new("doc", "cargo doc --no-deps")
            .arg("it's")
            .env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            step.to_string(),
            r"RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'it'\''s'"
        );
        assert_eq!(
            Step::new("npm", "npm ci")
                .within("tests/interop")
                .to_string(),
            "(cd tests/interop && npm ci)"
        );
    }

    #[test]
    fn failure_names_the_step_and_how_to_repeat_it() {
        let error = Steps::default()
            .run(&Step::new("nothing works", "false now"))
            .unwrap_err();
        let text = format!("{error:#}");
        assert!(text.starts_with("the step `nothing works` failed: exit status: 1"));
        assert!(text.ends_with("to repeat it: false now"));

        let error = Steps::default()
            .run(&Step::new("absent", "no-such-program-here"))
            .unwrap_err();
        assert!(
            format!("{error:#}")
                .starts_with("the step `absent` failed\nto repeat it: no-such-program-here")
        );
    }

    #[test]
    fn parallel_steps_end_all_or_name_the_first_that_failed() {
        let mut steps = Steps::default();
        let fine: Vec<Step> = (0..5)
            .map(|number| Step::new(format!("fine {number}"), "true"))
            .collect();
        steps.run_in_parallel(&fine).unwrap();
        let names: Vec<&str> = steps.finished.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["fine 0", "fine 1", "fine 2", "fine 3", "fine 4"]);

        let one_fails = [
            Step::new("fine", "true"),
            Step::new("broken", "false"),
            Step::new("fine too", "true"),
        ];
        let error = steps.run_in_parallel(&one_fails).unwrap_err();
        assert!(format!("{error:#}").starts_with("the step `broken` failed: exit status: 1"));
    }

    #[test]
    fn step_that_several_verbs_need_runs_once() {
        let mut steps = Steps::default();
        let build = Step::new("build", "true");
        steps.run_once(&build).unwrap();
        steps.run_once(&build).unwrap();
        steps.run_once(&Step::new("another", "true now")).unwrap();
        assert_eq!(steps.finished.len(), 2);

        let broken = Step::new("broken", "false");
        assert!(steps.run_once(&broken).is_err());
        assert!(steps.run_once(&broken).is_err());
    }

    #[test]
    fn output_of_a_step_is_returned() {
        let text = Steps::default()
            .output(&Step::new("say", "echo one two"))
            .unwrap();
        assert_eq!(text, "one two\n");
    }

    #[test]
    fn step_runs_in_the_root_of_the_repository() {
        let text = Steps::default()
            .output(&Step::new("list", "ls Cargo.lock"))
            .unwrap();
        assert_eq!(text, "Cargo.lock\n");
    }
}
