//! `kokanee udp`.

use std::{net::UdpSocket, process::Stdio};

use crate::{LIMIT, Listening, kokanee, run, stderr, stdout};

#[test]
fn an_echo_server_and_its_client() {
    let mut server = Listening::start(&["udp", "echo"]);
    let output = run(&[
        "udp",
        "send",
        "localhost",
        &server.port,
        "hello world",
        "again",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(
        said.starts_with("received hello world\nreceived again\nreceived 16 bytes in 2 messages"),
        "{said}"
    );
    assert!(
        server
            .line()
            .starts_with("received hello world from 127.0.0.1:")
    );
    assert!(server.line().starts_with("received again from 127.0.0.1:"));
    server.interrupt();
    assert!(server.line().starts_with("received 16 bytes in 2 messages"));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_listener_ends_after_so_many_datagrams_or_at_silence() {
    let mut listener = Listening::start(&[
        "udp",
        "listen",
        "--count",
        "2",
        "--hex",
        "--max-datagram-bytes",
        "3",
    ]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = format!("127.0.0.1:{}", listener.port);
    for datagram in [&b"one"[..], b"too large", b"two"] {
        socket.send_to(datagram, &address).expect("sent");
    }
    assert!(
        listener
            .line()
            .starts_with("received 3 bytes from 127.0.0.1:")
    );
    assert!(
        listener
            .line()
            .trim_start()
            .starts_with("00000000  6f 6e 65 ")
    );
    assert!(listener.line().ends_with(" exceeds the limit of 3 bytes"));
    assert!(
        listener
            .line()
            .starts_with("received 3 bytes from 127.0.0.1:")
    );
    assert!(listener.line().ends_with("|two|"));
    assert_eq!(listener.wait().code(), Some(0));
    let output = run(&["udp", "listen", "--port", "0", "--timeout", "50ms"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn each_line_is_a_datagram() {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
    server.set_read_timeout(Some(LIMIT)).expect("an option");
    let port = server.local_addr().expect("an address").port().to_string();
    let mut client = kokanee(&[
        "udp",
        "connect",
        "localhost",
        &port,
        "--timeout",
        "300ms",
        "--quiet",
    ]);
    let mut client = client
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut input = client.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, b"one\ntwo\n").expect("it reads");
    drop(input);
    for expected in [&b"one"[..], b"two"] {
        let mut datagram = [0; 10];
        let (length, peer) = server.recv_from(&mut datagram).expect("a datagram");
        assert_eq!(&datagram[..length], expected);
        server.send_to(b"yes", peer).expect("sent");
    }
    let output = client.wait_with_output().expect("it ends");
    assert_eq!(stdout(&output), "received yes\nreceived yes\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn nobody_there_and_no_answer_have_their_codes() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("an address").port().to_string();
    let output = run(&["udp", "send", "127.0.0.1", &port, "x", "--timeout", "50ms"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let output = run(&["udp", "echo", "--port", &port]);
    assert_eq!(output.status.code(), Some(98), "{}", stderr(&output));
    drop(socket);
    let output = run(&["udp", "send", "127.0.0.1", &port, "x"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    let output = run(&["udp", "connect", "127.0.0.1", &port]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "nothing was sent: {}",
        stderr(&output)
    );
    let output = run(&["udp", "send", "127.0.0.1", &port, "x", "--no-answer"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn answers_are_printed_after_the_input_has_ended() {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
    server.set_read_timeout(Some(LIMIT)).expect("an option");
    let address = server.local_addr().expect("an address").to_string();
    for args in [&["--quiet"][..], &["--quiet", "--wait", "300ms"]] {
        let mut client = kokanee(&[&["udp", "connect", &address], args].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut input = client.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut input, b"question\n").expect("it reads");
        drop(input);
        let mut datagram = [0; 10];
        let (_, peer) = server.recv_from(&mut datagram).expect("a datagram");
        for answer in [b"one", b"two"] {
            server.send_to(answer, peer).expect("sent");
        }
        let output = client.wait_with_output().expect("it ends");
        assert_eq!(stdout(&output), "received one\nreceived two\n");
        assert_eq!(output.status.code(), Some(0));
    }
}
