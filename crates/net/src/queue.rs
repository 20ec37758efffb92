//! A queue in front of a [`Writer`]: any number of tasks send, one task writes. Its size in bytes is bounded.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::{connection::Writer, endpoint::Endpoint, error::NetError};

/// The overhead of a queued message, in addition to its bytes.
const OVERHEAD_BYTES: usize = 64;
/// Most messages of one write.
const MAX_BATCH: usize = 64;

/// Sends to one peer from any number of tasks. Cheap to clone; see [`Writer::queued`].
#[derive(Clone)]
pub struct SendQueue(Arc<Shared>);

struct Shared {
    peer: Endpoint,
    max_bytes: usize,
    room: Arc<Semaphore>,
    messages: Mutex<Messages>,
    /// A message was added, or [`SendQueue::finish`] was called.
    changed: Notify,
}

#[derive(Default)]
struct Messages {
    waiting: VecDeque<(Bytes, OwnedSemaphorePermit)>,
    is_finished: bool,
}

impl fmt::Debug for SendQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendQueue")
            .field("peer", &self.0.peer)
            .field("queued_bytes", &self.queued_bytes())
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Adds a queue, so that any number of tasks can send. Messages are written only while [`Drain::run`] runs.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use kokanee_net::TcpClient;
    ///
    /// let (mut reader, writer) = TcpClient::new(address).connect().await?.into_split();
    /// let (queue, drain) = writer.queued();
    /// tokio::spawn(drain.run());
    /// for text in ["one ", "two"] {
    ///     let queue = queue.clone();
    ///     tokio::spawn(async move { queue.send(text.into()).await }).await.expect("no panic")?;
    /// }
    /// let mut both = [0; 7];
    /// reader.read_exact(&mut both).await?;
    /// assert_eq!(&both, b"one two");
    /// # Ok(()) }
    /// ```
    pub fn queued(self) -> (SendQueue, Drain) {
        let max = self.limits().max_queued_bytes;
        let max_bytes = max.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let shared = Arc::new(Shared {
            peer: self.peer().clone(),
            max_bytes,
            room: Arc::new(Semaphore::new(max_bytes)),
            messages: Mutex::default(),
            changed: Notify::new(),
        });
        let drain = Drain {
            writer: self,
            shared: Arc::clone(&shared),
        };
        (SendQueue(shared), drain)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> NetError {
        NetError::Closed {
            peer: self.peer.to_string(),
        }
    }

    /// Returns the size that a message counts in the queue. A message larger than the limit counts as the limit, so
    /// that it can be sent alone.
    fn weight(&self, bytes: &Bytes) -> u32 {
        let weight = (bytes.len() + OVERHEAD_BYTES).min(self.max_bytes);
        u32::try_from(weight).unwrap_or(u32::MAX)
    }

    fn push(&self, bytes: Bytes, room: OwnedSemaphorePermit) -> Result<(), NetError> {
        let mut messages = self.lock();
        if messages.is_finished {
            return Err(self.closed());
        }
        messages.waiting.push_back((bytes, room));
        drop(messages);
        self.changed.notify_one();
        Ok(())
    }
}

impl SendQueue {
    /// Queues a message, after waiting while the queue is full. Messages of one task are sent in order. Cancel safe.
    ///
    /// # Errors
    /// [`NetError::Closed`] if the connection is closed.
    pub async fn send(&self, bytes: Bytes) -> Result<(), NetError> {
        let weight = self.0.weight(&bytes);
        let room = Arc::clone(&self.0.room)
            .acquire_many_owned(weight)
            .await
            .map_err(|_closed| self.0.closed())?;
        self.0.push(bytes, room)
    }

    /// Queues a message unless the queue is full.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use kokanee_net::{NetError, TcpClient};
    ///
    /// let client = TcpClient::new(address).with_limits(|limits| limits.max_queued_bytes = 1000);
    /// let (_reader, writer) = client.connect().await?.into_split();
    /// let (queue, _drain) = writer.queued(); // Nothing leaves: the drain does not run.
    /// queue.try_send(vec![0; 900].into())?;
    /// match queue.try_send(vec![0; 900].into()) {
    ///     Err(NetError::QueueFull { max, .. }) => assert_eq!(max, 1000), // Drop it, or disconnect the peer.
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NetError::QueueFull`], or [`NetError::Closed`].
    pub fn try_send(&self, bytes: Bytes) -> Result<(), NetError> {
        let weight = self.0.weight(&bytes);
        match Arc::clone(&self.0.room).try_acquire_many_owned(weight) {
            Ok(room) => self.0.push(bytes, room),
            Err(TryAcquireError::NoPermits) => Err(NetError::QueueFull {
                peer: self.0.peer.to_string(),
                max: self.0.max_bytes,
            }),
            Err(TryAcquireError::Closed) => Err(self.0.closed()),
        }
    }

    /// Closes the queue to new messages. When the queued ones are written, this side of the connection is closed.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/echo_server.md")]
    /// use kokanee_net::TcpClient;
    ///
    /// let (mut reader, writer) = TcpClient::new(address).connect().await?.into_split();
    /// let (queue, drain) = writer.queued();
    /// queue.send("goodbye".into()).await?;
    /// queue.finish();
    /// drain.run().await?; // Returns when everything has left.
    /// assert!(queue.send("too late".into()).await.is_err());
    /// # Ok(()) }
    /// ```
    pub fn finish(&self) {
        self.0.lock().is_finished = true;
        self.0.changed.notify_one();
    }

    /// Returns the number of queued bytes, including 64 for each message.
    pub fn queued_bytes(&self) -> usize {
        self.0.max_bytes - self.0.room.available_permits().min(self.0.max_bytes)
    }

    /// Returns the remote end.
    pub fn peer(&self) -> &Endpoint {
        &self.0.peer
    }
}

/// Writes the queued messages.
pub struct Drain {
    writer: Writer,
    shared: Arc<Shared>,
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("peer", &self.shared.peer)
            .finish_non_exhaustive()
    }
}

impl Drain {
    /// Writes until [`SendQueue::finish`], then closes this side of the connection. When the future ends or is dropped,
    /// the queue is closed, and queued messages are dropped.
    ///
    /// # Errors
    /// As [`Connection::send_all`](crate::Connection::send_all).
    pub async fn run(mut self) -> Result<(), NetError> {
        let mut batch = Vec::new();
        let mut room = Vec::new();
        loop {
            let is_finished = {
                let mut messages = self.shared.lock();
                let count = messages.waiting.len().min(MAX_BATCH);
                for (bytes, permit) in messages.waiting.drain(..count) {
                    batch.push(bytes);
                    room.push(permit);
                }
                messages.is_finished
            };
            if !batch.is_empty() {
                self.writer.send_pieces(&mut batch).await?;
                batch.clear();
                // Released only now: messages count until the system has buffered them.
                room.clear();
            } else if is_finished {
                return self.writer.finish().await;
            } else {
                batch = Vec::new();
                room = Vec::new();
                self.shared.changed.notified().await;
            }
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        let mut messages = self.shared.lock();
        messages.is_finished = true;
        messages.waiting = VecDeque::new();
        drop(messages);
        self.shared.room.close();
    }
}
