//! `kokanee serve` as a program: its page, its output, its signals and exit codes.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Output, Stdio},
};

use crate::support::{Client, Server, kokanee, request};
use serde_json::{Value, json};

fn run(args: &[&str]) -> Output {
    kokanee(args).output().expect("the binary starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_page_and_its_files_are_served() {
    let server = Server::start(&[]);
    for (path, content_type, start) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/page.css", "text/css; charset=utf-8", ""),
        ("/page.js", "text/javascript; charset=utf-8", "//"),
        ("/client.js", "text/javascript; charset=utf-8", ""),
        ("/favicon.svg", "image/svg+xml", "<svg"),
    ] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(content_type)),
            "{path}"
        );
        assert!(
            answer.text().starts_with(start) && !answer.body.is_empty(),
            "{path}"
        );
        assert_eq!(
            answer.header("content-security-policy"),
            Some(
                "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; base-uri 'none'"
            )
        );
        let etag = format!("If-None-Match: {}", answer.header("etag").expect("a tag"));
        assert_eq!(
            request(server.port, &format!("GET {path}"), &[&etag], "").status,
            304
        );
    }
    assert_eq!(server.get("/nothing").status, 404);
    assert_eq!(server.get("/socket.io/socket.io.js").status, 404);
}

/// A new directory for a test, with these files.
fn directory(name: &str, files: &[(&str, &str)]) -> String {
    let path = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(&path).expect("a directory");
    for (file, content) in files {
        fs::write(format!("{path}/{file}"), content).expect("a file");
    }
    path
}

#[test]
fn static_files_are_served_beside_the_page() {
    let files = directory(
        "beside",
        &[
            ("notes.txt", "hello"),
            ("page.js", "mine"),
            (".env", "mine"),
        ],
    );
    let server = Server::start(&["--static", &files]);
    assert_eq!(server.get("/notes.txt").text(), "hello");
    assert!(server.get("/").text().contains("Kokanee"));
    assert_ne!(server.get("/page.js").text(), "mine");
    assert_eq!(server.get("/../serve.rs").status, 404);
    assert_eq!(server.get("/.env").status, 404);
}

#[test]
fn an_own_index_replaces_the_page() {
    let files = directory("instead", &[("index.html", "my page"), ("page.js", "mine")]);
    let server = Server::start(&["--static", &files]);
    assert_eq!(server.get("/").text(), "my page");
    assert_eq!(server.get("/page.js").text(), "mine");
    assert_eq!(server.get("/client.js").status, 404);
}

#[test]
fn the_official_client_is_served_if_there_is_one() {
    let bundle = directory("dist", &[("socket.io.js", "/* official */")]);
    let mut child = kokanee(&["serve", "--port", "0", "--serve-client", &bundle])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let first = lines.next().expect("a line").expect("text");
    let note = lines.next().expect("a line").expect("text");
    assert_eq!(
        note,
        format!("The page uses the official JavaScript client of {bundle}.")
    );
    let (_, rest) = first.split_once("http://127.0.0.1:").expect("the address");
    let port = rest
        .split(' ')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    assert_eq!(
        request(port, "GET /socket.io/socket.io.js", &[], "").text(),
        "/* official */"
    );
    child.kill().and_then(|()| child.wait()).expect("it ends");
}

#[test]
fn a_port_in_use_is_said_with_a_hint() {
    let server = Server::start(&[]);
    let output = run(&["serve", "--port", &server.port.to_string()]);
    assert_eq!(output.status.code(), Some(98));
    let said = format!(
        "error: port {} of 127.0.0.1 is in use\nhint: choose another port with --port, or any free one with --port 0\n",
        server.port
    );
    assert_eq!(stderr(&output), said);
    assert!(output.stdout.is_empty());
}

