//! `kokanee-bench compare`: all servers under the same load, interleaved in rounds, as one table.
//!
//! Other work on the machine changes the result of a single run by 25 % and more, but affects neighbouring runs equally. So the
//! result is the ratio of two servers within one round; every other round runs the servers in reverse order.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use kokanee_bench::{Bound, Options, Report, Scenario, run};
use serde::Serialize;

use super::cases::{self, Case};
use super::machine::{Pinning, Priority};
use super::page::request_page;
use super::servers::{self, Running, Selection, Server, Unavailable};
use super::table::{Spread, Table, number};
use crate::output::note;
use crate::single::seconds;

/// Connections that are opened and closed before memory is measured, so that code and tables are loaded.
const FIRST_CONNECTIONS: usize = 100;

/// Time between two runs.
const PAUSE: Duration = Duration::from_millis(100);

/// The arguments of `kokanee-bench compare`.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    selection: Selection,
    /// Compares servers for Python with each other.
    #[arg(long)]
    python: bool,
    /// The cases to run, separated by commas; those of the comparison if absent.
    #[arg(long, value_enum, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Rounds of every case except idle.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Rounds of idle, whose figures hardly vary.
    #[arg(long, default_value_t = 1)]
    idle_rounds: usize,
    /// Seconds of load in a run.
    #[arg(long, value_parser = seconds, default_value = "1.5")]
    time: Duration,
    /// Seconds of load before a measurement.
    #[arg(long, value_parser = seconds, default_value = "0.3")]
    warmup: Duration,
    /// Seconds without load before the memory is measured for the second time.
    #[arg(long, value_parser = seconds, default_value = "10")]
    quiet: Duration,
    /// The server that the others are compared with: socketioxide, or python-socketio on uvicorn.
    #[arg(long)]
    against: Option<String>,
    /// The CPU of the servers.
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// The CPU of the load generator.
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
    /// Writes all reports to this file as JSON.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// One run of one server.
#[derive(Debug, Serialize)]
struct Run {
    case: &'static str,
    server: String,
    round: usize,
    /// What was measured, or why nothing was.
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Report(Box<Report>),
    Error(String),
}

