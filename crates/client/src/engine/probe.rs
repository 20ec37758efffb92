//! [`Probe`]: the WebSocket that is to take over from polling.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use kokanee_engineio::{ClientSession, OutPacket};

use super::{config::EngineConfig, cookies::Cookies, error::ConnectFailure, websocket::WebSocket};

type Dialling = Pin<Box<dyn Future<Output = Result<WebSocket, ConnectFailure>> + Send>>;

/// A WebSocket that is to take over.
pub(crate) enum Probe {
    Dialling(Dialling),
    Open(Box<WebSocket>),
}

/// What a turn of a probe has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeTurn {
    /// It waits for something.
    Waits,
    /// Something has happened; there may be more.
    Works,
    /// It has failed, and must be dropped.
    Failed,
}

impl Probe {
    /// Begins to open a WebSocket.
    pub(crate) fn dial(config: &Arc<EngineConfig>, cookies: &Cookies, sid: Option<&str>) -> Self {
        let (config, mut cookies) = (Arc::clone(config), cookies.clone());
        let sid = sid.map(str::to_owned);
        Self::Dialling(Box::pin(async move {
            let opened = WebSocket::open(&config, &mut cookies, sid.as_deref());
            let after = config.session.upgrade_timeout;
            tokio::time::timeout(after, opened)
                .await
                .unwrap_or(Err(ConnectFailure::Timeout { after }))
        }))
    }

    /// Dials, or reads the answer to the probe.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        session: &mut ClientSession,
    ) -> ProbeTurn {
        match self {
            Self::Dialling(dialling) => match dialling.as_mut().poll(cx) {
                Poll::Pending => ProbeTurn::Waits,
                Poll::Ready(Ok(websocket)) => {
                    *self = Self::Open(Box::new(websocket));
                    session.handle_probe_opened(now);
                    ProbeTurn::Works
                }
                Poll::Ready(Err(error)) => {
                    if let ConnectFailure::NoUpgrade { .. } = error {
                        tracing::warn!(%error, "upgrade failed, the session goes on polling");
                    } else {
                        tracing::debug!(%error, "upgrade failed");
                    }
                    ProbeTurn::Failed
                }
            },
            Self::Open(websocket) => read_answer(websocket, cx, now, session),
        }
    }

    /// Sends a packet of the probe, in order with what the session sends once it is upgraded.
    pub(crate) fn send(&mut self, packet: &OutPacket, session: &ClientSession) {
        if let Self::Open(websocket) = self {
            let frame = packet.websocket_slice(session.revision(), false);
            websocket.pending.push(frame);
        }
    }

    /// Writes what waits. Returns whether the WebSocket still works.
    pub(crate) fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Self::Open(websocket) = self else {
            return true;
        };
        let pending = Some(&mut websocket.pending);
        !matches!(
            websocket.io.poll_write(cx, now, pending),
            Poll::Ready(Err(_))
        )
    }
}

fn read_answer(
    websocket: &mut WebSocket,
    cx: &mut Context<'_>,
    now: Instant,
    session: &mut ClientSession,
) -> ProbeTurn {
    let mut turn = ProbeTurn::Waits;
    let mut is_answered = false;
    while !is_answered && websocket.io.read_end().is_none() {
        let read = websocket.io.poll_read(cx, now, |_, frame| {
            session.handle_probe_frame(now, frame);
            is_answered = true;
            // What comes after the answer to the probe is for the session.
            false
        });
        if read.is_pending() {
            break;
        }
        turn = ProbeTurn::Works;
    }
    if websocket.io.read_end().is_some() {
        return ProbeTurn::Failed;
    }
    turn
}
