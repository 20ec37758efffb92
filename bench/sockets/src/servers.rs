//! The servers that are compared, and how they are started.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use kokanee_net::{Connection, NetError, TcpServer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A server that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A task for each connection, a buffer of 4 KiB in it, and nothing else
    Tokio,
    /// kokanee-net, with its defaults
    Kokanee,
    /// Python's asyncio streams
    Asyncio,
}

impl Kind {
    /// The first is what the others are compared with.
    pub(crate) const ALL: [Self; 3] = [Self::Tokio, Self::Kokanee, Self::Asyncio];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tokio => "plain tokio loop",
            Self::Kokanee => "kokanee-net",
            Self::Asyncio => "Python asyncio",
        }
    }

    fn argument(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Kokanee => "kokanee",
            Self::Asyncio => "asyncio",
        }
    }
}

/// Serves until the process is ended. Prints a line that ends with the port.
pub(crate) async fn serve(kind: Kind) -> Result<()> {
    kokanee_bench::process::raise_descriptor_limit(20_000);
    let mut out = std::io::stdout();
    match kind {
        Kind::Kokanee => {
            let builder =
                TcpServer::builder().with_limits(|limits| limits.max_connections = 20_000);
            let server = builder.bind("127.0.0.1:0").await?;
            writeln!(out, "listening on {}", server.local_addr().port())?;
            server.serve(echo).await;
        }
        Kind::Tokio => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            writeln!(out, "listening on {}", listener.local_addr()?.port())?;
            loop {
                let (mut stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(async move {
                    let mut buffer = vec![0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
        Kind::Asyncio => {
            let mut python = Command::new("python3").arg(script()).spawn()?;
            python.wait()?;
        }
    }
    Ok(())
}

async fn echo(mut conn: Connection) -> Result<(), NetError> {
    while let Some(data) = conn.recv().await? {
        conn.send_all(&data).await?;
    }
    Ok(())
}

fn script() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/asyncio_echo.py")
}

/// A running server, ended when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it on the first CPU. The load runs on another: `taskset -c 1`.
    pub(crate) fn start(kind: Kind) -> Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]);
        if kind == Kind::Asyncio {
            command.args(["python3", script()]);
        } else {
            command
                .arg(std::env::current_exe()?)
                .args(["serve", kind.argument()]);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .context("taskset, or the server")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
        let port = line.trim().rsplit(' ').next().unwrap_or_default();
        let port = port
            .parse()
            .with_context(|| format!("{} says {line:?}", kind.name()))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Self {
            child,
            kind,
            address,
        })
    }

    /// taskset has become the server itself.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
