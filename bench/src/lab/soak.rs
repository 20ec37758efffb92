//! `kokanee-bench soak`: mixed traffic with churn against `kokanee serve`, from well-behaved and misbehaving clients. Afterwards
//! the server must have released everything it held for them.
//!
//! [`KINDS`] is the mix: each kind is the behaviour of a client, from connect to disconnect. [`LIVES`] clients of each kind run
//! concurrently, each followed by the next, until the time is over. A first, short round warms the server up; what it holds
//! after that is the baseline.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::Args;
use futures_util::future::{LocalBoxFuture, join_all};
use kokanee_bench::process::{raise_descriptor_limit, resident};
use kokanee_client::{Client, Transport};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::memory::{float, mebibytes, serve};
use super::servers::Running;
use super::traffic::{Http, WebSocket, within};
use crate::output::{note, say};

/// Concurrent clients of each kind.
const LIVES: usize = 4;
/// Length of the first round.
const WARM_UP: Duration = Duration::from_secs(15);
/// Time between two events of a client.
const PAUSE: Duration = Duration::from_millis(20);
/// Time between two clients.
const BETWEEN: Duration = Duration::from_millis(50);
/// Time between two rows of the table.
const REPORT: Duration = Duration::from_secs(10);
/// Heap growth that is allowed: tables that have grown never shrink.
const HEAP_ALLOWANCE: u64 = 512 * 1024;

/// Connects and disconnects clients of all kinds, and checks that the server holds no more than before at the end.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Seconds of traffic.
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    seconds: u64,
    /// The program whose `serve` command is run.
    #[arg(long, value_name = "PATH", default_value = "target/release/kokanee")]
    program: PathBuf,
    /// Seconds in which the server must release everything after the last client has left.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    settle: u64,
    /// Maximum resident memory at the end, as a ratio of the start.
    #[arg(long, value_name = "RATIO", default_value_t = 1.3)]
    gate: f64,
}

/// Where the server listens.
#[derive(Debug, Clone, Copy)]
struct Site {
    address: SocketAddr,
    /// For raw peers.
    raw: SocketAddr,
}

type Life = for<'a> fn(&'a Site) -> LocalBoxFuture<'a, anyhow::Result<()>>;

/// The kinds of clients, and their names.
const KINDS: [(&str, Life); 13] = [
    ("echoes over WebSocket", |site| Box::pin(echo(site))),
    ("echoes over polling", |site| Box::pin(polling(site))),
    ("upgrades", |site| Box::pin(upgrade(site))),
    ("binary", |site| Box::pin(binary(site))),
    ("rooms", |site| Box::pin(rooms(site))),
    ("broadcasts", |site| Box::pin(broadcast(site))),
    ("bridge", |site| Box::pin(bridge(site))),
    ("vanishing", |site| Box::pin(vanish(site))),
    ("slow readers", |site| Box::pin(read_slowly(site))),
    ("no pongs", |site| Box::pin(be_silent(site))),
    ("abandoned sessions", |site| Box::pin(abandon(site))),
    ("slow POSTs", |site| Box::pin(post_slowly(site))),
    ("unfinished requests", |site| Box::pin(begin_only(site))),
];

async fn echo(site: &Site) -> anyhow::Result<()> {
    let mut client = WebSocket::join(site.address, "/").await?;
    for number in 0..40 {
        let event = format!("42{number}[\"echo\",\"{number}\",[1,2,3]]");
        client.send(&event).await?;
        let answer = format!("43{number}[\"{number}\",[1,2,3]]");
        client.wait_for(&answer).await?;
        sleep(PAUSE).await;
    }
    client.send("41").await
}

async fn polling(site: &Site) -> anyhow::Result<()> {
    let mut http = Http::connect(site.address).await?;
    let sid = http.open().await?;
    http.post(&sid, "40").await?;
    for number in 0..20 {
        let event = format!("42{number}[\"echo\",\"{number}\"]");
        http.post(&sid, &event).await?;
        let answer = format!("43{number}[\"{number}\"]");
        loop {
            let body = http.get(&sid).await?;
            if body.split('\x1e').any(|packet| packet == "2") {
                http.post(&sid, "3").await?;
            }
            if body.contains(&answer) {
                break;
            }
        }
        sleep(PAUSE).await;
    }
    http.post(&sid, "1").await
}