#[test]
fn wrong_usage_and_failures_have_their_exit_codes() {
    for (args, code, said) in [
        (
            &["serve", "--ping-interval", "5"][..],
            2,
            "a number with a unit",
        ),
        (&["serve", "--tls-cert", "cert.pem"], 2, "--tls-key"),
        (&["serve", "--cookie=a;b"], 2, "invalid character"),
        (&["bogus"], 2, "bogus"),
        (
            &["serve", "--static", "does-not-exist", "--port", "0"],
            1,
            "cannot serve does-not-exist: ",
        ),
        (
            &["serve", "--serve-client", "does-not-exist", "--port", "0"],
            1,
            "cannot serve does-not-exist: ",
        ),
        (
            &[
                "serve",
                "--tls-cert",
                "none.pem",
                "--tls-key",
                "none.pem",
                "--port",
                "0",
            ],
            1,
            "cannot read none.pem",
        ),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(
            stderr(&output).contains(said),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn help_and_version_are_there() {
    let version = run(&["--version"]);
    assert_eq!(
        version.stdout,
        concat!("kokanee ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()
    );
    let help = String::from_utf8_lossy(&run(&["serve", "--help"]).stdout).into_owned();
    assert!(help.contains("Examples:") && help.contains("Exit codes:"));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_server_in_good_order() {
    for signal in ["INT", "TERM"] {
        let mut server = Server::start(&["--shutdown-timeout", "200ms"]);
        let client = Client::open(&server);
        server.signal(signal);
        assert_eq!(server.record_of("stopping")["sessions"], 1);
        let gone = server.record_of("disconnect");
        assert_eq!(
            (&gone["socket"], &gone["reason"]),
            (&json!(client.id), &json!("server shutting down"))
        );
        assert_eq!(server.record_of("stopped")["event"], "stopped");
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_the_server_at_once() {
    let mut server = Server::start(&["--shutdown-timeout", "1h"]);
    let client = Client::open(&server);
    client.emit(&json!(["sleep", 10_000]));
    server.record_of("receive");
    server.signal("INT");
    server.record_of("stopping");
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(130));
}

#[test]
fn the_log_tells_what_happens_and_no_session_id() {
    let server = Server::start(&[]);
    let mut client = Client::open(&server);
    client.call(&json!(["echo", "a\u{9b}b", {"c": 1}]));
    client.post("41");

    let mut seen = Vec::new();
    loop {
        let record = server.record();
        assert!(!record.to_string().contains(client.sid()));
        assert_eq!(
            (&record["namespace"], &record["socket"]),
            (&json!("/"), &json!(client.id))
        );
        let event = record["event"].as_str().expect("a name").to_owned();
        if event == "receive" || event == "answer" {
            assert_eq!(record["args"], json!(["a\u{9b}b", {"c": 1}]));
        }
        seen.push(event);
        if record["event"] == "disconnect" {
            assert_eq!(record["reason"], "client namespace disconnect");
            break;
        }
    }
    assert_eq!(seen, ["connect", "send", "receive", "answer", "disconnect"]);
}

#[test]
fn a_quiet_server_prints_its_address_alone() {
    let mut child = kokanee(&["serve", "--port", "0", "--quiet"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    let (_, rest) = line.split_once("http://127.0.0.1:").expect("the address");
    let port: u16 = rest
        .split(' ')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    assert_eq!(
        request(port, "GET /socket.io/?EIO=4&transport=polling", &[], "").status,
        200
    );
    child.kill().and_then(|()| child.wait()).expect("it ends");
    line.clear();
    stdout.read_line(&mut line).expect("the end");
    assert_eq!(line, "");
}

#[test]
fn nobody_needs_to_read_the_log() {
    let mut child = kokanee(&["serve", "--port", "0", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    let first: Value = serde_json::from_str(&line).expect("JSON");
    drop(stdout);
    let port = first["port"]
        .as_u64()
        .and_then(|port| port.try_into().ok())
        .expect("a port");
    for _ in 0..3 {
        let answer = request(port, "GET /socket.io/?EIO=4&transport=polling", &[], "");
        let open: Value = serde_json::from_str(&answer.text()[1..]).expect("the open packet");
        let url = format!(
            "/socket.io/?EIO=4&transport=polling&sid={}",
            open["sid"].as_str().expect("an id")
        );
        assert_eq!(
            request(port, &format!("POST {url}"), &[], "40\x1e42[\"echo\"]").status,
            200
        );
        assert_eq!(request(port, &format!("GET {url}"), &[], "").status, 200);
    }
    assert_eq!(child.try_wait().expect("our own child"), None);
    child.kill().and_then(|()| child.wait()).expect("it ends");
}

#[test]
fn options_reach_the_server() {
    let server = Server::start(&[
        "--ping-interval",
        "12s",
        "--ping-timeout",
        "3400ms",
        "--cookie",
        "--cors",
        "https://a.example",
    ]);
    let answer = request(
        server.port,
        "GET /socket.io/?EIO=4&transport=polling",
        &["Origin: https://a.example"],
        "",
    );
    let open: Value = serde_json::from_str(&answer.text()[1..]).expect("the open packet");
    assert_eq!(
        (&open["pingInterval"], &open["pingTimeout"]),
        (&json!(12_000), &json!(3_400))
    );
    assert!(
        answer
            .header("set-cookie")
            .is_some_and(|cookie| cookie.starts_with("io="))
    );
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://a.example")
    );

    let server = Server::start(&[
        "--trust-proxy",
        "loopback",
        "--max-pending-per-address",
        "1",
    ]);
    let open = |client: &str| {
        let header = format!("X-Forwarded-For: {client}");
        let target = "GET /socket.io/?EIO=4&transport=polling";
        request(server.port, target, &[&header], "").status
    };
    assert_eq!(
        [open("192.0.2.1"), open("192.0.2.2"), open("192.0.2.2")],
        [200, 200, 429]
    );

    let server = Server::start(&[
        "--path",
        "/elsewhere",
        "--transports",
        "websocket",
        "--max-message-bytes",
        "1000",
    ]);
    assert_eq!(
        server.get("/socket.io/?EIO=4&transport=polling").status,
        404
    );
    assert_eq!(
        server.get("/elsewhere/?EIO=4&transport=polling").status,
        400
    );
}

#[cfg(unix)]
#[test]
fn running_out_of_descriptors_passes() {
    let server = Server::start_with_descriptors(48);
    // More than it can accept; those beyond wait in the kernel.
    let held: Vec<_> = (0..100)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", server.port)).expect("it listens"))
        .collect();
    assert!(
        held.iter().all(|stream| stream.peer_addr().is_ok()),
        "nobody is turned away"
    );
    drop(held);
    assert_eq!(server.get("/").status, 200);
    let mut client = Client::open(&server);
    let answer = client.call(&json!(["echo", "still here"]));
    assert_eq!(answer, json!(["still here"]));
}
