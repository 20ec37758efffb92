//! `kokanee tcp` and `kokanee udp` as programs, against each other and against plain sockets.

#[path = "../support/process.rs"]
mod process;
mod tcp;
mod udp;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use process::{LIMIT, kokanee, run, stderr, stdout};

/// A running command that listens, killed on drop.
struct Listening {
    child: Child,
    input: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
    port: String,
}

impl Listening {
    /// Starts the command on a free port, and waits until it listens.
    fn start(args: &[&str]) -> Self {
        let mut child = kokanee(&[args, &["--port", "0"]].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let input = child.stdin.take();
        let mut listening = Self {
            child,
            input,
            lines,
            port: String::new(),
        };
        let first = listening.line();
        let (start, port) = first.rsplit_once(':').expect("an address");
        assert!(start.starts_with("listening on "), "{first}");
        port.clone_into(&mut listening.port);
        listening
    }

    /// The next line of its output, without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn say(&mut self, text: &str) {
        let input = self.input.as_mut().expect("not ended");
        input.write_all(text.as_bytes()).expect("it reads");
    }

    /// Ends its input.
    fn hush(&mut self) {
        self.input = None;
    }

    fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + LIMIT;
        loop {
            match self.child.try_wait().expect("our own child") {
                Some(status) => return status,
                None if Instant::now() >= end => panic!("it does not end"),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
