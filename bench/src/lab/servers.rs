//! The servers of the comparison: how they are started, found and ended.
//!
//! A server is a program that listens on 127.0.0.1 on the port in `PORT` (0: any), prints one line that ends with its
//! port, answers `echo` and `blast`, and ends on SIGTERM. If it cannot be started here, the line begins with `unavailable`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cases::Case;
use crate::output::note;

/// How long a server may take to listen; node under a slow tool is the slowest.
const START: Duration = Duration::from_secs(60);
/// How long a server may take to end before it is killed.
const END: Duration = Duration::from_secs(60);

/// Name, what it answers and command, in the order of the table.
const KNOWN: &[(&str, Answers, &str)] = &[
    (
        "kokanee",
        Answers::Asks,
        "target/release/kokanee-bench-server",
    ),
    (
        "kokanee-recovery",
        Answers::Asks,
        "target/release/kokanee-bench-server --recovery",
    ),
    (
        "kokanee-metrics",
        Answers::Asks,
        "target/metrics/release/kokanee-bench-server",
    ),
    (
        "floor",
        Answers::WebSocket,
        "bench/peers/target/release/floor",
    ),
    (
        "socketioxide",
        Answers::Polling,
        "bench/peers/target/release/socketioxide-peer",
    ),
    ("node", Answers::Polling, "node bench/peers/node/server.mjs"),
];

/// The servers for Python: name, what it answers, and the arguments of [`PYTHON_START`].
const PYTHON: &[(&str, Answers, &str)] = &[
    ("socketio-uvicorn", Answers::Asks, "socketio uvicorn"),
    ("socketio-granian", Answers::Asks, "socketio granian"),
    ("socketio-eventlet", Answers::Asks, "socketio eventlet"),
    ("socketio-gevent", Answers::Asks, "socketio gevent"),
    ("py-own-def", Answers::Everything, "kokanee own-def"),
    ("py-own-async", Answers::Asks, "kokanee own-async"),
    (
        "flask-socketio-eventlet",
        Answers::Asks,
        "socketio flask-eventlet",
    ),
    (
        "flask-socketio-gevent",
        Answers::Asks,
        "socketio flask-gevent",
    ),
    ("py-flask-own", Answers::Asks, "kokanee flask-own"),
    ("py-gunicorn-sync", Answers::Asks, "kokanee gunicorn-sync"),
    (
        "py-gunicorn-gthread",
        Answers::Everything,
        "kokanee gunicorn-gthread",
    ),
    ("py-werkzeug", Answers::Asks, "kokanee werkzeug"),
    ("py-eventlet", Answers::Asks, "kokanee eventlet"),
    ("py-gevent", Answers::Asks, "kokanee gevent"),
    ("py-uvicorn-taken", Answers::Asks, "kokanee uvicorn-taken"),
    ("py-uvicorn-fed", Answers::Asks, "kokanee uvicorn"),
    ("py-granian-fed", Answers::Asks, "kokanee granian"),
    ("uvicorn-floor", Answers::Floor, "kokanee uvicorn-floor"),
    ("py-own-page", Answers::Page, "kokanee own-page"),
    ("granian-page", Answers::Page, "kokanee granian-page"),
];

/// Starts a server for Python.
const PYTHON_START: &str = "bench/peers/python/.venv/bin/python bench/peers/python/start.py";

/// The servers that are compared with others for Rust and JavaScript.
pub(super) const DEFAULT: &[&str] = &["kokanee", "floor", "socketioxide", "node"];

/// Returns the servers of the comparison for Python.
pub(super) fn python() -> Vec<&'static str> {
    let names = PYTHON.iter().map(|(name, ..)| *name);
    names.chain(["kokanee"]).collect()
}

/// Which cases a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// `echo` and `blast` over WebSocket.
    WebSocket,
    /// The same, and long polling.
    Polling,
    /// The same, and acknowledgements.
    Asks,
    /// The same, and a page over connections that stay open.
    Everything,
    /// Nothing but acknowledgements.
    Floor,
    /// Nothing but a page.
    Page,
}

impl Answers {
    fn include(self, case: Case) -> bool {
        match self {
            Self::Everything => true,
            Self::Asks => case != Case::Page,
            Self::Polling => !matches!(case, Case::Page | Case::Ask),
            Self::WebSocket => !matches!(case, Case::Page | Case::Ask | Case::Polling),
            Self::Floor => matches!(case, Case::Ask | Case::Held),
            Self::Page => case == Case::Page,
        }
    }
}

/// Which servers take part.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Names of the servers that take part, separated by commas; all known ones if absent.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// Adds or replaces a server: NAME=COMMAND. The command prints one line that ends with the server's port.
    #[arg(long = "server", value_name = "NAME=COMMAND", value_parser = definition)]
    definitions: Vec<Server>,
}

/// A server that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) name: String,
    command: Vec<String>,
    answers: Answers,
}

/// Why a server cannot be started here, as it says itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unavailable(String);

/// A server process. Killed on drop.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// The base URL.
    pub(super) url: String,
    last_line: Arc<Mutex<String>>,
}

