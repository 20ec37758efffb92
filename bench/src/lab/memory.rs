//! `kokanee-bench memory`: checks that `kokanee serve` returns its memory after many clients have left.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use kokanee_bench::process::{raise_descriptor_limit, resident};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::servers::{Running, Server};
use super::traffic::{Http, WebSocket};
use crate::output::{note, say};

/// Concurrent clients.
const WORKERS: usize = 64;
/// Time after which the server closes a session that is not polled.
const PING: [&str; 4] = ["--ping-interval", "25s", "--ping-timeout", "20s"];
const SESSIONS_GONE: Duration = Duration::from_secs(47);

/// Connects and disconnects many clients, and compares the server's resident memory before and after.
#[derive(Debug, Args)]
pub(crate) struct Memory {
    /// What the clients do, separated by commas; everything if absent.
    #[arg(long, value_enum, value_delimiter = ',')]
    cases: Vec<Crowd>,
    /// The program whose `serve` command is run.
    #[arg(long, value_name = "PATH", default_value = "target/release/kokanee")]
    program: PathBuf,
    /// Seconds between the end of the clients and the measurement.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    settle: u64,
    /// Fails above this ratio of memory after to memory before.
    #[arg(long, value_name = "RATIO", default_value_t = 1.3)]
    gate: f64,
}

/// What the clients of a case do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Crowd {
    /// 100,000 polling sessions are opened and abandoned.
    Sessions,
    /// 5,000 `WebSocket`s join, read 2 MB each in 64 broadcasts slowly, and are cut.
    Websockets,
    /// 300 POSTs send 900,000 of 1,000,000 bytes, and stall until they are cut.
    Posts,
}

impl Crowd {
    fn name(self) -> &'static str {
        match self {
            Self::Sessions => "100,000 abandoned sessions",
            Self::Websockets => "5,000 WebSockets",
            Self::Posts => "300 slow POSTs",
        }
    }

    /// Connects the clients, calls `at_peak` when all are connected, and returns when all have left.
    async fn run(
        self,
        address: SocketAddr,
        share: usize,
        mut at_peak: impl FnMut(),
    ) -> anyhow::Result<()> {
        match self {
            Self::Sessions => {
                let count = 100_000 / share;
                let workers = (0..WORKERS).map(|_| async {
                    let mut http = Http::connect(address).await?;
                    for _ in 0..count / WORKERS {
                        http.open().await?;
                    }
                    anyhow::Ok(())
                });
                all(workers).await?;
                at_peak();
                // They time out by themselves.
                sleep(SESSIONS_GONE).await;
            }
            Self::Websockets => {
                let count = 5_000 / share;
                let mut clients = Vec::new();
                while clients.len() < count {
                    let batch = (0..WORKERS).map(|_| WebSocket::join(address, "/"));
                    clients.extend(all(batch).await?);
                }
                let text = "x".repeat(4_096);
                let (sender, others) = clients.split_first_mut().context("no clients")?;
                for round in 0..64 {
                    let event = format!("42[\"broadcast\",\"round {round}\",\"{text}\"]");
                    sender.send(&event).await?;
                    if round % 8 == 7 {
                        let last = format!("round {round}\"");
                        let reading = others.iter_mut().map(|client| client.wait_for(&last));
                        all(reading).await?;
                    }
                }
                at_peak();
            }
            Self::Posts => {
                let part = vec![b'x'; 900_000];
                let mut clients = Vec::new();
                for _ in 0..300 / share {
                    let mut http = Http::connect(address).await?;
                    let sid = http.open().await?;
                    let head = http.post_head(&sid, 1_000_000);
                    http.stream.write_all(head.as_bytes()).await?;
                    http.stream.write_all(&part).await?;
                    clients.push(http);
                }
                at_peak();
                drop(clients);
                sleep(SESSIONS_GONE).await;
            }
        }
        Ok(())
    }
}

/// Runs futures at the same time, until one fails.
async fn all<T>(
    futures: impl Iterator<Item = impl Future<Output = anyhow::Result<T>>>,
) -> anyhow::Result<Vec<T>> {
    futures_util::future::try_join_all(futures).await
}

impl Memory {
    /// Runs the cases, each with its own server, and prints a row for each.
    ///
    /// # Errors
    /// A case cannot be run, or the server kept memory.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        raise_descriptor_limit(20_000);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let cases = match &self.cases[..] {
            [] => Crowd::value_variants(),
            cases => cases,
        };
        say(&format!(
            "| MiB resident | start | peak | {} s after | ratio |",
            self.settle
        ));
        say("|---|---|---|---|---|");
        let mut worst: f64 = 0.0;
        for case in cases {
            note(case.name());
            let ratio = runtime.block_on(self.measure(*case))?;
            worst = worst.max(ratio);
        }
        ensure!(
            worst <= self.gate,
            "{worst:.2} times the memory of the start are still resident; {} are allowed",
            self.gate
        );
        Ok(())
    }

    async fn measure(&self, case: Crowd) -> anyhow::Result<f64> {
        let server = serve(&self.program, &PING)?;
        let address = server.address()?;
        // A few clients first, because code that has run stays resident.
        case.run(address, 50, || {}).await?;
        sleep(Duration::from_secs(5)).await;
        let start = resident(server.pid())?;
        let mut peak = Ok(0);
        case.run(address, 1, || peak = resident(server.pid()))
            .await?;
        sleep(Duration::from_secs(self.settle)).await;
        let after = resident(server.pid())?;
        let ratio = float(after) / float(start);
        say(&format!(
            "| {} | {:.1} | {:.1} | {:.1} | {ratio:.2} |",
            case.name(),
            mebibytes(start),
            mebibytes(peak?),
            mebibytes(after)
        ));
        server.stop()?;
        Ok(ratio)
    }
}

/// Starts `kokanee serve` on a free port, without a limit for one address.
pub(super) fn serve(program: &Path, options: &[&str]) -> anyhow::Result<Running> {
    let fixed = "serve --port 0 --quiet --no-serve-client --max-pending 200000 --max-pending-per-address 200000";
    let mut server = Server::named("kokanee", &program.display().to_string());
    server.add_arguments(fixed.split(' ').chain(options.iter().copied()));
    server.start(&[])
}

pub(super) fn mebibytes(bytes: u64) -> f64 {
    float(bytes) / 1_048_576.0
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}
