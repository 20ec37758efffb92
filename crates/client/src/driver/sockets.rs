//! [`Sockets`]: the sockets of one connection.

use std::{slice, sync::Arc};

use super::socket::SocketState;
use crate::socket::Core;

/// The sockets of one connection, those that nobody uses any more left out.
#[derive(Default)]
pub(super) struct Sockets {
    sockets: Vec<SocketState>,
    next_key: u64,
}

impl Sockets {
    /// Returns the state of a socket, a new one at its first use.
    pub(super) fn entry(&mut self, core: &Arc<Core>) -> &mut SocketState {
        let mut sockets = self.sockets.iter();
        let found = sockets.position(|socket| Arc::ptr_eq(&socket.core, core));
        let index = found.unwrap_or_else(|| self.add(Arc::clone(core)));
        &mut self.sockets[index]
    }

    fn add(&mut self, core: Arc<Core>) -> usize {
        self.forget_unused();
        self.next_key += 1;
        self.sockets.reserve_exact(1);
        self.sockets.push(SocketState::new(self.next_key, core));
        self.sockets.len() - 1
    }

    fn forget_unused(&mut self) {
        self.sockets.retain(|socket| {
            let is_used = socket.is_used();
            if !is_used {
                socket.release();
            }
            is_used
        });
    }

    pub(super) fn by_key(&mut self, key: u64) -> Option<&mut SocketState> {
        self.sockets.iter_mut().find(|socket| socket.key == key)
    }

    pub(super) fn iter(&self) -> slice::Iter<'_, SocketState> {
        self.sockets.iter()
    }

    pub(super) fn iter_mut(&mut self) -> slice::IterMut<'_, SocketState> {
        self.sockets.iter_mut()
    }

    /// Whether this is true of a socket.
    pub(super) fn any(&self, condition: impl Fn(&SocketState) -> bool) -> bool {
        self.sockets.iter().any(condition)
    }

    /// Returns the sockets that want to be connected.
    pub(super) fn wanted(&mut self) -> impl Iterator<Item = &mut SocketState> {
        self.sockets.iter_mut().filter(|socket| socket.is_wanted())
    }
}
