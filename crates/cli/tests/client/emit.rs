//! `kokanee emit`.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use serde_json::json;

use crate::{closed_url, process::Server, run, stderr, stdout};

#[test]
fn an_answer_is_printed_as_json() {
    let server = Server::start(&[]);
    let url = server.url("");
    let output = run(&["emit", &url, "echo", "1", "two", r#"{"a":[3]}"#, "--ack"]);
    assert_eq!(stderr(&output), "");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), "[1,\"two\",{\"a\":[3]}]\n");
    let output = run(&["emit", &url, "echo", "1", "--text", "--ack"]);
    assert_eq!(stdout(&output), "[\"1\"]\n");
    let output = run(&["emit", &url, "rooms", "--ack"]);
    assert_eq!(stdout(&output), "[[]]\n");
}

#[test]
fn an_event_that_the_server_does_not_take_is_told() {
    let server = Server::start(&["--max-message-bytes", "1000"]);
    let large = "x".repeat(5000);
    let args = ["emit", &server.url(""), "echo", &large];
    let output = run(&[&args[..], &["--transports", "polling"]].concat());
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(stderr(&output).contains("before everything was sent"));
}

#[test]
fn every_transport_works() {
    let server = Server::start(&["--allow-eio3"]);
    let url = server.url("");
    for options in [
        &["--transports", "polling"][..],
        &["--transports", "websocket"],
        &["--no-upgrade"],
        &["--revision", "3"],
        &["--revision", "3", "--transports", "websocket"],
        &["--compression", "--transports", "websocket"],
    ] {
        let output = run(&[&["emit", &url, "echo", "hello", "--ack"], options].concat());
        assert_eq!(
            stdout(&output),
            "[\"hello\"]\n",
            "{options:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn binary_data_goes_both_ways() {
    let server = Server::start(&[]);
    let url = server.url("");
    let file = format!("{}/three.bin", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, [1, 2, 3]).expect("a file");
    for args in [
        &["--binary", &file][..],
        &[&*format!("@{file}")],
        &[r#"{"_binary":"AQID"}"#],
    ] {
        let output = run(&[&["emit", &url, "binary", "--ack"], args].concat());
        assert_eq!(
            stdout(&output),
            "[{\"bytes\":{\"_binary\":\"AQID\"},\"length\":3}]\n",
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn an_event_without_an_answer_has_left_when_it_ends() {
    let server = Server::start(&[]);
    let url = server.url("");
    let output = run(&["emit", &url, "echo", "hello", "--count", "3"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), ""));
    for _ in 0..3 {
        assert_eq!(server.record_of("receive")["args"], json!(["hello"]));
    }
}

#[test]
fn a_refusal_has_its_code_and_its_data() {
    let server = Server::start(&[]);
    let url = server.url("/private");
    let output = run(&["emit", &url, "whoami", "--ack"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("not authorized"),
        "{}",
        stderr(&output)
    );
    assert!(
        stderr(&output).contains("\"code\":401"),
        "{}",
        stderr(&output)
    );
    let output = run(&[
        "emit",
        &url,
        "whoami",
        "--ack",
        "--auth",
        r#"{"token":"kokanee"}"#,
    ]);
    assert_eq!(stdout(&output), "[{\"token\":\"kokanee\"}]\n");
    let file = format!("{}/auth.json", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, r#"{"token":"kokanee"}"#).expect("a file");
    let output = run(&[
        "emit",
        &url,
        "whoami",
        "--ack",
        "--auth",
        &format!("@{file}"),
    ]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn each_kind_of_failure_has_its_code() {
    let server = Server::start(&[]);
    let url = server.url("");
    let output = run(&[
        "emit",
        &url,
        "nobody answers",
        "--ack",
        "--timeout",
        "200ms",
    ]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("no answer within 200ms"));
    let output = run(&["emit", &url, "echo", "--path", "/elsewhere"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let output = run(&["emit", &url, "echo", "--revision", "3"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert_eq!(run(&["emit", &closed_url(), "echo"]).status.code(), Some(6));
    assert_eq!(
        run(&["emit", "ftp://localhost", "echo"]).status.code(),
        Some(2)
    );
    assert_eq!(
        run(&["emit", &url, "echo", "@/no/such/file"]).status.code(),
        Some(2)
    );
    assert_eq!(
        run(&["emit", &url, "echo", "--auth", "{"]).status.code(),
        Some(2)
    );
    let output = run(&["emit", &url, "disconnect me", "true", "--ack"]);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
}

#[test]
fn headers_and_parameters_are_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut head = [0; 2048];
        let length = stream.read(&mut head).expect("a request");
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer).expect("an answer");
        String::from_utf8_lossy(&head[..length]).into_owned()
    });
    let output = run(&[
        "emit",
        &url,
        "x",
        "-H",
        "X-Name: value",
        "--query",
        "token=a b",
        "--path",
        "/io",
    ]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let head = peer.join().expect("a request").to_ascii_lowercase();
    assert!(head.starts_with("get /io/?"), "{head}");
    assert!(
        head.contains("token=a+b") || head.contains("token=a%20b"),
        "{head}"
    );
    assert!(head.contains("x-name: value"), "{head}");
}
