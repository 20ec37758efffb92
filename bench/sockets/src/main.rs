//! `kokanee-bench-sockets`: CPU time of a TCP echo and memory of an idle connection, for kokanee-net, a plain loop on tokio
//! and Python's asyncio. All servers have one thread on one CPU; the load has another.

mod servers;

use std::{
    io::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use kokanee_bench::process::{Usage, raise_descriptor_limit, resident};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use servers::{Kind, Server};

const MESSAGE: [u8; 64] = [b'x'; 64];
/// The end of every wait. Reached only when something is broken.
const LIMIT: Duration = Duration::from_secs(60);
/// Connections that are opened at a time, within every server's backlog.
const BATCH: usize = 100;

/// TCP echo of kokanee-net, compared
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one of the servers that are compared
    Serve {
        /// Which
        kind: Kind,
    },
    /// Compares them, interleaved in rounds
    Compare {
        /// Connections that echo, one message in flight on each
        #[arg(long, default_value_t = 100)]
        connections: usize,
        /// Idle connections whose memory is measured
        #[arg(long, default_value_t = 10_000)]
        idle: usize,
        /// Rounds
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Seconds of load for each server in each round
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Serve { kind } => servers::serve(kind).await,
        Command::Compare {
            connections,
            idle,
            rounds,
            seconds,
        } => compare(connections, idle, rounds, Duration::from_secs_f64(seconds)).await,
    }
}

async fn compare(connections: usize, idle: usize, rounds: usize, time: Duration) -> Result<()> {
    raise_descriptor_limit(idle as u64 + 100);
    let mut costs = vec![Vec::new(); Kind::ALL.len()];
    for round in 0..rounds {
        for place in 0..Kind::ALL.len() {
            // In reverse every other round, so that a disturbance hits neighbours alike.
            let index = if round % 2 == 0 {
                place
            } else {
                Kind::ALL.len() - 1 - place
            };
            let server = Server::start(Kind::ALL[index])?;
            costs[index].push(echo(&server, connections, time).await?);
        }
    }
    let mut memory = Vec::new();
    for kind in Kind::ALL {
        memory.push(idle_bytes(&Server::start(kind)?, idle).await?);
    }

    say("| | CPU µs per echo | ratio to tokio | bytes per idle connection | ratio to tokio |")?;
    say("|---|---|---|---|---|")?;
    for (index, kind) in Kind::ALL.iter().enumerate() {
        let ratios: Vec<f64> = costs[index]
            .iter()
            .zip(&costs[0])
            .map(|(it, tokio)| it / tokio)
            .collect();
        let (cost, _, _) = spread(&costs[index]);
        let (ratio, least, most) = spread(&ratios);
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let memory_ratio = memory[index] as f64 / memory[0].max(1) as f64;
        say(&format!(
            "| {} | {cost:.2} | {ratio:.2} [{least:.2}–{most:.2}] | {} | {memory_ratio:.2} |",
            kind.name(),
            memory[index],
        ))?;
    }
    Ok(())
}

/// CPU time of the server for one echo, in µs.
async fn echo(server: &Server, connections: usize, time: Duration) -> Result<f64> {
    let streams = open(server.address, connections).await?;
    let warm = exchange(streams, time / 4).await?;
    let before = Usage::of(server.pid())?;
    let (streams, echoes) = exchange(warm.0, time).await?;
    let used = Usage::of(server.pid())?.since(before).cpu;
    drop(streams);
    ensure!(echoes > 0, "{} has answered nothing", server.kind.name());
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(used.as_secs_f64() * 1e6 / echoes as f64)
}

async fn open(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let mut opening = JoinSet::new();
        for _ in 0..BATCH.min(count - streams.len()) {
            opening.spawn(async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok::<_, std::io::Error>(stream)
            });
        }
        for stream in timeout(LIMIT, opening.join_all()).await? {
            streams.push(stream.context("a connection")?);
        }
    }
    Ok(streams)
}

/// Sends a message on every connection whenever the one before has come back, for a time.
async fn exchange(streams: Vec<TcpStream>, time: Duration) -> Result<(Vec<TcpStream>, u64)> {
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for mut stream in streams {
        tasks.spawn(async move {
            let (mut answer, mut echoes) = (MESSAGE, 0);
            while Instant::now() < end {
                stream.write_all(&MESSAGE).await?;
                stream.read_exact(&mut answer).await?;
                echoes += 1;
            }
            Ok::<_, std::io::Error>((stream, echoes))
        });
    }
    let mut streams = Vec::new();
    let mut sum = 0;
    for ended in timeout(time + LIMIT, tasks.join_all()).await? {
        let (stream, echoes) = ended.context("an echo")?;
        streams.push(stream);
        sum += echoes;
    }
    Ok((streams, sum))
}

/// Growth of the server's resident memory for one idle connection, over which one message has gone, in bytes.
async fn idle_bytes(server: &Server, count: usize) -> Result<u64> {
    let warm = exchange(
        open(server.address, BATCH).await?,
        Duration::from_millis(50),
    )
    .await?;
    let before = resident(server.pid())?;
    let streams = open(server.address, count).await?;
    let streams = exchange(streams, Duration::from_millis(1)).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = resident(server.pid())?;
    drop((warm, streams));
    Ok(after.saturating_sub(before) / count as u64)
}

/// Median, smallest and largest.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (
        at(sorted.len() / 2),
        at(0),
        at(sorted.len().saturating_sub(1)),
    )
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
