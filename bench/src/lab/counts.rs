//! `kokanee-bench instructions` and `syscalls`: figures that are exact on a noisy machine.
//!
//! The whole run of a server (or of a trace) is counted, once with few messages and once with many. The difference, divided by
//! the difference of the messages, does not include start, handshakes and end.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use kokanee_bench::{Bound, Options, Scenario, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cases::Case;
use super::servers::{Running, Selection, Server};
use super::table::{Table, number};
use crate::output::note;

/// Recipients of a counted broadcast.
const RECIPIENTS: usize = 200;
/// Messages of the short run.
const FEW: u64 = 2_000;
/// How long a tracer takes to attach before the load starts.
const ATTACH: Duration = Duration::from_millis(500);
/// Timeout without an arrival: a server under callgrind is slow.
const STALL: Duration = Duration::from_secs(60);

/// The arguments of `kokanee-bench instructions`.
#[derive(Debug, Args)]
pub(crate) struct Instructions {
    #[command(flatten)]
    counts: Counts,
    /// Additional messages of the long run.
    #[arg(long, default_value_t = 10_000)]
    messages: u64,
}

/// The arguments of `kokanee-bench syscalls`.
#[derive(Debug, Args)]
pub(crate) struct Syscalls {
    #[command(flatten)]
    counts: Counts,
    /// Additional messages of the long run.
    #[arg(long, default_value_t = 50_000)]
    messages: u64,
    /// The program that counts; strace slows the server down, which changes what it can batch.
    #[arg(long, value_enum, default_value = "perf")]
    tracer: Tracer,
}

/// The arguments of both.
#[derive(Debug, Args)]
struct Counts {
    #[command(flatten)]
    selection: Selection,
    /// The cases to run, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Case::Echo, Case::Echo16, Case::Broadcast, Case::Polling])]
    cases: Vec<Case>,
    /// Bounds, as CASE=MAXIMUM separated by commas; the command fails if the gated server is above one.
    #[arg(long, value_delimiter = ',', value_parser = bound)]
    gate: Vec<(Case, f64)>,
    /// The server that the bounds are for.
    #[arg(long, default_value = "kokanee")]
    gated: String,
}

/// A program that counts system calls of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tracer {
    /// `perf stat` on the tracepoint of all system calls.
    Perf,
    /// `strace -c`.
    Strace,
}

impl Instructions {
    /// Counts and prints; fails if a bound is broken.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        // Not node: callgrind would mostly count its JIT compiler.
        let servers = ["kokanee", "floor", "socketioxide"];
        self.counts.run(
            &servers,
            "user instructions per message",
            0,
            self.messages,
            count_instructions,
        )
    }
}

impl Syscalls {
    /// Counts and prints; fails if a bound is broken.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let servers = ["kokanee", "floor", "socketioxide", "node"];
        self.counts.run(
            &servers,
            "system calls per message",
            2,
            self.messages,
            |server, case, messages| count_syscalls(self.tracer, server, case, messages),
        )
    }
}

impl Counts {
    fn run(
        &self,
        default: &[&str],
        title: &str,
        decimals: usize,
        messages: u64,
        count: impl Fn(&Server, Case, u64) -> anyhow::Result<(u64, u64)>,
    ) -> anyhow::Result<()> {
        ensure!(
            messages > 0,
            "the long run needs more messages than the short one"
        );
        if let Some(case) = self.cases.iter().find(|case| load(**case, FEW).is_none()) {
            bail!("{} has no messages to count", case.name());
        }
        let servers = self.selection.servers(default)?;
        let mut head = vec![title];
        head.extend(self.cases.iter().map(|case| case.name()));
        let mut table = Table::new(&head, 1);
        let mut broken = Vec::new();
        let mut open: Vec<_> = self.gate.clone();
        for server in &servers {
            let mut row = vec![server.name.clone()];
            for &case in &self.cases {
                if !server.answers(case) {
                    row.push("–".to_owned());
                    continue;
                }
                let context = || format!("{} of {}", case.name(), server.name);
                let short = count(server, case, FEW).with_context(context)?;
                let long = count(server, case, FEW + messages).with_context(context)?;
                let value = difference(short, long);
                note(&format!("{:14} {:10} {value:.2}", server.name, case.name()));
                row.push(number(value, decimals));
                if server.name == self.gated {
                    open.retain(|(gate, _)| *gate != case);
                    let gates = self
                        .gate
                        .iter()
                        .filter(|(gate, maximum)| *gate == case && value > *maximum);
                    broken.extend(gates.map(|(_, maximum)| {
                        format!("{} is {value:.2}, above {maximum}", case.name())
                    }));
                }
            }
            table.push(row);
        }
        write!(std::io::stdout(), "{}", table.render())?;
        ensure!(
            open.is_empty(),
            "{} was not measured in every gated case",
            self.gated
        );
        ensure!(broken.is_empty(), "{}: {}", self.gated, broken.join("; "));
        Ok(())
    }
}

/// Returns the options of a counted run with this many messages, or `None` if the case has no messages.
fn load(case: Case, messages: u64) -> Option<Options> {
    let mut options = case.options("")?;
    let events = match options.scenario {
        Scenario::Echo | Scenario::Polling => messages,
        Scenario::Broadcast => {
            options.connections = RECIPIENTS;
            messages.div_ceil(RECIPIENTS as u64)
        }
        Scenario::Connect | Scenario::Idle | Scenario::Storm => return None,
    };
    options.bound = Bound::Messages(events);
    options.warmup = Duration::ZERO;
    options.stall = STALL;
    Some(options)
}