async fn upgrade(site: &Site) -> anyhow::Result<()> {
    let url = format!("http://{}", site.address);
    let client = Client::builder(&url).reconnection(false).build()?;
    within("a connection", async { Ok(client.connect().await?) }).await?;
    for number in 0..20_u32 {
        let asked = client.emit_with_ack::<u32>("echo", number);
        let answer = within("an acknowledgement", async { Ok(asked.await?) }).await?;
        ensure!(answer == number, "{answer} instead of {number}");
        sleep(PAUSE).await;
    }
    Ok(client.disconnect().await?)
}

async fn binary(site: &Site) -> anyhow::Result<()> {
    let url = format!("http://{}", site.address);
    let builder = Client::builder(&url).reconnection(false);
    let client = builder.transports([Transport::WebSocket]).build()?;
    within("a connection", async { Ok(client.connect().await?) }).await?;
    for size in [0, 1, 1_000, 100_000, 900_000] {
        let data = Bytes::from(vec![7; size]);
        let asked = client.emit_with_ack::<Bytes>("echo", data.clone());
        let answer = within("an acknowledgement", async { Ok(asked.await?) }).await?;
        ensure!(answer == data, "other bytes");
        sleep(PAUSE).await;
    }
    Ok(client.disconnect().await?)
}

async fn rooms(site: &Site) -> anyhow::Result<()> {
    let mut one = WebSocket::join(site.address, "/").await?;
    let mut two = WebSocket::join(site.address, "/").await?;
    // A room of these two.
    let room = format!("room {:?}", one.stream.local_addr()?);
    for client in [&mut one, &mut two] {
        client.send(&format!("421[\"join\",{room:?}]")).await?;
        client.wait_for("431[[").await?;
    }
    for number in 0..20 {
        let text = format!("text {number} of {room}");
        let event = format!("42[\"room message\",{{\"room\":{room:?},\"text\":{text:?}}}]");
        one.send(&event).await?;
        two.wait_for(&text.replace('"', "\\\"")).await?;
        sleep(PAUSE).await;
    }
    // One leaves the room, the other only disconnects.
    one.send(&format!("422[\"leave\",{room:?}]")).await?;
    one.wait_for("432[[").await?;
    one.send("1").await
}

async fn broadcast(site: &Site) -> anyhow::Result<()> {
    let mut client = WebSocket::join(site.address, "/").await?;
    let text = "x".repeat(1_000);
    for number in 0..10 {
        let event = format!("42{number}[\"broadcast\",\"news\",\"{text}\"]");
        client.send(&event).await?;
        client.wait_for(&format!("43{number}[")).await?;
        sleep(10 * PAUSE).await;
    }
    client.send("41").await
}

async fn bridge(site: &Site) -> anyhow::Result<()> {
    let mut client = WebSocket::join(site.address, "/tcp").await?;
    let mut peer = TcpStream::connect(site.raw).await?;
    let name = peer.local_addr()?.to_string();
    client.wait_for(&format!("\"address\":\"{name}\"")).await?;
    for number in 0..10 {
        let line = format!("line {number} of {name}");
        peer.write_all(format!("{line}\n").as_bytes()).await?;
        client.wait_for(&line).await?;
        sleep(PAUSE).await;
    }
    // Closes the connection, and every other time resets it.
    if peer.local_addr()?.port() % 4 < 2 {
        reset(&peer)?;
    }
    Ok(())
}

/// Resets the connection.
async fn vanish(site: &Site) -> anyhow::Result<()> {
    let mut client = WebSocket::join(site.address, "/").await?;
    client.send("421[\"echo\",1]").await?;
    client.wait_for("431[1]").await?;
    reset(&client.stream)
}

fn reset(stream: &TcpStream) -> anyhow::Result<()> {
    Ok(SockRef::from(stream).set_linger(Some(Duration::ZERO))?)
}

