//! The server that the benchmarks load: `echo` answers the sender, `ask` does so by acknowledgement, `blast` reaches everybody. One core. With
//! `--recovery`, clients may come back; with the feature `metrics`, a recorder has the metrics.
#![expect(clippy::print_stdout, reason = "the benchmark reads the address")]

use std::time::Duration;

use kokanee::{Ack, Args, EventName, Namespace, Recovery, Server, Socket};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> kokanee::Result<()> {
    let mut builder = Server::builder().with_limits(|limits| {
        limits.max_pending_sessions = 100_000;
        limits.max_pending_sessions_per_address = 100_000;
    });
    if std::env::args().any(|option| option == "--recovery") {
        builder = builder.recovery(Recovery::default());
    }
    #[cfg(feature = "metrics")]
    metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    let io = builder.build();
    io.on("echo", async |socket: Socket, args: Args| {
        socket.emit_args("echo", &args).await
    });
    io.on("blast", async |namespace: Namespace, args: Args| {
        namespace.local().emit_args("blast", &args).await
    });
    // It has no handler of its own, as one more would cost all events a comparison.
    io.on_fallback(async |EventName(name): EventName, args: Args, ack: Ack| {
        if name == "ask" {
            let _ = ack.send_args(&args);
        }
    });
    let port = std::env::var("PORT").unwrap_or_else(|_| "0".to_owned());
    let listener = io.bind(&format!("127.0.0.1:{port}")).await?;
    println!("http://{}", listener.local_addr());
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn({
        let io = io.clone();
        async move {
            if terminate.recv().await.is_some() {
                let _ = io.close(Duration::from_secs(1)).await;
            }
        }
    });
    listener.serve().await;
    Ok(())
}
