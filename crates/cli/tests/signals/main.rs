//! Signals while nobody reads what a command prints: each command ends, and says by which signal.

#![cfg(unix)]

#[path = "../support/process.rs"]
mod process;

use std::{
    io::{ErrorKind, PipeWriter, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use kokanee::Socket;
use process::{LIMIT, Server, free_port, kokanee};

/// Time in which a command ends: a second for its output, two for its goodbye, and some for a machine that is busy.
const PROMPT: Duration = Duration::from_secs(6);
/// Time without progress after which something is stuck.
const QUIET: Duration = Duration::from_millis(500);
const KILOBYTE: [u8; 1000] = [b'x'; 1000];

/// A pipe that is full, and that nobody reads.
fn full_pipe() -> (std::io::PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut filler = writer.try_clone().expect("a descriptor");
    let (progress, written) = mpsc::channel();
    // It waits in its last write until the reader has gone.
    thread::spawn(
        move || {
            while filler.write_all(&[b'.'; 4096]).is_ok() && progress.send(()).is_ok() {}
        },
    );
    while written.recv_timeout(QUIET).is_ok() {}
    (reader, writer)
}

/// A running command with nobody to read what it prints, ended when dropped.
struct Unread {
    child: Child,
    _pipe: std::io::PipeReader,
}

impl Unread {
    fn start(args: &[&str]) -> Self {
        let (pipe, writer) = full_pipe();
        let child = kokanee(args)
            .stdin(Stdio::piped())
            .stderr(writer.try_clone().expect("a descriptor"))
            .stdout(writer)
            .spawn()
            .expect("the binary starts");
        Self { child, _pipe: pipe }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + LIMIT;
        loop {
            match self.child.try_wait().expect("our own child") {
                Some(status) => return status,
                None if Instant::now() >= end => panic!("it does not end"),
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Ends it with a signal, and checks how it ends.
    fn end(&mut self, name: &str, code: i32) {
        let start = Instant::now();
        self.signal(name);
        assert_eq!(self.wait().code(), Some(code));
        let time = start.elapsed();
        assert!(time < PROMPT, "it took {time:?}");
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a test of all these commands with both signals, at the same time.
fn with_both_signals<T: Sync>(commands: &[T], test: impl Fn(&T, &str, i32) + Sync) {
    thread::scope(|scope| {
        for command in commands {
            for (signal, code) in [("TERM", 143), ("INT", 130)] {
                let test = &test;
                scope.spawn(move || test(command, signal, code));
            }
        }
    });
}

/// A server in this process that sends as much as a client takes, and tells when it takes nothing more.
struct Flood {
    url: String,
    stuck: Receiver<()>,
    _runtime: tokio::runtime::Runtime,
}

impl Flood {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        let (tell, stuck) = mpsc::channel();
        let url = runtime.block_on(async {
            let io = kokanee::Server::new();
            io.on_connect(move |socket: Socket| {
                tokio::spawn(flood(socket, tell.clone()));
                async {}
            });
            let listener = io.bind("127.0.0.1:0").await.expect("free");
            let port = listener.local_addr().port();
            tokio::spawn(listener.serve());
            format!("http://127.0.0.1:{port}")
        });
        Self {
            url,
            stuck,
            _runtime: runtime,
        }
    }

    fn wait_until_stuck(&self) {
        self.stuck.recv_timeout(LIMIT).expect("it takes no more");
    }
}

async fn flood(socket: Socket, stuck: Sender<()>) {
    let text = "x".repeat(1000);
    while let Ok(Ok(())) = tokio::time::timeout(QUIET, socket.emit("tick", &text)).await {}
    // Nobody may wait for it.
    let _ = stuck.send(());
}

#[test]
fn clients_end_when_events_are_not_read() {
    with_both_signals(&["listen", "connect"], |command, signal, code| {
        let flood = Flood::start();
        let mut client = Unread::start(&[command, &flood.url]);
        flood.wait_until_stuck();
        client.end(signal, code);
    });
}

#[test]
fn an_answer_that_is_not_read_does_not_keep_emit() {
    with_both_signals(&["emit"], |command, signal, code| {
        let server = Server::start(&[]);
        let mut emit = Unread::start(&[command, &server.url(""), "echo", "1", "--ack"]);
        // It has its answer, and only its output is left to be written.
        server.record_of("disconnect");
        emit.end(signal, code);
    });
}

#[test]
fn a_load_generator_ends_though_its_report_is_not_read() {
    with_both_signals(&["bench"], |command, signal, code| {
        let server = Server::start(&[]);
        let url = server.url("");
        let args = [*command, &url, "idle", "-c", "1", "--hold", "1h"];
        let mut bench = Unread::start(&args);
        server.record_of("connect");
        bench.end(signal, code);
    });
}

/// A port that is free.
/// Connects to a command that is about to listen.
fn reach(port: u16) -> TcpStream {
    let end = Instant::now() + LIMIT;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) if Instant::now() >= end => panic!("{error}"),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The same for datagrams. They are refused until somebody receives them.
fn reach_by_datagrams(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(("127.0.0.1", port)).expect("an address");
    let timeout = Some(Duration::from_millis(50));
    socket.set_read_timeout(timeout).expect("a timeout");
    let end = Instant::now() + LIMIT;
    loop {
        let sent = socket.send(b"hello");
        let answered = sent.and_then(|_| socket.recv(&mut [0; 16]));
        match answered.map_err(|error| error.kind()) {
            Err(ErrorKind::ConnectionRefused) if Instant::now() < end => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(ErrorKind::ConnectionRefused) => panic!("nobody receives"),
            _ => return socket,
        }
    }
}

/// Sends until the peer takes nothing more.
fn fill(mut stream: &TcpStream) {
    stream.set_write_timeout(Some(QUIET)).expect("a timeout");
    loop {
        match stream.write(&KILOBYTE) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn tcp_servers_end_when_messages_are_not_read() {
    let commands = [
        (&["tcp", "listen", "--raw"][..], false),
        (&["tcp", "listen", "--raw", "--keep-open"], true),
        (&["tcp", "echo", "--raw"], true),
    ];
    with_both_signals(&commands, |(args, as_server), signal, code| {
        let port = free_port();
        let mut server = Unread::start(&[args, &["--port", &port.to_string()][..]].concat());
        let peer = reach(port);
        fill(&peer);
        server.end(signal, if *as_server { 0 } else { code });
    });
}

#[test]
fn tcp_clients_end_when_messages_are_not_read() {
    with_both_signals(&["connect", "send"], |command, signal, code| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let port = port.to_string();
        let mut args = vec!["tcp", command, "127.0.0.1", &port, "--raw"];
        if *command == "send" {
            args.push("hello");
        }
        let mut client = Unread::start(&args);
        let (peer, _) = listener.accept().expect("a connection");
        fill(&peer);
        client.end(signal, code);
    });
}

#[test]
fn udp_commands_end_when_datagrams_are_not_read() {
    with_both_signals(&["echo", "listen"], |command, signal, _| {
        let port = free_port();
        let text = port.to_string();
        let mut server = Unread::start(&["udp", command, "--port", &text, "--raw"]);
        let socket = reach_by_datagrams(port);
        send_much(&socket);
        server.end(signal, 0);
    });
    with_both_signals(&["connect", "send"], |command, signal, code| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("an address").port();
        let port = port.to_string();
        let mut args = vec!["udp", command, "127.0.0.1", &port, "--raw"];
        if *command == "send" {
            args.extend(["hello", "--count", "1000000"]);
        }
        let mut client = Unread::start(&args);
        let input = client.child.stdin.as_mut().expect("a pipe");
        input.write_all(b"hello\n").expect("it reads");
        let (_, peer) = socket.recv_from(&mut [0; 16]).expect("a datagram");
        socket.connect(peer).expect("an address");
        send_much(&socket);
        client.end(signal, code);
    });
}

/// Sends more than a pipe takes, except what gets lost. A command that is not stuck then ends all the more.
fn send_much(socket: &UdpSocket) {
    for _ in 0..200 {
        let _ = socket.send(&KILOBYTE);
    }
}

#[test]
fn a_server_ends_though_its_log_is_not_read() {
    with_both_signals(&["serve"], |command, signal, _| {
        let port = free_port();
        let mut server = Unread::start(&[command, "--port", &port.to_string()]);
        drop(reach(port));
        server.end(signal, 0);
    });
}

#[test]
fn commands_that_only_print_are_ended_by_the_system() {
    for args in [
        &["man", "serve"][..],
        &["completions", "bash"],
        &["inspect", "-"],
    ] {
        let mut process = Unread::start(args);
        process.signal("TERM");
        assert_eq!(process.wait().signal(), Some(15));
    }
}

#[test]
fn a_second_signal_ends_a_client_at_once() {
    // A server that takes the connection, and then neither answers nor reads.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut client = Unread::start(&["listen", &format!("http://127.0.0.1:{port}")]);
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut head = [0; 16];
    stream.read_exact(&mut head).expect("a request");
    client.signal("INT");
    client.signal("TERM");
    let status = client.wait();
    // Both come at the same time, so either may be the second.
    assert!(
        matches!(status.code(), Some(130 | 143)),
        "it ended with {status}"
    );
}
