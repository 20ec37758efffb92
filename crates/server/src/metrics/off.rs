//! The functions of [`on`](super) without the feature `metrics`: nothing.

use std::sync::Arc;

use kokanee_engineio::{CloseReason, Overflow, Transport};

use super::{SocketRefusal, Traffic, Upgrade};

// Not `Copy`, because with the feature it is not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics(());

pub(crate) enum Publishing {}
pub(crate) enum HandlerTimer {}

impl Publishing {
    pub(crate) fn end(self) {
        match self {}
    }
}

#[expect(clippy::unused_self, reason = "with the feature, it is used")]
impl Metrics {
    #[inline]
    pub(crate) fn open(&self, _: Transport) -> Meter {
        Meter
    }

    #[inline]
    pub(crate) fn begin_publishing(&self) -> Option<Publishing> {
        None
    }

    #[inline]
    pub(crate) fn publish(&self, _outbound_bytes: usize) {}

    #[inline]
    pub(crate) fn time_event(&self) -> Option<Arc<HandlerTimer>> {
        None
    }

    #[inline]
    pub(crate) fn sent(&self, _: Transport, _: impl FnOnce() -> Traffic) {}

    #[inline]
    pub(crate) fn volatile_dropped(&self) {}

    #[inline]
    pub(crate) fn request_refused(&self, _reason: &'static str) {}

    #[inline]
    pub(crate) fn socket_refused(&self, _: SocketRefusal) {}

    #[inline]
    pub(crate) fn event_unhandled(&self) {}

    #[inline]
    pub(crate) fn socket_connected(&self, _namespace: Option<&str>) {}

    #[inline]
    pub(crate) fn socket_disconnected(&self, _namespace: Option<&str>) {}

    #[inline]
    pub(crate) fn recovered(&self) {}

    #[inline]
    pub(crate) fn not_recovered(&self, _reason: &'static str) {}
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct PacketCount;

#[expect(clippy::unused_self, reason = "with the feature, it is used")]
impl PacketCount {
    #[inline]
    pub(crate) fn none() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn add_one(&mut self) {}

    #[inline]
    pub(crate) fn get(self) -> usize {
        0
    }
}

#[derive(Debug)]
pub(crate) struct Meter;

#[expect(clippy::unused_self, reason = "with the feature, it is used")]
impl Meter {
    #[inline]
    pub(crate) fn upgrade(&mut self, _: Upgrade) {}

    #[inline]
    pub(crate) fn closed(&mut self, _: CloseReason) {}

    #[inline]
    pub(crate) fn received(&self, _: Transport, _: impl FnOnce() -> Traffic) {}

    #[inline]
    pub(crate) fn sent(&self, _: Transport, _: impl FnOnce() -> Traffic) {}

    #[inline]
    pub(crate) fn queued(&mut self, _events: usize) {}

    #[inline]
    pub(crate) fn drops(&mut self, _: Overflow, _count: u64) {}

    #[inline]
    pub(crate) fn dropping(&self) {}
}
