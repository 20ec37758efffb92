//! [`Options`]: what all sockets of a client share.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use kokanee_handler::{Needs, States};
use kokanee_net::Backoff;
use kokanee_socketio::{DecoderLimits, ParserKind};
use serde::Serialize;

use crate::engine::EngineConfig;

/// An object, or null for nothing; or why it is neither.
pub(crate) type AuthValue = Result<serde_json::Value, String>;
pub(crate) type AuthFuture = Pin<Box<dyn Future<Output = AuthValue> + Send>>;

pub(crate) fn auth_value(auth: impl Serialize) -> AuthValue {
    match serde_json::to_value(auth) {
        Ok(value) if value.is_object() || value.is_null() => Ok(value),
        Ok(_) => Err("it is no object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What is sent with CONNECT.
#[derive(Clone, Default)]
pub(crate) enum Auth {
    #[default]
    None,
    Value(AuthValue),
    Function(Arc<dyn Fn() -> AuthFuture + Send + Sync>),
}

/// What all sockets of a connection share.
pub(crate) struct Options {
    pub(crate) engine: Arc<EngineConfig>,
    /// Whether it connects again by itself.
    pub(crate) reconnection: bool,
    pub(crate) backoff: Backoff,
    pub(crate) retry_first_connect: bool,
    pub(crate) parser: ParserKind,
    pub(crate) decoder: DecoderLimits,
    pub(crate) auth: Auth,
    pub(crate) ack_timeout: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) send_buffer_bytes: usize,
    pub(crate) max_pending_acks: usize,
    /// Of a packet that is sent. Without a limit for the msgpack parser.
    pub(crate) max_attachments: usize,
    pub(crate) state: States,
}

impl Options {
    /// Refuses a handler that could never run.
    #[track_caller]
    pub(crate) fn check(&self, needs: &Needs) {
        self.state.check(needs, STATE_CALL);
    }
}

/// How a state is given.
pub(crate) const STATE_CALL: &str = "Client::builder(…).state(…)";