impl Selection {
    /// Returns the servers in the order of the table; leaves out known ones that are not built.
    ///
    /// # Errors
    /// A name is unknown, or nothing is left.
    pub(super) fn servers(&self, default: &[&str]) -> anyhow::Result<Vec<Server>> {
        let mut known: Vec<Server> = KNOWN
            .iter()
            .map(|&(name, answers, command)| Server::new(name, answers, command))
            .collect();
        known.extend(PYTHON.iter().map(|&(name, answers, arguments)| {
            Server::new(name, answers, &format!("{PYTHON_START} {arguments}"))
        }));
        for definition in &self.definitions {
            match known
                .iter_mut()
                .find(|server| server.name == definition.name)
            {
                Some(server) => server.command.clone_from(&definition.command),
                None => known.push(definition.clone()),
            }
        }
        for name in &self.servers {
            if !known.iter().any(|server| server.name == *name) {
                bail!("no server is named {name:?}");
            }
        }
        known.retain(|server| {
            if self.servers.is_empty() {
                default.contains(&server.name.as_str())
                    || self.definitions.iter().any(|it| it.name == server.name)
            } else {
                self.servers.contains(&server.name)
            }
        });
        for server in &known {
            if !server.is_built() {
                note(&format!(
                    "{} is left out: {} does not exist",
                    server.name,
                    server.command.join(" ")
                ));
            }
        }
        known.retain(Server::is_built);
        if known.is_empty() {
            bail!("no server is built; start from the root of the repository");
        }
        Ok(known)
    }
}

impl Server {
    /// Returns a server that answers everything but a page.
    pub(super) fn named(name: &str, command: &str) -> Self {
        Self::new(name, Answers::Asks, command)
    }

    fn new(name: &str, answers: Answers, command: &str) -> Self {
        let command = command.split_whitespace().map(str::to_owned).collect();
        Self {
            name: name.to_owned(),
            command,
            answers,
        }
    }

    /// Adds words to the command.
    pub(super) fn add_arguments<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        self.command.extend(words.map(str::to_owned));
    }

    /// Returns whether a case can be run against it.
    pub(super) fn answers(&self, case: Case) -> bool {
        self.answers.include(case)
    }

    /// Returns whether all paths of the command exist.
    fn is_built(&self) -> bool {
        self.command
            .iter()
            .filter(|word| word.contains('/'))
            .all(|path| Path::new(path).exists())
    }

    /// Starts the server through the command `wrapper`, and waits until it listens.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not print a port in time.
    pub(super) fn start(&self, wrapper: &[&OsStr]) -> anyhow::Result<Running> {
        let mut words = wrapper
            .iter()
            .copied()
            .chain(self.command.iter().map(OsStr::new));
        let program = words
            .next()
            .with_context(|| format!("{} has an empty command", self.name))?;
        let mut child = Command::new(program)
            .args(words)
            .env("PORT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let stdout = child.stdout.take();
        // Created before the port is known, so that the process is killed on every error.
        let mut running = Running {
            child,
            url: String::new(),
            last_line: Arc::default(),
        };
        let last_line = Arc::clone(&running.last_line);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            // Reads until the end, so that the server never blocks on a full pipe.
            for line in stdout
                .into_iter()
                .flat_map(|stdout| BufReader::new(stdout).lines())
                .map_while(Result::ok)
            {
                // The receiver is gone once the port is known.
                if let Err(mpsc::SendError(line)) = sender.send(line) {
                    *last_line.lock().unwrap_or_else(PoisonError::into_inner) = line;
                }
            }
        });
        let line = lines
            .recv_timeout(START)
            .with_context(|| format!("{} did not print its port", self.name))?;
        if let Some(reason) = line.strip_prefix("unavailable: ") {
            bail!(Unavailable(reason.to_owned()));
        }
        let port =
            port(&line).with_context(|| format!("{} printed no port: {line:?}", self.name))?;
        running.url = format!("http://127.0.0.1:{port}");
        Ok(running)
    }
}

impl Running {
    /// Returns the address that the server listens on.
    ///
    /// # Errors
    /// The URL has none.
    pub(super) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.url.trim_start_matches("http://").parse()?)
    }

    /// Returns the last line that the server printed after the line with its port.
    pub(super) fn last_line(&self) -> String {
        let line = self.last_line.lock();
        line.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the server to stop, and waits for it.
    ///
    /// # Errors
    /// It had to be killed.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        self.terminate()
    }

    fn terminate(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            Signal::SIGTERM,
        )?;
        let start = Instant::now();
        while start.elapsed() < END {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!("a server did not end on SIGTERM")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.terminate() {
            note(&format!("{error:#}"));
        }
    }
}

fn definition(text: &str) -> Result<Server, String> {
    match text.split_once('=') {
        Some((name, command)) if !name.is_empty() && !command.trim().is_empty() => {
            Ok(Server::named(name, command))
        }
        _ => Err("expected NAME=COMMAND".to_owned()),
    }
}

/// Returns the number at the end of a line.
fn port(line: &str) -> Option<u16> {
    let line = line.trim_end_matches(|last: char| !last.is_ascii_digit());
    line.rsplit(|digit: char| !digit.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_is_the_last_number_of_the_line() {
        assert_eq!(port("listening on 127.0.0.1:3000"), Some(3000));
        assert_eq!(port("http://127.0.0.1:3000/"), Some(3000));
        assert_eq!(port("3000"), Some(3000));
        assert_eq!(port("ready"), None);
    }

    #[test]
    fn definition_replaces_a_known_server() {
        let selection = Selection {
            servers: vec!["floor".into()],
            definitions: vec![definition("floor=sleep 1").unwrap()],
        };
        let servers = selection.servers(&[]).unwrap();
        assert_eq!(servers.len(), 1);
        assert_eq!(servers[0].command, ["sleep", "1"]);
        assert!(!servers[0].answers(Case::Polling));
    }

    #[test]
    fn unknown_server_is_refused() {
        let selection = Selection {
            servers: vec!["flor".into()],
            definitions: Vec::new(),
        };
        assert!(selection.servers(&[]).is_err());
    }
}
