//! Requests a page of a server over connections that stay open, for hosts that serve an application beside Socket.IO.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kokanee_bench::process::{Usage, thread_time};
use kokanee_bench::{Generator, Latency, Report, Scenario, ServerUse};

use super::servers::Running;

/// Connections, each with one request in flight.
const CONNECTIONS: usize = 16;

/// A server that does not answer for so long has failed.
const LIMIT: Duration = Duration::from_secs(10);

/// One connection.
struct Visitor {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Requests the page of a server for a time, after a while that is not measured.
///
/// # Errors
/// A request fails.
pub(super) fn request_page(
    server: &Running,
    time: Duration,
    warmup: Duration,
) -> anyhow::Result<Report> {
    let address = server.address()?;
    let mut visitors = (0..CONNECTIONS)
        .map(|_| Visitor::new(TcpStream::connect(address)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let request = format!("GET /page HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\n\r\n");
    request_for(&mut visitors, &request, warmup)?;
    let (used, own, start) = (Usage::of(server.pid())?, thread_time(), Instant::now());
    let pages = request_for(&mut visitors, &request, time)?;
    let elapsed = start.elapsed().as_secs_f64();
    let used = Usage::of(server.pid())?.since(used);
    let own = own
        .zip(thread_time())
        .map(|(start, end)| end.saturating_sub(start));
    // A run is far shorter than what makes the conversion inexact.
    let count = f64::from(u32::try_from(pages)?.max(1));
    Ok(Report {
        scenario: Scenario::Polling,
        generator: Generator::Raw,
        url: server.url.clone(),
        connections: CONNECTIONS,
        window: 1,
        payload_bytes: 0,
        messages: pages,
        elapsed_seconds: elapsed,
        rate: count / elapsed,
        latency: Latency::default(),
        out_of_order: 0,
        unexpected: 0,
        load_busy: own.map(|own| own.as_secs_f64() / elapsed),
        server: Some(ServerUse {
            cpu_seconds: used.cpu.as_secs_f64(),
            cpu_per_message: used.cpu.as_secs_f64() * 1e6 / count,
            user_share: used.user_share(),
        }),
        memory: None,
        failures: 0,
        failure_reasons: BTreeMap::new(),
        timeline: Vec::new(),
        distribution: Vec::new(),
        waves: Vec::new(),
    })
}

/// Repeats requests on all connections for a time, and returns how many were answered.
fn request_for(visitors: &mut [Visitor], request: &str, time: Duration) -> anyhow::Result<u64> {
    let start = Instant::now();
    let mut pages = 0;
    while start.elapsed() < time {
        for visitor in &mut *visitors {
            visitor.stream.write_all(request.as_bytes())?;
        }
        for visitor in &mut *visitors {
            visitor.answer()?;
            pages += 1;
        }
    }
    Ok(pages)
}

impl Visitor {
    fn new(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Reads an answer to its end.
    fn answer(&mut self) -> anyhow::Result<()> {
        self.buffer.clear();
        let mut length = None;
        while length.is_none_or(|length| self.buffer.len() < length) {
            let mut piece = [0; 4096];
            let read = self.stream.read(&mut piece)?;
            ensure!(
                read > 0,
                "the server has closed a connection that should stay open"
            );
            self.buffer.extend_from_slice(&piece[..read]);
            length = match length {
                None => length_of(&self.buffer)?,
                known => known,
            };
        }
        Ok(())
    }
}

/// Returns the length of an answer with its head, if all of the head is there.
fn length_of(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    ensure!(
        status.contains(" 200 "),
        "the page was answered with {status:?}"
    );
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>())
    });
    let length = length.context("the page has no length")??;
    Ok(Some(end + 4 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_after_the_length_of_its_head() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(length_of(answer).unwrap(), Some(answer.len()));
        assert_eq!(length_of(&answer[..30]).unwrap(), None);
        assert!(length_of(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").is_err());
    }
}
