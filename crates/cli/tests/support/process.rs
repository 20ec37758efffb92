//! Runs the binary: the command, and `kokanee serve` as a server that tests talk to.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Timeout of every wait, which elapses only if something is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Returns the command, without options from the environment.
pub(crate) fn kokanee(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kokanee"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KOKANEE_") {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    kokanee(args).output().expect("the binary starts")
}

pub(crate) fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("text")
}

pub(crate) fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("text")
}

/// Returns a port of 127.0.0.1 that nothing listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Returns a URL that nothing listens on.
pub(crate) fn closed_url() -> String {
    format!("http://127.0.0.1:{}", free_port())
}

/// A running server, killed on drop.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    origin: String,
    pub(crate) port: u16,
}

impl Server {
    /// Starts `kokanee serve` with these options on a free port, and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_on("0", args)
    }

    /// Starts it on this port: one that a server before it has left.
    pub(crate) fn start_on(port: &str, args: &[&str]) -> Self {
        let fixed = ["serve", "--port", port, "--json", "--no-serve-client"];
        Self::start_command(kokanee(&[&fixed, args].concat()))
    }

    /// Starts a server that may have so many files and connections open.
    #[cfg(unix)]
    pub(crate) fn start_with_descriptors(count: usize) -> Self {
        let script =
            format!("ulimit -n {count} && exec \"$0\" serve --port 0 --json --no-serve-client");
        let mut command = Command::new("sh");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_kokanee")])
            .stdin(Stdio::null());
        Self::start_command(command)
    }

    fn start_command(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = read_lines(child.stdout.take().expect("a pipe"));
        let mut server = Self {
            child,
            lines,
            origin: String::new(),
            port: 0,
        };
        let first = server.record();
        assert_eq!(first["event"], "listening");
        server.port = first["port"]
            .as_u64()
            .and_then(|port| port.try_into().ok())
            .expect("a port");
        first["url"]
            .as_str()
            .expect("a URL")
            .clone_into(&mut server.origin);
        assert!(
            server
                .origin
                .ends_with(&format!("://127.0.0.1:{}", server.port))
        );
        server
    }

    /// Its URL, with a namespace.
    pub(crate) fn url(&self, namespace: &str) -> String {
        format!("{}{namespace}", self.origin)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of the log.
    pub(crate) fn record(&self) -> Value {
        let line = self.lines.recv_timeout(LIMIT).expect("a line");
        serde_json::from_str(&line).expect("a line of JSON")
    }

    /// The next line of the log about this event.
    pub(crate) fn record_of(&self, event: &str) -> Value {
        std::iter::repeat_with(|| self.record())
            .find(|record| record["event"] == event)
            .expect("endless")
    }

    /// Sends a signal.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// Ends it without a goodbye.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + LIMIT;
        loop {
            match self.child.try_wait().expect("our own child") {
                Some(status) => return status,
                None if Instant::now() >= end => panic!("the server does not end"),
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
