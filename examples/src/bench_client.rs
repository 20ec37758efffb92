//! Clients for measurements: `idle` keeps them open and prints the memory that each takes, `echo` lets each send one event
//! after the other and prints the CPU time of an echo, for the client and for the server.
//!
//! ```text
//! kokanee-bench-client idle URL CLIENTS
//! kokanee-bench-client echo URL CLIENTS ECHOES [SERVER-PID]
//! ```
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::{fs, time::Duration};

use kokanee::{Client, Transport, client::Socket};
use tokio::task::JoinSet;

/// Handshakes under way at the same time.
const AT_ONCE: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> kokanee::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["idle", url, clients] => idle(url, clients.parse()?).await,
        ["echo", url, clients, echoes] => echo(url, clients.parse()?, echoes.parse()?, None).await,
        ["echo", url, clients, echoes, pid] => {
            echo(url, clients.parse()?, echoes.parse()?, Some(pid)).await
        }
        _ => Err("usage: idle URL CLIENTS | echo URL CLIENTS ECHOES [SERVER-PID]".into()),
    }
}

async fn connect(url: &str, clients: usize) -> kokanee::Result<Vec<Socket>> {
    let mut sockets = Vec::with_capacity(clients);
    let mut connecting = JoinSet::new();
    for _ in 0..clients {
        if connecting.len() == AT_ONCE
            && let Some(connected) = connecting.join_next().await
        {
            sockets.push(connected??);
        }
        let client = Client::builder(url).transports([Transport::WebSocket]);
        connecting.spawn(client.connect());
    }
    while let Some(connected) = connecting.join_next().await {
        sockets.push(connected??);
    }
    Ok(sockets)
}

async fn idle(url: &str, clients: usize) -> kokanee::Result<()> {
    // The first ones pay for what the process allocates once.
    let _warm = connect(url, 100).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = resident_bytes()?;
    let sockets = connect(url, clients).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let each = resident_bytes()?.saturating_sub(before) / clients as u64;
    println!("{} clients, {each} bytes of memory each", sockets.len());
    Ok(())
}

async fn echo(url: &str, clients: u32, echoes: u32, server: Option<&str>) -> kokanee::Result<()> {
    let sockets = connect(url, clients as usize).await?;
    let mut loops = JoinSet::new();
    for socket in sockets {
        loops.spawn(async move {
            let mut events = socket.events();
            let text = "x".repeat(50);
            for _ in 0..echoes {
                socket.emit("echo", &text).await?;
                if events.next().await.is_none() {
                    break;
                }
            }
            Ok::<_, kokanee::EmitError>(socket)
        });
    }
    let (own, other) = (cpu_time("self")?, server.map(cpu_time).transpose()?);
    let mut sockets = Vec::new();
    while let Some(ended) = loops.join_next().await {
        sockets.push(ended??);
    }
    let count = f64::from(clients) * f64::from(echoes);
    let own = cpu_time("self")?.saturating_sub(own).as_secs_f64() * 1e6 / count;
    println!("client: {own:.2} µs of CPU time an echo");
    if let (Some(pid), Some(before)) = (server, other) {
        let server = cpu_time(pid)?.saturating_sub(before).as_secs_f64() * 1e6 / count;
        println!("server: {server:.2} µs; ratio {:.2}", own / server);
    }
    Ok(())
}

/// The memory of this process, as Linux counts it.
fn resident_bytes() -> kokanee::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no VmRSS")?.parse::<u64>()? * 1024)
}

/// The CPU time of a process in nanoseconds of its main thread, as Linux counts it.
fn cpu_time(pid: &str) -> kokanee::Result<Duration> {
    let times = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanoseconds = times.split_whitespace().next().ok_or("no schedstat")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}
