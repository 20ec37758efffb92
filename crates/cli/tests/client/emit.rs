//! `kokanee emit`.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener},
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
fn the_error_of_a_handler_is_a_refusal() {
    let server = Server::start(&[]);
    let url = server.url("");
    for (room, code) in [(&*"x".repeat(5000), "not_joined"), ("5", "invalid_payload")] {
        let output = run(&["emit", &url, "join", room, "--ack"]);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(stdout(&output).contains(code), "{}", stdout(&output));
        assert!(stderr(&output).contains("refused the event"));
    }
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
    assert!(stderr(&output).contains("no acknowledgement within 200ms"));
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

#[test]
fn negative_numbers_are_arguments_and_a_scheme_is_not_needed() {
    let server = Server::start(&[]);
    let address = format!("127.0.0.1:{}", server.port);
    let output = run(&["emit", &address, "echo", "-5", "-1.5", "-2e3", "--ack"]);
    assert_eq!(
        stdout(&output),
        "[-5,-1.5,-2000.0]\n",
        "{}",
        stderr(&output)
    );
    let output = run(&["emit", &address, "-5", "-1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let record = server.record_of("receive");
    assert_eq!(
        (&record["name"], &record["args"]),
        (&json!("echo"), &json!([-5, -1.5, -2000.0]))
    );
    let record = server.record_of("receive");
    assert_eq!(
        (&record["name"], &record["args"]),
        (&json!("-5"), &json!([-1]))
    );
}

#[test]
fn the_path_of_the_requests_is_not_a_namespace() {
    let server = Server::start(&[]);
    let url = server.url("/socket.io");
    for args in [
        &["emit", &*url, "echo"][..],
        &["listen", &url],
        &["connect", &url],
        &["bench", &url, "-c", "1"],
    ] {
        let output = run(args);
        assert_eq!(
            output.status.code(),
            Some(3),
            "{args:?}: {}",
            stderr(&output)
        );
        let hint = format!(
            "the namespace, here /socket.io; did you mean {} alone",
            server.url("")
        );
        assert!(
            stderr(&output).contains(&hint),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

/// Answers one request with this.
fn answer_once(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.read_exact(&mut [0; 16]).expect("a request");
        stream.write_all(answer).expect("an answer");
        stream.shutdown(Shutdown::Write).expect("it listens");
        // Until it has read that.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    url
}

#[test]
fn tls_on_one_side_only_is_named() {
    let plain = Server::start(&[]);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let path = |kind: &str| format!("{}/sides-{kind}.pem", env!("CARGO_TARGET_TMPDIR"));
    let (cert, key) = (path("cert"), path("key"));
    fs::write(&cert, made.cert.pem()).expect("a file");
    fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let tls = Server::start(&["--tls-cert", &cert, "--tls-key", &key]);
    let https = format!("https://127.0.0.1:{}", plain.port);
    let http = format!("http://127.0.0.1:{}", tls.port);
    let websocket = ["--transports", "websocket"];
    for (args, told) in [
        (
            &["emit", &*https, "echo"][..],
            "does not speak TLS on this port",
        ),
        (
            &["emit", &https, "echo", websocket[0], websocket[1]],
            "does not speak TLS",
        ),
        (&["bench", &https, "-c", "1"], "does not speak TLS"),
        (
            &["tcp", "connect", &https["https://".len()..], "--tls"],
            "does not speak TLS",
        ),
        (
            &["emit", &http, "echo"],
            "expects TLS on this port, the URL begins with https://",
        ),
        (
            &["emit", &http, "echo", websocket[0], websocket[1]],
            "expects TLS on this port",
        ),
        (&["bench", &http, "-c", "1"], "expects TLS on this port"),
    ] {
        let output = run(args);
        assert_ne!(output.status.code(), Some(0), "{args:?}");
        assert!(
            stderr(&output).contains(told),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    for body in [
        &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<center>The plain HTTP request was sent to HTTPS port</center>"[..],
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
    ] {
        let url = answer_once(body);
        let output = run(&["emit", &url, "echo"]);
        let told = "expects TLS on this port, so the URL begins with https://";
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
}
