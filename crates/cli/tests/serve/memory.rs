//! The memory of `kokanee serve` when many clients have gone. `kokanee-bench memory` does the same with many more.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::support::{Client, Server};

/// Time in which memory goes back.
const BACK: Duration = Duration::from_secs(60);

/// Resident memory in KiB.
fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// POSTs that bring most of their bodies, and then nothing.
fn post_slowly(server: &Server, count: usize) -> Vec<TcpStream> {
    let post = |_| {
        let client = Client::handshake(server, "/");
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
        let head = format!(
            "POST /socket.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
            client.sid()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(&vec![b'x'; 900_000]).expect("sent");
        stream
    };
    (0..count).map(post).collect()
}

#[test]
fn memory_goes_back_when_the_clients_have_gone() {
    let server = Server::start(&["--quiet", "--ping-interval", "2s", "--ping-timeout", "2s"]);
    // Code that has run is resident, and stays so.
    drop(post_slowly(&server, 1));
    let start = resident(&server);
    let clients = post_slowly(&server, 100);
    let end = Instant::now() + BACK;
    while resident(&server) < start + 50_000 {
        assert!(Instant::now() < end, "the bodies are not there");
        thread::sleep(Duration::from_millis(20));
    }
    drop(clients);
    let end = Instant::now() + BACK;
    while resident(&server) > start * 13 / 10 {
        assert!(
            Instant::now() < end,
            "{} KiB are resident, and {start} were",
            resident(&server)
        );
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_heap_in_use_is_told() {
    let server = Server::start(&["--report-heap", "50ms"]);
    for _ in 0..2 {
        let bytes = server.record_of("heap")["bytes"].as_u64();
        assert!(bytes.is_some_and(|bytes| bytes > 10_000), "{bytes:?}");
    }
}
