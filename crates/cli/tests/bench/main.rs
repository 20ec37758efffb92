//! `kokanee bench` as a program, against `kokanee serve`.

#[path = "../support/process.rs"]
mod process;

use std::{fs, net::TcpListener, process::Output};

use serde_json::Value;

use process::{Server, kokanee};

fn bench(args: &[&str]) -> Output {
    kokanee(&[&["bench"], args].concat())
        .output()
        .expect("the binary starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a load that ends after some events, and returns its report.
fn report(server: &Server, args: &[&str]) -> Value {
    report_of(&server.url(""), args)
}

fn report_of(url: &str, args: &[&str]) -> Value {
    let output = bench(&[&[url], args, &["--json", "--quiet", "--warmup", "0s"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Scenarios, and the messages that they report.
const SCENARIOS: [(&[&str], u64); 5] = [
    (&["echo", "-c", "5", "-m", "50"], 50),
    (
        &["echo", "-c", "5", "-m", "50", "--ack", "--window", "4"],
        50,
    ),
    (&["polling", "-c", "5", "-m", "50"], 50),
    (&["connect", "-c", "20"], 20),
    (&["idle", "-c", "20", "--hold", "50ms"], 20),
];

#[test]
fn every_scenario_runs_against_the_demo_server() {
    let server = Server::start(&[]);
    let others: [(&[&str], u64); 2] = [
        (&["broadcast", "-c", "5", "-m", "10"], 40),
        (&["storm", "-c", "20", "--waves", "2"], 40),
    ];
    for (args, messages) in SCENARIOS.into_iter().chain(others) {
        let report = report(&server, args);
        assert_eq!(report["messages"], messages, "{args:?}");
        assert_eq!(report["scenario"], args[0]);
        assert_eq!(report["out_of_order"], 0);
        assert!(
            report["timeline"]
                .as_array()
                .is_some_and(|samples| !samples.is_empty())
        );
        assert!(report["latency"]["p99"].as_f64() > Some(0.0));
    }
}

#[test]
fn every_scenario_runs_on_clients() {
    let server = Server::start(&[]);
    let others: [(&[&str], u64); 2] = [
        (&["broadcast", "-c", "5", "-m", "10", "--window", "2"], 40),
        (&["storm", "-c", "20", "--waves", "1"], 20),
    ];
    for (args, messages) in SCENARIOS.into_iter().chain(others) {
        let report = report(&server, &[args, &["--client"]].concat());
        assert_eq!(report["generator"], "client");
        assert_eq!(report["messages"], messages, "{args:?}");
        assert_eq!(report["scenario"], args[0]);
        assert_eq!(report["out_of_order"], 0);
        assert_eq!(report["failures"], 0);
        assert!(report["latency"]["p99"].as_f64() > Some(0.0));
    }
}

#[test]
fn clients_do_what_the_raw_generator_cannot() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let path = |kind: &str| format!("{}/bench-{kind}.pem", env!("CARGO_TARGET_TMPDIR"));
    let (cert, key) = (path("cert"), path("key"));
    fs::write(&cert, made.cert.pem()).expect("a file");
    fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let load = ["echo", "-c", "5", "-m", "50"];

    let tls = Server::start(&["--tls-cert", &cert, "--tls-key", &key]);
    for trust in [&["--ca", &cert][..], &["--insecure"]] {
        let report = report(&tls, &[&load, trust].concat());
        assert_eq!(
            (&report["generator"], &report["messages"]),
            (&"client".into(), &50.into())
        );
    }
    let output = bench(&[&tls.url(""), "idle", "-c", "1"]);
    assert_eq!(output.status.code(), Some(6));
    assert!(stderr(&output).contains("TLS with 127.0.0.1 failed"));

    let plain = Server::start(&["--allow-eio3"]);
    assert_eq!(report(&plain, &load)["generator"], "raw");
    for options in [
        &["--revision", "3"][..],
        &["--transports", "polling,websocket"],
        &["--query", "a=b", "--compression"],
        &["-H", "X-Test: 1"],
    ] {
        let report = report(&plain, &[&load, options].concat());
        assert_eq!(
            (&report["generator"], &report["messages"]),
            (&"client".into(), &50.into())
        );
    }
    // The server's default parser takes no msgpack.
    let msgpack = Server::start(&["--parser", "msgpack"]);
    assert_eq!(
        report(&msgpack, &[&load[..], &["--parser", "msgpack"]].concat())["messages"],
        50
    );
}

/// Joins a stream with one to this port, until both have ended.
#[cfg(unix)]
async fn join(mut near: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, port: u16) {
    let far = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
    // Either side may be gone before the other.
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far.expect("the server")).await;
}

#[cfg(unix)]
#[test]
fn clients_go_through_a_unix_socket_and_a_proxy() {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, UnixListener},
    };

    let server = Server::start(&[]);
    let port = server.port;
    // There is no such host: only whom they go through knows where the server is.
    let url = "http://kokanee.invalid:3000";
    let load = ["echo", "-c", "5", "-m", "50"];
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let _runtime = runtime.enter();

    let path = format!("{}/bench.sock", env!("CARGO_TARGET_TMPDIR"));
    // A run before this one may have left it.
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    runtime.spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(join(near, port));
        }
    });
    let through_socket = report_of(url, &[&load[..], &["--unix-socket", &path]].concat());

    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("a port");
    let proxy = format!("http://{}", listener.local_addr().expect("an address"));
    runtime.spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(near.read_u8().await.expect("a request"));
                }
                let is_right = head.starts_with(b"CONNECT kokanee.invalid:3000 HTTP/1.1\r\n");
                let answer: &[u8] = if is_right {
                    b"HTTP/1.1 200 OK\r\n\r\n"
                } else {
                    b"HTTP/1.1 400 Bad Request\r\n\r\n"
                };
                near.write_all(answer).await.expect("it listens");
                join(near, port).await;
            });
        }
    });
    let through_proxy = report_of(url, &[&load[..], &["--proxy", &proxy]].concat());

    for report in [through_socket, through_proxy] {
        assert_eq!(report["generator"], "client");
        assert_eq!(report["messages"], 50);
    }
}