/// Requests more than it reads.
async fn read_slowly(site: &Site) -> anyhow::Result<()> {
    let mut client = WebSocket::join(site.address, "/").await?;
    SockRef::from(&client.stream).set_recv_buffer_size(8_192)?;
    let text = "x".repeat(30_000);
    for _ in 0..100 {
        // The server stops reading, or disconnects this client.
        let event = format!("42[\"echo\",\"{text}\"]");
        if !matches!(timeout(PAUSE, client.send(&event)).await, Ok(Ok(()))) {
            break;
        }
    }
    let mut some = [0; 1_000];
    for _ in 0..100 {
        if !matches!(client.stream.read(&mut some).await, Ok(1..)) {
            break;
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Does not answer pings, and waits until it is disconnected.
async fn be_silent(site: &Site) -> anyhow::Result<()> {
    let mut client = WebSocket::join(site.address, "/").await?;
    until_cut(&mut client.stream).await
}

/// Reads until the server ends the connection.
async fn until_cut(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut buffer = vec![0; 4_096];
    within("an end by the server", async {
        // Every end is fine.
        while let Ok(1..) = stream.read(&mut buffer).await {}
        Ok(())
    })
    .await
}

/// Abandons sessions: one after its handshake, one in a namespace, one with a pending GET.
async fn abandon(site: &Site) -> anyhow::Result<()> {
    let mut http = Http::connect(site.address).await?;
    http.open().await?;
    let sid = http.open().await?;
    http.post(&sid, "40").await?;
    let sid = http.open().await?;
    http.post(&sid, "40").await?;
    http.get(&sid).await?;
    http.begin_get(&sid).await?;
    sleep(10 * PAUSE).await;
    Ok(())
}

/// Sends a part of a body, and disconnects.
async fn post_slowly(site: &Site) -> anyhow::Result<()> {
    let mut http = Http::connect(site.address).await?;
    let sid = http.open().await?;
    let head = http.post_head(&sid, 500_000);
    http.stream.write_all(head.as_bytes()).await?;
    let part = vec![b'x'; 40_000];
    for _ in 0..10 {
        http.stream.write_all(&part).await?;
        sleep(10 * PAUSE).await;
    }
    Ok(())
}

/// Sends a part of a request's head, of a WebSocket frame and of a message, and disconnects.
async fn begin_only(site: &Site) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(site.address).await?;
    stream
        .write_all(b"GET /socket.io/?EIO=4 HTTP/1.1\r\nHo")
        .await?;
    let mut client = WebSocket::join(site.address, "/").await?;
    // Half of a message in two fragments, and half of a frame.
    client.send_frame(0x01, b"42[\"echo\",").await?;
    client.stream.write_all(&[0x80, 0xfe, 0x10]).await?;
    sleep(50 * PAUSE).await;
    Ok(())
}

/// The results of the clients of a kind.
#[derive(Default)]
struct Tally {
    lived: Cell<u64>,
    failure: Cell<Option<anyhow::Error>>,
}

impl Soak {
    /// Runs the soak.
    ///
    /// # Errors
    /// A well-behaved client was not served, or the server holds more than at the start.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        raise_descriptor_limit(10_000);
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(self.soak())
    }

    async fn soak(&self) -> anyhow::Result<()> {
        let raw = free_port()?;
        let raw_port = raw.port().to_string();
        let options = "--json --ping-interval 2s --ping-timeout 2s --connect-timeout 5s --framing lines --report-heap 200ms --tcp";
        let options: Vec<_> = options.split(' ').chain([&*raw_port]).collect();
        let server = serve(&self.program, &options)?;
        let site = Site {
            address: server.address()?,
            raw,
        };
        say("| | descriptors | threads | live heap, KiB | resident, MiB |");
        say("|---|---|---|---|---|");
        traffic(&site, &server, WARM_UP).await?;
        let start = self.settled(&server, None).await?;
        traffic(&site, &server, Duration::from_secs(self.seconds)).await?;
        self.settled(&server, Some(start)).await?;
        server.stop()
    }

    /// Waits until the server holds no more than at the start, or no longer changes. Returns what it holds.
    async fn settled(&self, server: &Running, start: Option<Holding>) -> anyhow::Result<Holding> {
        let begun = Instant::now();
        let time = Duration::from_secs(self.settle);
        loop {
            sleep(Duration::from_secs(1)).await;
            let now = holding(server)?;
            let is_back = match &start {
                // The first measurement is after half of the time.
                None => begun.elapsed() >= time / 2,
                Some(start) => now.excess(start, self.gate).is_empty(),
            };
            if is_back {
                let name = match start {
                    None => "start".to_owned(),
                    Some(_) => format!("{} s after", begun.elapsed().as_secs()),
                };
                show(&name, &now);
                return Ok(now);
            }
            if let Some(start) = &start
                && begun.elapsed() >= time
            {
                show("end", &now);
                let excess = now.excess(start, self.gate).join(", ");
                bail!(
                    "still held {} s after the clients left: {excess}",
                    self.settle
                );
            }
        }
    }
}

/// Connects and disconnects clients for this time.
async fn traffic(site: &Site, server: &Running, time: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + time;
    let tallies: Vec<Tally> = KINDS.iter().map(|_| Tally::default()).collect();
    let lives = KINDS.iter().zip(&tallies).flat_map(|((_, life), tally)| {
        (0..LIVES).map(move |place| async move {
            // Staggers the start.
            sleep(BETWEEN * u32::try_from(place).unwrap_or(0)).await;
            while Instant::now() < end {
                match life(site).await {
                    Ok(()) => tally.lived.set(tally.lived.get() + 1),
                    Err(error) => {
                        tally.failure.set(Some(error));
                        return;
                    }
                }
                sleep(BETWEEN).await;
            }
        })
    });
    let reports = async {
        while Instant::now() < end {
            sleep(REPORT.min(end - Instant::now())).await;
            let name = format!("{} s left", (end - Instant::now()).as_secs());
            match holding(server) {
                Ok(now) => show(&name, &now),
                Err(error) => note(&format!("{error:#}")),
            }
        }
    };
    tokio::join!(join_all(lives), reports);
    for ((name, _), tally) in KINDS.iter().zip(&tallies) {
        note(&format!("{:7} × {name}", tally.lived.get()));
        if let Some(error) = tally.failure.take() {
            return Err(error.context(format!("a client failed: {name}")));
        }
        ensure!(tally.lived.get() > 0, "no client was served: {name}");
    }
    Ok(())
}

/// What a server holds.
#[derive(Debug, Clone, Copy)]
struct Holding {
    descriptors: usize,
    threads: usize,
    /// Bytes that the program has allocated and not freed.
    heap: u64,
    /// Bytes of resident memory.
    resident: u64,
}

impl Holding {
    /// Returns what exceeds the start; resident memory may be `gate` times as much.
    fn excess(&self, start: &Self, gate: f64) -> Vec<&'static str> {
        let checks = [
            ("descriptors", self.descriptors > start.descriptors),
            ("threads", self.threads > start.threads),
            ("live heap", self.heap > start.heap + HEAP_ALLOWANCE),
            (
                "resident memory",
                float(self.resident) > gate * float(start.resident),
            ),
        ];
        let exceeded = checks.into_iter().filter(|(_, is_more)| *is_more);
        exceeded.map(|(name, _)| name).collect()
    }
}