/// A figure in the table: its name, its decimals, and how it is read from a report.
type Figure = (&'static str, usize, fn(&Report) -> Option<f64>);

/// What is compared under load.
const CPU: &[Figure] = &[("CPU µs", 2, |report| Some(report.server?.cpu_per_message))];
/// What is compared of idle connections.
const MEMORY: &[Figure] = &[
    ("RSS bytes", 0, |report| {
        Some(report.memory?.open_per_connection)
    }),
    ("RSS bytes after 32 × 4 KB", 0, |report| {
        Some(report.memory?.after_per_connection)
    }),
];
/// Additional figures, as medians.
const BESIDE: &[Figure] = &[
    ("user %", 0, |report| {
        Some(report.server?.user_share * 100.0)
    }),
    ("per second", 0, |report| Some(report.rate)),
    ("p99 µs", 0, |report| Some(report.latency.p99)),
    ("load busy %", 0, |report| Some(report.load_busy? * 100.0)),
];
/// A cell without a value.
const NONE: &str = "–";

impl Compare {
    /// Runs the comparison and prints its table.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        ensure!(
            self.rounds > 0 && self.idle_rounds > 0,
            "at least one round is needed"
        );
        let default = if self.python {
            servers::python()
        } else {
            servers::DEFAULT.to_vec()
        };
        let servers = self.selection.servers(&default)?;
        let _priority = Priority::raise();
        let mut runs = Vec::new();
        for &case in self.cases() {
            let servers: Vec<&Server> = servers
                .iter()
                .filter(|server| server.answers(case))
                .collect();
            if case.is_about_memory() {
                self.idle(case, &servers, &mut runs)?;
            } else {
                self.load(case, &servers, &mut runs)?;
            }
        }
        if let Some(path) = &self.output {
            let json = serde_json::to_vec_pretty(&runs)?;
            fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
        let table = self.table(&names, &runs).render();
        let (rounds, time) = (self.rounds, self.time.as_secs_f64());
        let (server, load) = (self.server_cpu, self.load_cpu);
        writeln!(
            std::io::stdout(),
            "{rounds} rounds of {time} s, servers on CPU {server}, load on CPU {load}\n\n{table}"
        )?;
        Ok(())
    }

    /// Runs a case: all servers stay up, one is under load at a time.
    fn load(&self, case: Case, servers: &[&Server], runs: &mut Vec<Run>) -> anyhow::Result<()> {
        let mut running = Vec::new();
        for server in servers {
            if let Some(started) = self.start(server)? {
                running.push((server.name.as_str(), started));
            }
        }
        for round in 0..self.rounds {
            for position in 0..running.len() {
                let index = if round % 2 == 0 {
                    position
                } else {
                    running.len() - 1 - position
                };
                let (name, server) = &running[index];
                if round == 0 && case == Case::Connect {
                    self.measure(case, server);
                }
                runs.push(Run {
                    case: case.name(),
                    server: (*name).to_owned(),
                    round,
                    outcome: self.measure(case, server),
                });
                progress(runs);
            }
        }
        running
            .into_iter()
            .try_for_each(|(_, server)| server.stop())
    }

    /// Measures memory: every run starts a new server.
    fn idle(&self, case: Case, servers: &[&Server], runs: &mut Vec<Run>) -> anyhow::Result<()> {
        for round in 0..self.idle_rounds {
            for server in servers {
                let Some(running) = self.start(server)? else {
                    continue;
                };
                let mut first = Options::new(&*running.url, Scenario::Connect);
                first.connections = FIRST_CONNECTIONS;
                measure(&first);
                runs.push(Run {
                    case: case.name(),
                    server: server.name.clone(),
                    round,
                    outcome: self.measure(case, &running),
                });
                progress(runs);
                running.stop()?;
            }
        }
        Ok(())
    }

    /// Starts a server on its CPU. `None`, with a note, if it says that it cannot be started here.
    fn start(&self, server: &Server) -> anyhow::Result<Option<Running>> {
        match self.pinning().start(|| server.start(&[])) {
            Ok(running) => Ok(Some(running)),
            Err(error) if error.is::<Unavailable>() => {
                note(&format!("{} is left out: {error}", server.name));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Runs a case once.
    fn measure(&self, case: Case, server: &Running) -> Outcome {
        let Some(options) = case.options(&server.url) else {
            return page(server, self.time, self.warmup);
        };
        measure(&Options {
            bound: Bound::Time(self.time),
            warmup: self.warmup,
            pid: Some(server.pid()),
            hold: self.quiet,
            ..options
        })
    }

    fn cases(&self) -> &[Case] {
        match &*self.cases {
            [] if self.python => cases::PYTHON,
            [] => cases::SERVERS,
            given => given,
        }
    }

    fn against(&self) -> &str {
        let default = if self.python {
            "socketio-uvicorn"
        } else {
            "socketioxide"
        };
        self.against.as_deref().unwrap_or(default)
    }

    fn pinning(&self) -> Pinning {
        Pinning {
            server: self.server_cpu,
            load: self.load_cpu,
        }
    }

    fn table(&self, servers: &[&str], runs: &[Run]) -> Table {
        let ratio = format!("{} ÷ it", self.against());
        let mut head = vec!["scenario", "server", "figure", "median", "min", &ratio];
        head.extend(BESIDE.iter().map(|(title, ..)| *title));
        head.push("faults");
        let mut table = Table::new(&head, 3);
        for &case in self.cases() {
            let of = |server: &str| -> Vec<&Run> {
                runs.iter()
                    .filter(|run| run.case == case.name() && run.server == server)
                    .collect()
            };
            let against = of(self.against());
            for figure in figures(case) {
                for server in servers {
                    let runs = of(server);
                    if !runs.is_empty() {
                        table.push(row(case, server, figure, &runs, &against));
                    }
                }
            }
        }
        table
    }
}

/// Returns what is compared in a case.
fn figures(case: Case) -> &'static [Figure] {
    match case {
        Case::Idle => MEMORY,
        Case::Held => &MEMORY[..1],
        _ => CPU,
    }
}

/// Returns a row of the table: a figure of one server's runs, and its ratio to other runs of the same rounds.
fn row(case: Case, server: &str, figure: &Figure, runs: &[&Run], against: &[&Run]) -> Vec<String> {
    let (title, decimals, read) = *figure;
    let values = |read: fn(&Report) -> Option<f64>| {
        Spread::of(runs.iter().filter_map(|run| read(run.report()?)))
    };
    let cell = |value: Option<f64>, decimals| {
        value.map_or_else(|| NONE.to_owned(), |value| number(value, decimals))
    };
    let spread = values(read);
    let ratio = Spread::of(
        runs.iter()
            .zip(against)
            .filter_map(|(run, against)| Some(read(against.report()?)? / read(run.report()?)?)),
    );
    let mut row = vec![
        case.title().to_owned(),
        server.to_owned(),
        title.to_owned(),
        cell(spread.map(|spread| spread.median), decimals),
        cell(spread.map(|spread| spread.min), decimals),
        ratio.map_or_else(
            || NONE.to_owned(),
            |Spread { median, min, max }| format!("{median:.2} [{min:.2}–{max:.2}]"),
        ),
    ];
    row.extend(
        BESIDE
            .iter()
            .map(|(_, decimals, read)| cell(values(*read).map(|spread| spread.median), *decimals)),
    );
    row.push(faults(runs));
    row
}

/// Summarizes the failures of a server.
fn faults(runs: &[&Run]) -> String {
    let failed = runs.iter().filter(|run| run.report().is_none()).count() as u64;
    let sum = |read: fn(&Report) -> u64| runs.iter().filter_map(|run| run.report()).map(read).sum();
    let faults = [
        (failed, "failed"),
        (sum(|report| report.out_of_order), "out of order"),
        (sum(|report| report.unexpected), "unexpected"),
    ];
    let faults: Vec<_> = faults
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if faults.is_empty() {
        NONE.to_owned()
    } else {
        faults.join(", ")
    }
}

impl Run {
    fn report(&self) -> Option<&Report> {
        match &self.outcome {
            Outcome::Report(report) => Some(report),
            Outcome::Error(_) => None,
        }
    }
}

/// Runs a load after the previous server has seen its connections end.
fn measure(options: &Options) -> Outcome {
    thread::sleep(PAUSE);
    outcome(run(options, &mut |_| ControlFlow::Continue(())).map_err(Into::into))
}

/// Requests the page of a server.
fn page(server: &Running, time: Duration, warmup: Duration) -> Outcome {
    thread::sleep(PAUSE);
    outcome(request_page(server, time, warmup))
}

fn outcome(result: anyhow::Result<Report>) -> Outcome {
    match result {
        Ok(report) => Outcome::Report(Box::new(report)),
        Err(error) => Outcome::Error(format!("{error:#}")),
    }
}

/// Prints the last run.
fn progress(runs: &[Run]) {
    let Some(Run {
        case,
        server,
        round,
        outcome,
    }) = runs.last()
    else {
        return;
    };
    let result = match outcome {
        Outcome::Error(error) => format!("failed: {error}"),
        Outcome::Report(report) => match (report.memory, report.server) {
            (Some(memory), _) => {
                format!(
                    "{:.0} B, then {:.0} B",
                    memory.open_per_connection, memory.after_per_connection
                )
            }
            (None, Some(server)) => format!("{:.2} µs", server.cpu_per_message),
            (None, None) => String::new(),
        },
    };
    note(&format!(
        "{case:10} round {:2}  {server:20} {result}",
        round + 1
    ));
}
