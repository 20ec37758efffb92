//! `kokanee tcp`.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    thread,
    time::Duration,
};

use crate::{LIMIT, Listening, kokanee, run, stderr, stdout};

#[test]
fn the_two_programs_of_the_origin() {
    let mut server = Listening::start(&["tcp", "echo"]);
    let output = run(&["tcp", "send", "localhost", &server.port, "hello world"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(
        said.starts_with(&format!(
            "connected to 127.0.0.1:{}\nreceived hello world\n",
            server.port
        )),
        "{said}"
    );
    let connected = server.line();
    let peer = connected.strip_prefix("connected by ").expect(&connected);
    assert_eq!(server.line(), format!("received hello world from {peer}"));
    let closed = server.line();
    assert!(
        closed.starts_with(&format!("closed {peer} after ")),
        "{closed}"
    );

    server.interrupt();
    let summary = server.line();
    assert!(
        summary.starts_with("1 connection; received 11 bytes in 1 message ("),
        "{summary}"
    );
    assert!(
        summary.contains("B/s), sent 11 bytes in 1 message ("),
        "{summary}"
    );
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn hexadecimal_raw_and_quiet_views() {
    let server = Listening::start(&["tcp", "echo", "--quiet"]);
    let send =
        |view: &[&str]| run(&[&["tcp", "send", "localhost", &server.port, "a\nb"], view].concat());
    let output = send(&["--hex", "--quiet"]);
    assert_eq!(
        stdout(&output).split_whitespace().collect::<Vec<_>>(),
        [
            "received", "3", "bytes", "00000000", "61", "0a", "62", "|a.b|"
        ]
    );
    let output = send(&["--raw"]);
    assert_eq!(stdout(&output), "a\nb");
    assert!(
        stderr(&output).contains("received 3 bytes in 1 message"),
        "{}",
        stderr(&output)
    );
    let output = send(&["--quiet"]);
    assert_eq!(
        (stdout(&output), stderr(&output)),
        ("received a\\nb\n".to_owned(), String::new())
    );
}

#[test]
fn bytes_of_a_file_go_through_unchanged() {
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let file = format!("{}/three-megabytes", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, &bytes).expect("a file");
    let server = Listening::start(&["tcp", "echo", "--quiet"]);
    let output = run(&[
        "tcp",
        "send",
        "localhost",
        &server.port,
        &format!("@{file}"),
        "--raw",
        "--quiet",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        output.stdout == bytes,
        "{} bytes came back",
        output.stdout.len()
    );
}

#[test]
fn lines_and_other_framings_keep_messages_apart() {
    for framing in ["lines", "length-prefixed:2", "delimiter:\\0"] {
        let mut server = Listening::start(&["tcp", "echo", "--framing", framing]);
        let output = run(&[
            "tcp",
            "send",
            "localhost",
            &server.port,
            "one",
            "two",
            "--framing",
            framing,
            "--quiet",
        ]);
        assert_eq!(
            stdout(&output),
            "received one\nreceived two\n",
            "{}",
            stderr(&output)
        );
        server.line();
        assert!(server.line().starts_with("received one from "));
        assert!(server.line().starts_with("received two from "));
    }
    let output = run(&["tcp", "send", "localhost", "1", "a\nb", "--lines"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
}

#[test]
fn a_conversation_goes_both_ways_until_both_have_ended() {
    let mut server = Listening::start(&["tcp", "listen"]);
    let mut client = TcpStream::connect(("127.0.0.1", server.port.parse::<u16>().expect("a port")))
        .expect("it listens");
    client.set_read_timeout(Some(LIMIT)).expect("an option");
    client.write_all(b"hello").expect("it reads");
    assert!(server.line().starts_with("connected by 127.0.0.1:"));
    assert_eq!(server.line(), "received hello");
    server.say("and hello to you\n");
    let mut answer = [0; 17];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"and hello to you\n");
    // It ends its side, and still hears ours.
    server.hush();
    assert_eq!(client.read(&mut answer).expect("the end"), 0);
    client.write_all(b"bye").expect("it reads");
    assert_eq!(server.line(), "received bye");
    drop(client);
    assert!(
        server
            .line()
            .starts_with("1 connection; received 8 bytes in 2 messages")
    );
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_listener_that_stays_open_prints_what_everybody_says() {
    let mut server = Listening::start(&["tcp", "listen", "--keep-open", "--lines"]);
    let mut peers: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(format!("127.0.0.1:{}", server.port)).expect("it listens"))
        .collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.write_all(format!("I am {number}\r\n").as_bytes())
            .expect("it reads");
    }
    let mut lines: Vec<_> = (0..6).map(|_| server.line()).collect();
    lines.sort();
    for (number, line) in lines[3..].iter().enumerate() {
        assert!(
            line.starts_with(&format!("received I am {number} from 127.0.0.1:")),
            "{line}"
        );
    }
}

#[test]
fn an_idle_connection_ends_with_its_own_code() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("an address").port().to_string();
    let output = run(&["tcp", "connect", "localhost", &port, "--timeout", "100ms"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("nothing was exchanged with"),
        "{}",
        stderr(&output)
    );
    let output = run(&["tcp", "send", "localhost", &port, "x", "--timeout", "100ms"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("nothing received within 100ms"),
        "{}",
        stderr(&output)
    );
    // One answer is enough if it was asked for.
    let peer = thread::spawn(move || {
        let mut accepted = Vec::new();
        for _ in 0..3 {
            let (mut stream, _) = server.accept().expect("a client");
            // The first two are those above, which have gone.
            let _ = stream.write_all(b"welcome");
            accepted.push(stream);
        }
        accepted
    });
    let output = run(&[
        "tcp",
        "send",
        "localhost",
        &port,
        "x",
        "--answers",
        "1",
        "--quiet",
    ]);
    assert_eq!(stdout(&output), "received welcome\n", "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
    peer.join().expect("three clients");
}

#[test]
fn each_kind_of_failure_has_its_code() {
    let server = Listening::start(&["tcp", "echo"]);
    let output = run(&["tcp", "echo", "--port", &server.port]);
    assert_eq!(output.status.code(), Some(98));
    assert_eq!(
        stderr(&output),
        format!(
            "error: address in use: 127.0.0.1:{}; choose another one, or stop the program that listens there\n",
            server.port
        )
    );
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let output = run(&["tcp", "send", "127.0.0.1", &port, "x"]);
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(
        stderr(&output),
        format!("error: connection refused: 127.0.0.1:{port}; nobody listens there\n")
    );
    let output = run(&["tcp", "send", "no-such-host.invalid", "1", "x"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    for wrong in [
        &["tcp", "send", "localhost", "1"][..],
        &["tcp", "send", "localhost", "http", "x"],
        &["tcp", "send", "localhost", "1", "@/no/such/file"],
        &["tcp", "echo", "--framing", "frames"],
        &["tcp", "echo", "--exec", "sh"],
        &["tcp"],
    ] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn tls_goes_both_ways() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let path = |kind: &str| format!("{}/tcp-{kind}.pem", env!("CARGO_TARGET_TMPDIR"));
    fs::write(path("cert"), made.cert.pem()).expect("a file");
    fs::write(path("key"), made.signing_key.serialize_pem()).expect("a file");
    let server = Listening::start(&[
        "tcp",
        "echo",
        "--tls-cert",
        &path("cert"),
        "--tls-key",
        &path("key"),
    ]);
    let send = |options: &[&str]| {
        run(&[
            &[
                "tcp",
                "send",
                "localhost",
                &server.port,
                "secret",
                "--quiet",
            ],
            options,
        ]
        .concat())
    };
    let output = send(&["--tls", "--ca", &path("cert")]);
    assert_eq!(stdout(&output), "received secret\n", "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
    let output = send(&["--tls", "--insecure"]);
    assert_eq!(stdout(&output), "received secret\n", "{}", stderr(&output));
    let output = send(&["--tls"]);
    assert_eq!(output.status.code(), Some(6));
    assert!(
        stderr(&output).starts_with("error: TLS: localhost: "),
        "{}",
        stderr(&output)
    );
}

/// A connection of `tcp connect` with these options, whose input is `hi` and ends.
fn connected(options: &[&str]) -> (std::process::Child, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let mut client = kokanee(&[&["tcp", "connect", &address, "--quiet"], options].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut input = client.stdin.take().expect("a pipe");
    input.write_all(b"hi").expect("it reads");
    drop(input);
    let (mut peer, _) = listener.accept().expect("a client");
    peer.set_read_timeout(Some(LIMIT)).expect("an option");
    peer.read_exact(&mut [0; 2]).expect("hi");
    (client, peer)
}

#[test]
fn the_end_of_the_input_ends_our_side_and_the_answer_is_waited_for() {
    // A peer that never ends.
    let (client, mut peer) = connected(&["--wait", "500ms"]);
    assert_eq!(peer.read(&mut [0; 1]).expect("the end of its side"), 0);
    peer.write_all(b"answer").expect("it reads");
    let output = client.wait_with_output().expect("it ends");
    assert_eq!(
        (stdout(&output).as_str(), output.status.code()),
        ("received answer\n", Some(0))
    );

    // A peer that would take the end of its side for the end.
    let (client, mut peer) = connected(&["--no-finish"]);
    peer.set_read_timeout(Some(Duration::from_millis(300)))
        .expect("an option");
    assert!(peer.read(&mut [0; 1]).is_err(), "it has ended its side");
    peer.write_all(b"answer").expect("it reads");
    drop(peer);
    let output = client.wait_with_output().expect("it ends");
    assert_eq!(
        (stdout(&output).as_str(), output.status.code()),
        ("received answer\n", Some(0))
    );
}

#[test]
fn host_and_port_are_one_argument_or_two() {
    let server = Listening::start(&["tcp", "echo", "--quiet"]);
    let joined = format!("localhost:{}", server.port);
    for target in [&[&*joined][..], &["localhost", &server.port]] {
        let output = run(&[&["tcp", "send", "-q"], target, &["-5"]].concat());
        assert_eq!(stdout(&output), "received -5\n", "{}", stderr(&output));
        let output = run(&[&["tcp", "connect", "-q"], target].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    for wrong in [&["send", "localhost", "hi"][..], &["connect", "localhost"]] {
        let output = run(&[&["tcp"], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    }
}