#[test]
fn failures_of_clients_have_codes() {
    let server = Server::start(&[]);
    let url = server.url("");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    for (args, code, text) in [
        (&[&*server.url("/private")][..], 3, "not authorized"),
        (
            &[&url, "--event", "nobody", "--timeout", "300ms"],
            4,
            "no progress for 300ms",
        ),
        (&[&url, "--path", "/elsewhere"], 5, "404"),
        (&[&url, "--revision", "3"], 5, "try revision 4"),
        (&[&closed], 6, "does the server run"),
        (&[&url, "--proxy", &closed], 6, ""),
        (&[&url, "--proxy", "gopher://x"], 2, "proxy"),
        (&[&url, "storm", "--spread", "1s"], 2, "--spread"),
        (
            &[&url, "polling", "--transports", "websocket"],
            2,
            "--transports",
        ),
        (&[&url, "--ca", "/no/such/file"], 1, "/no/such/file"),
    ] {
        let output = bench(&[args, &["--client", "-c", "1"]].concat());
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains(text), "{args:?}: {told}");
    }
}

#[test]
fn a_namespace_is_the_path_and_auth_opens_it() {
    let server = Server::start(&[]);
    let refused = bench(&[&server.url("/private"), "-c", "2", "-m", "2"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        stderr(&refused).contains("not authorized"),
        "{}",
        stderr(&refused)
    );
    let output = bench(&[
        &server.url("/private"),
        "-c",
        "2",
        "-m",
        "20",
        "--auth",
        r#"{"token":"kokanee"}"#,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        text.starts_with("echo on 2 connections, 1 in flight on each, 64 bytes\n"),
        "{text}"
    );
    assert!(text.contains("20 echoes in "), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn cpu_and_memory_of_the_server_are_measured() {
    let server = Server::start(&[]);
    let pid = server.pid().to_string();
    let report = report(
        &server,
        &["idle", "-c", "20", "--hold", "50ms", "--pid", &pid],
    );
    assert!(report["server"]["cpu_seconds"].as_f64() > Some(0.0));
    assert!(report["memory"]["open"].as_u64() > Some(100_000));
    assert!(report["timeline"][0]["memory"].as_u64() > Some(100_000));
}

#[test]
fn the_page_needs_no_other_file() {
    let server = Server::start(&[]);
    let file = format!("{}/report.html", env!("CARGO_TARGET_TMPDIR"));
    report(
        &server,
        &["storm", "-c", "20", "--waves", "2", "--html", &file],
    );
    let page = fs::read_to_string(file).expect("the page");
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("<svg ") && page.contains("prefers-color-scheme: dark"));
    for loaded in ["<script", "<link", "<img", "src=", "@import", "url("] {
        assert!(!page.contains(loaded), "{loaded}");
    }
    assert!(!page.contains("NaN"));
}

#[test]
fn failures_have_codes_and_hints() {
    let server = Server::start(&[]);
    let url = server.url("");
    let output = bench(&[
        &url,
        "--event",
        "nobody answers",
        "--timeout",
        "300ms",
        "-c",
        "1",
    ]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("hint: does the server reply to this event?"));
    let output = bench(&[&url, "--path", "/elsewhere", "-c", "1"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).contains("404"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    assert_eq!(bench(&[&closed, "-c", "1"]).status.code(), Some(6));
    assert_eq!(
        bench(&["ftp://127.0.0.1", "-c", "1"]).status.code(),
        Some(2)
    );
    assert_eq!(bench(&[&url, "-c", "0"]).status.code(), Some(2));
    let output = bench(&[
        &url,
        "-c",
        "1",
        "-m",
        "1",
        "--html",
        "/no/such/directory/x.html",
    ]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn progress_is_told_on_stderr() {
    let server = Server::start(&[]);
    let output = bench(&[&server.url(""), "storm", "-c", "10", "--waves", "1"]);
    let told = stderr(&output);
    assert!(
        told.contains("wave 1 of 1: cutting all connections"),
        "{told}"
    );
    assert!(!told.contains('\u{1b}'), "{told}");
}

#[test]
fn the_limit_of_an_address_is_named() {
    let server = Server::start(&["--max-pending-per-address", "1"]);
    let url = server.url("");
    let limit = "the server's limit for one address";
    for client in [
        &["--handshakes", "1"][..],
        &["--handshakes", "1", "--client"],
    ] {
        let args = [&[&*url, "storm", "-c", "200", "--waves", "1", "-q"], client].concat();
        let output = bench(&args);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {}",
            stderr(&output)
        );
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(
            text.contains(&format!("of them were refused by {limit}")),
            "{text}"
        );
        assert!(text.contains("429 Too Many Requests"), "{text}");
    }
    // Where a refusal ends the run.
    let output = bench(&[&url, "-c", "30"]);
    assert_ne!(output.status.code(), Some(0));
    let told = stderr(&output);
    assert!(told.contains(&format!("hint: this is {limit}")), "{told}");
}
