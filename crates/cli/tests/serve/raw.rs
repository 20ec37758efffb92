//! `kokanee serve --tcp` and its kin.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
};

use serde_json::json;

use crate::support::{Client, LIMIT, Server, kokanee};

/// Joins a namespace with raw peers.
fn watch(server: &Server, namespace: &'static str) -> Client {
    let mut client = Client::handshake(server, namespace);
    client.connect("");
    assert_eq!(client.event("peers"), json!([[]]));
    client
}

#[test]
fn raw_peers_appear_in_their_namespaces() {
    let server = Server::start(&["--tcp", "0", "--udp", "127.0.0.1:0", "--framing", "lines"]);
    let bridge = server.record_of("bridge");
    assert_eq!(bridge["namespace"], "/tcp");
    let mut client = watch(&server, "/tcp");
    let mut raw =
        TcpStream::connect(bridge["address"].as_str().expect("an address")).expect("it listens");
    raw.set_read_timeout(Some(LIMIT)).expect("an option");
    let open = client.event("open");
    let address = raw.local_addr().expect("an address").to_string();
    assert_eq!(
        open,
        json!([{ "id": "1", "address": address, "transport": "tcp", "direction": "in" }])
    );
    raw.write_all("t=21.5 °C\n".as_bytes()).expect("it reads");
    assert_eq!(client.event("data"), json!(["1", "t=21.5 °C"]));
    client.post("42/tcp,[\"data\",\"1\",\"set 22\"]");
    let mut answer = [0; 7];
    raw.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"set 22\n");
    client.post("42/tcp,[\"close\",\"1\"]");
    assert_eq!(raw.read(&mut answer).expect("the end"), 0);
    assert_eq!(client.event("close"), json!(["1", "closed by a client"]));
}

#[test]
fn raw_senders_of_datagrams_appear_in_theirs() {
    let server = Server::start(&["--udp", "0", "--framing", "lines"]);
    let bridge = server.record_of("bridge");
    assert_eq!(bridge["namespace"], "/udp");
    let mut client = watch(&server, "/udp");
    let raw = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = bridge["address"].as_str().expect("an address");
    raw.send_to(b"one\ntwo", address).expect("sent");
    assert_eq!(client.event("open")[0]["transport"], "udp");
    assert_eq!(client.event("data"), json!(["1", "one"]));
    assert_eq!(client.event("data"), json!(["1", "two"]));
}

#[test]
fn the_welcome_names_the_namespaces_with_raw_peers() {
    let server = Server::start(&["--allow-target", "localhost:1,10.0.0.0/8:502"]);
    let mut client = Client::handshake(&server, "/");
    client.connect("");
    assert_eq!(client.event("welcome")[0]["bridges"], json!(["/tcp"]));
}

#[cfg(unix)]
#[test]
fn a_server_that_stops_ends_its_raw_peers() {
    let path = format!("{}/raw.sock", env!("CARGO_TARGET_TMPDIR"));
    let mut server = Server::start(&["--unix", &path]);
    assert_eq!(server.record_of("bridge")["address"], path);
    let mut raw = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    raw.write_all(b"x").expect("it reads");
    server.signal("TERM");
    assert_eq!(raw.read(&mut [0; 1]).expect("the end"), 0);
    assert_eq!(server.wait().code(), Some(0));
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = kokanee(&["serve", "--port", "0", "--tcp", &address])
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(98));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.starts_with(&format!("error: address in use: {address};")),
        "{said}"
    );
}
