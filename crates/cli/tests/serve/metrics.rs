//! `kokanee serve --metrics`: what Prometheus fetches.

use std::net::TcpListener;

use crate::support::{Client, Response, Server, kokanee, request};

fn start(options: &[&str]) -> (Server, u16) {
    let server = Server::start(&[&["--metrics=0"], options].concat());
    let record = server.record_of("metrics");
    let url = record["url"].as_str().expect("a URL");
    let address = url.strip_prefix("http://127.0.0.1:").expect("this machine");
    let port = address.strip_suffix("/metrics").expect("its path");
    (server, port.parse().expect("a port"))
}

fn metrics(port: u16) -> Response {
    request(port, "GET /metrics", &[], "")
}

#[test]
fn what_the_server_counts_is_fetched() {
    let (server, port) = start(&[]);
    let mut client = Client::handshake(&server, "/");
    client.connect("");
    client.post("42[\"echo\",\"abc\"]");
    let _ = client.event("echo");
    let answer = metrics(port);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    let text = answer.text();
    for line in [
        "# TYPE kokanee_connections gauge",
        "# HELP kokanee_connections Open connections, by the transport that they use now.",
        "kokanee_connections{transport=\"polling\"} 1",
        "kokanee_connections_opened_total{transport=\"polling\"} 1",
        "kokanee_sockets{namespace=\"/\"} 1",
        "kokanee_received_packets_total{transport=\"polling\"} 2",
        "kokanee_handler_seconds_bucket{le=\"+Inf\"} 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in {text}");
    }
}

#[test]
fn other_requests_get_an_answer_that_says_where_the_metrics_are() {
    let (server, port) = start(&[]);
    let answer = request(port, "GET /", &[], "");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.text(), "The metrics are at /metrics.\n");
    let answer = request(port, "POST /metrics", &[], "");
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("GET, HEAD"))
    );
    let answer = request(port, "HEAD /metrics", &[], "");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    // They are on their own address alone.
    assert_eq!(server.get("/metrics").status, 404);
}

#[test]
fn an_address_that_cannot_be_had_is_an_error() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = other.local_addr().expect("an address").port().to_string();
    for (address, code, error) in [
        (port.as_str(), 98, "cannot serve metrics on"),
        ("nonsense", 1, "cannot serve metrics on nonsense"),
    ] {
        let option = format!("--metrics={address}");
        let output = kokanee(&["serve", "--port", "0", &option])
            .output()
            .expect("it starts");
        assert_eq!(output.status.code(), Some(code));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(error), "{stderr}");
    }
}
