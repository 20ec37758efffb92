//! `kokanee listen`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use serde_json::{Value, json};

use crate::{
    closed_url,
    process::{LIMIT, Server, kokanee},
    run, stderr, stdout,
};

/// A running `listen`, ended when dropped.
struct Listener {
    child: Child,
    lines: Receiver<String>,
}

impl Listener {
    fn start(args: &[&str]) -> Self {
        let mut child = kokanee(&[&["listen"], args].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        let other = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = other.send(line);
            }
        });
        Self { child, lines }
    }

    /// The next line with this text, of either stream.
    fn line_with(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(LIMIT).expect(text);
            if line.contains(text) {
                return line;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn events_are_printed_until_the_count_is_reached() {
    let server = Server::start(&[]);
    let url = server.url("");
    let output = run(&["listen", &url, "--event", "clock", "--count", "1", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let record: Value = serde_json::from_str(stdout(&output)).expect("one line of JSON");
    assert_eq!(
        (&record["event"], &record["name"]),
        (&json!("receive"), &json!("clock"))
    );
    assert!(record["args"][0]["clients"].as_u64() >= Some(1));
    let output = run(&["listen", &url, "--event", "welcome", "--count", "1"]);
    assert!(
        stdout(&output).contains("  ←  /         welcome {\"id\": "),
        "{}",
        stdout(&output)
    );
}

#[test]
fn silence_and_failures_have_their_codes() {
    let server = Server::start(&[]);
    let url = server.url("");
    let output = run(&["listen", &url, "--event", "nothing", "--timeout", "200ms"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert_eq!(
        run(&["listen", &server.url("/private")]).status.code(),
        Some(3)
    );
    assert_eq!(run(&["listen", &closed_url()]).status.code(), Some(6));
}

#[test]
fn events_that_want_an_answer_get_it() {
    let server = Server::start(&[]);
    let url = server.url("");
    let listener = Listener::start(&[&url, "--answer", "-42", "--event", "question"]);
    listener.line_with("connected");
    let output = run(&["emit", &url, "call everybody", "question", "--ack"]);
    listener.line_with("question");
    // The sender is asked, too, and does not answer.
    assert_eq!(stdout(&output), "[[-42]]\n", "{}", stderr(&output));
}

#[test]
fn a_lost_connection_is_made_again() {
    let mut server = Server::start(&[]);
    let url = server.url("");
    let listener = Listener::start(&[&url, "--event", "clock"]);
    listener.line_with("clock");
    let port = server.port.to_string();
    server.kill();
    listener.line_with("disconnected");
    let _again = Server::start_on(&port, &[]);
    listener.line_with("connected by");
    listener.line_with("clock");
}

#[test]
fn without_reconnection_a_lost_connection_ends_it() {
    let mut server = Server::start(&[]);
    let mut listener = Listener::start(&[&server.url(""), "--event", "clock", "--no-reconnect"]);
    listener.line_with("clock");
    server.kill();
    listener.line_with("error: the connection was lost");
    assert_eq!(
        listener.child.wait().expect("our own child").code(),
        Some(7)
    );
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_with_a_goodbye() {
    let server = Server::start(&[]);
    let mut listener = Listener::start(&[&server.url("")]);
    listener.line_with("connected");
    let pid = listener.child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(sent.is_ok_and(|status| status.success()));
    assert_eq!(
        listener.child.wait().expect("our own child").code(),
        Some(130)
    );
    assert_eq!(
        server.record_of("disconnect")["reason"],
        "client namespace disconnect"
    );
}

#[test]
fn it_ends_when_nobody_reads_its_output() {
    let server = Server::start(&[]);
    let mut child = kokanee(&["listen", &server.url(""), "--event", "clock", "--quiet"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    reader.read_line(&mut line).expect("a line");
    drop(reader);
    assert_eq!(child.wait().expect("our own child").code(), Some(0));
}

/// Serves `/` on a port, or on a free one, with threads of its own. Returns them, and the port.
fn serve(port: u16, accepts: bool) -> (tokio::runtime::Runtime, u16) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let port = runtime.block_on(async {
        let io = kokanee::Server::new();
        io.of("/");
        if !accepts {
            io.middleware(async || Err::<(), _>(kokanee::ConnectError::new("token expired")));
        }
        let listener = io.bind(&format!("127.0.0.1:{port}")).await.expect("free");
        let port = listener.local_addr().port();
        tokio::spawn(listener.serve());
        port
    });
    (runtime, port)
}

#[test]
fn it_ends_when_it_is_refused_at_a_reconnection() {
    let (first, port) = serve(0, true);
    let url = format!("http://127.0.0.1:{port}");
    let mut listener = Listener::start(&[&url]);
    listener.line_with("connected");
    // Its connections break, and its port is free after this.
    first.shutdown_timeout(LIMIT);
    let (_second, _) = serve(port, false);
    assert!(listener.line_with("error: ").contains("token expired"));
    assert_eq!(listener.child.wait().expect("it ends").code(), Some(3));
}