/// Puts a server under load and returns the number of messages.
fn drive(server: &Running, case: Case, messages: u64) -> anyhow::Result<u64> {
    let options = load(case, messages).context("the case has no messages")?;
    let report = run(
        &Options {
            url: server.url.clone(),
            ..options
        },
        &mut |_| ControlFlow::Continue(()),
    )?;
    Ok(report.messages)
}

/// Returns what one message costs, from (count, messages) of a short and a long run.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]
fn difference(short: (u64, u64), long: (u64, u64)) -> f64 {
    (long.0 as f64 - short.0 as f64) / (long.1 as f64 - short.1 as f64)
}

/// Returns the instructions of a server's whole run under callgrind, and the messages of the load.
fn count_instructions(server: &Server, case: Case, messages: u64) -> anyhow::Result<(u64, u64)> {
    let directory = std::env::temp_dir().join(format!("kokanee-bench-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let result = count_instructions_in(&directory.join("callgrind.out"), server, case, messages);
    fs::remove_dir_all(&directory)?;
    result
}

fn count_instructions_in(
    path: &std::path::Path,
    server: &Server,
    case: Case,
    messages: u64,
) -> anyhow::Result<(u64, u64)> {
    let output = format!("--callgrind-out-file={}", path.display());
    let wrapper = ["valgrind", "--quiet", "--tool=callgrind", &output].map(OsStr::new);
    let running = server.start(&wrapper)?;
    let messages = drive(&running, case, messages)?;
    running.stop()?;
    let profile = fs::read_to_string(path).context("callgrind wrote no result")?;
    Ok((
        total(&profile).context("callgrind's result has no totals")?,
        messages,
    ))
}

/// Reads the total of a callgrind profile.
fn total(profile: &str) -> Option<u64> {
    let line = profile
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals:"));
    line?.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the system calls of a server while it is traced, and the messages of the load.
fn count_syscalls(
    tracer: Tracer,
    server: &Server,
    case: Case,
    messages: u64,
) -> anyhow::Result<(u64, u64)> {
    let running = server.start(&[])?;
    let traced = tracer.attach(running.pid())?;
    thread::sleep(ATTACH);
    let messages = drive(&running, case, messages)?;
    let output = detach(traced)?;
    running.stop()?;
    let count = match tracer {
        Tracer::Perf => perf_count(&output),
        Tracer::Strace => strace_count(&output),
    };
    Ok((
        count.with_context(|| format!("the tracer counted nothing:\n{output}"))?,
        messages,
    ))
}

impl Tracer {
    /// Starts counting the system calls of a process.
    fn attach(self, pid: u32) -> anyhow::Result<Child> {
        let pid = pid.to_string();
        let words: &[&str] = match self {
            Self::Perf => &[
                "perf",
                "stat",
                "-x",
                ",",
                "-e",
                "raw_syscalls:sys_enter",
                "-p",
                &pid,
            ],
            Self::Strace => &["strace", "-c", "-f", "-p", &pid],
        };
        Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", words[0]))
    }
}

/// Ends a tracer and returns what it printed.
fn detach(mut tracer: Child) -> anyhow::Result<String> {
    // If it has already ended, its output says why.
    let _ = kill(Pid::from_raw(i32::try_from(tracer.id())?), Signal::SIGINT);
    let mut output = String::new();
    if let Some(mut stderr) = tracer.stderr.take() {
        stderr.read_to_string(&mut output)?;
    }
    tracer.wait()?;
    Ok(output)
}

/// Reads the count from `perf stat -x ,`.
fn perf_count(output: &str) -> Option<u64> {
    output
        .lines()
        .find(|line| line.contains("raw_syscalls:sys_enter"))?
        .split(',')
        .next()?
        .parse()
        .ok()
}

/// Reads the calls of the last line of `strace -c`.
fn strace_count(output: &str) -> Option<u64> {
    let line = output
        .lines()
        .rev()
        .find(|line| line.trim_end().ends_with("total"))?;
    line.split_ascii_whitespace().nth(3)?.parse().ok()
}

fn bound(text: &str) -> Result<(Case, f64), String> {
    let (case, maximum) = text.split_once('=').ok_or("expected CASE=MAXIMUM")?;
    let case = <Case as clap::ValueEnum>::from_str(case, false)?;
    Ok((
        case,
        maximum
            .parse()
            .map_err(|_| format!("{maximum:?} is not a number"))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_is_free_of_the_start() {
        assert!(
            (difference(
                (1_000_000 + 2_000 * 7, 2_000),
                (1_000_000 + 12_000 * 7, 12_000)
            ) - 7.0)
                .abs()
                < 1e-9
        );
    }

    #[test]
    fn total_of_a_profile_is_its_last_one() {
        assert_eq!(
            total("events: Ir\nfn=(1) main\n16 400\n\ntotals: 1234567\n"),
            Some(1_234_567)
        );
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn counts_are_read_from_the_tracers() {
        assert_eq!(
            perf_count("4711,,raw_syscalls:sys_enter,1500,100.00,,\n"),
            Some(4_711)
        );
        assert_eq!(
            perf_count("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n"),
            None
        );
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      100.00    0.010000           5      2000        12 total\n";
        assert_eq!(strace_count(strace), Some(2_000));
    }

    #[test]
    fn bound_names_a_case() {
        assert_eq!(bound("echo16=1500"), Ok((Case::Echo16, 1500.0)));
        assert!(bound("echo17=1").is_err());
        assert!(bound("echo").is_err());
    }

    #[test]
    fn broadcasts_are_counted_in_deliveries() {
        assert_eq!(
            load(Case::Broadcast, 12_000).unwrap().bound,
            Bound::Messages(60)
        );
        assert!(load(Case::Idle, 1).is_none());
    }
}
