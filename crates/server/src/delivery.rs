//! Answers to polls that are being written: given to an HTTP connection, but not yet to the system. If the connection breaks,
//! their packets go back to their sessions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kokanee_engineio::PollPackets;

use crate::mailbox::{Command, Mailbox};

/// The packets of a poll's answer while it is written. Unless they [arrive](Self::arrive), they go back to the session.
#[derive(Debug)]
struct InFlight {
    packets: Option<PollPackets>,
    bytes: usize,
    mailbox: Arc<Mailbox>,
}

impl InFlight {
    fn new(packets: PollPackets, bytes: usize, mailbox: &Arc<Mailbox>) -> Self {
        mailbox.take_off(bytes);
        Self {
            packets: Some(packets),
            bytes,
            mailbox: Arc::clone(mailbox),
        }
    }

    fn arrive(mut self) {
        self.packets = None;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(packets) = self.packets.take() {
            // If the session has ended, they are not needed.
            let _ = self.mailbox.send(Command::PollUndelivered { packets });
        }
        self.mailbox.land(self.bytes);
    }
}

/// A poll's answer, until the HTTP connection has taken all of it.
#[derive(Debug)]
pub(crate) struct Delivery {
    answer: InFlight,
    /// `None` if the host does not report what is sent.
    connection: Option<Arc<Deliveries>>,
}

impl Delivery {
    pub(crate) fn new(
        packets: PollPackets,
        bytes: usize,
        mailbox: &Arc<Mailbox>,
        connection: Option<Arc<Deliveries>>,
    ) -> Self {
        let answer = InFlight::new(packets, bytes, mailbox);
        Self { answer, connection }
    }

    /// Marks that the connection has taken all of it.
    pub(crate) fn pass_on(self) {
        match self.connection {
            Some(connection) => connection.lock().push(self.answer),
            None => self.answer.arrive(),
        }
    }
}

/// The poll answers that were given to an HTTP connection and have not left the process yet: mostly one, but hyper may start
/// the next request before that. If the connection breaks now, their packets go back to their sessions.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(Mutex<Vec<InFlight>>);

impl Deliveries {
    fn lock(&self) -> MutexGuard<'_, Vec<InFlight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether no answer is being written.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Marks that everything that was written has been handed to the system.
    pub(crate) fn confirm(&self) {
        self.lock().drain(..).for_each(InFlight::arrive);
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        let mut waiting = std::mem::take(&mut *self.lock()).into_iter().peekable();
        while let Some(mut answer) = waiting.next() {
            // In one step, so that nothing is sent in between.
            let mailbox = Arc::clone(&answer.mailbox);
            let is_same = |other: &InFlight| Arc::ptr_eq(&other.mailbox, &mailbox);
            while let Some(mut later) = waiting.next_if(is_same) {
                if let (Some(packets), Some(more)) = (&mut answer.packets, later.packets.take()) {
                    packets.append(more);
                }
            }
        }
    }
}