fn show(name: &str, holding: &Holding) {
    say(&format!(
        "| {name} | {} | {} | {} | {:.1} |",
        holding.descriptors,
        holding.threads,
        holding.heap / 1_024,
        mebibytes(holding.resident)
    ));
}

fn holding(server: &Running) -> anyhow::Result<Holding> {
    let line = server.last_line();
    let report: serde_json::Value = serde_json::from_str(&line).context("no report of the heap")?;
    let heap = report["bytes"].as_u64().context("no live heap")?;
    let process = Path::new("/proc").join(server.pid().to_string());
    Ok(Holding {
        descriptors: process.join("fd").read_dir()?.count(),
        threads: process.join("task").read_dir()?.count(),
        heap,
        resident: resident(server.pid())?,
    })
}

/// Finds a free port for raw peers.
fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_more_than_at_the_start_is_named() {
        let start = Holding {
            descriptors: 17,
            threads: 9,
            heap: 2_000_000,
            resident: 10_000_000,
        };
        assert_eq!(start.excess(&start, 1.0), [""; 0]);
        let less = Holding {
            descriptors: 16,
            heap: 1_000_000,
            ..start
        };
        assert_eq!(less.excess(&start, 1.0), [""; 0]);
        let more = Holding {
            descriptors: 18,
            threads: 10,
            heap: start.heap + HEAP_ALLOWANCE + 1,
            resident: 13_000_001,
        };
        let names = ["descriptors", "threads", "live heap", "resident memory"];
        assert_eq!(more.excess(&start, 1.3), names);
        let nearly = Holding {
            heap: start.heap + HEAP_ALLOWANCE,
            resident: 13_000_000,
            ..start
        };
        assert_eq!(nearly.excess(&start, 1.3), [""; 0]);
    }
}
