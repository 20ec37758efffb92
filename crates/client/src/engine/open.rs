//! The opening of an engine: its transports in order, until the open packet has come.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use kokanee_engineio::Transport;

use super::{
    Engine, config::EngineConfig, cookies::Cookies, error::ConnectFailure, websocket::WebSocket,
};

/// Connects and shakes hands; ready when the open packet has come. Dropping it gives everything up.
///
/// # Errors
/// [`ConnectFailure`] of the last transport that was tried.
pub(crate) async fn open(config: &Arc<EngineConfig>) -> Result<Engine, ConnectFailure> {
    let mut order = config.order();
    if !config.try_all_transports {
        order.truncate(1);
    }
    let mut left = config.connect_timeout;
    let mut opened = Err(ConnectFailure::Option {
        option: "transports",
        reason: "there is none".to_owned(),
    });
    let mut waiting = order.into_iter();
    while let Some(transport) = waiting.next() {
        let start = Instant::now();
        // A transport that is swallowed on the way leaves time for the others.
        let share = left / u32::try_from(waiting.len() + 1).unwrap_or(u32::MAX);
        opened = tokio::time::timeout(share, open_with(config, transport))
            .await
            .unwrap_or(Err(ConnectFailure::Timeout {
                after: config.connect_timeout,
            }));
        if opened.is_ok() {
            break;
        }
        left = left.saturating_sub(start.elapsed());
    }
    if opened.is_err() {
        // The WebSocket of the last time may not be possible any more.
        config.upgraded.store(false, Ordering::Relaxed);
    }
    opened
}

async fn open_with(
    config: &Arc<EngineConfig>,
    transport: Transport,
) -> Result<Engine, ConnectFailure> {
    let mut cookies = Cookies::default();
    let websocket = match transport {
        Transport::WebSocket => Some(WebSocket::open(config, &mut cookies, None).await?),
        Transport::Polling => None,
    };
    let mut engine = Engine::new(config, cookies, websocket, Instant::now());
    std::future::poll_fn(|cx| engine.poll_open(cx)).await?;
    Ok(engine)
}
