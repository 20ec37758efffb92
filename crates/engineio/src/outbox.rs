//! The packets of one session that wait to be sent, in order.
//!
//! Owned by [`Session`](crate::Session). A packet that waits alone costs no allocation; the queue behind it exists only
//! while there is a backlog.

use std::{collections::VecDeque, io::IoSlice, time::Instant};

use crate::{
    packet::{OutPacket, Revision},
    run::{FrameRun, OVERHEAD_BYTES},
};

/// Packets for which the queue makes room when a backlog begins.
const BURST_PACKETS: usize = 15;

#[derive(Debug)]
pub(crate) struct Outbox {
    front: Option<Entry>,
    // Invariant: empty while `front` is `None`.
    rest: VecDeque<Entry>,
    /// Weight of the messages. Pings and pongs do not count: there is never more than one of them.
    bytes: usize,
    /// Bytes of the front packet's frame that were written already.
    written: usize,
    /// How many of the packets are pings and pongs.
    heartbeats: usize,
    /// When it last began to fill or got smaller.
    progress: Instant,
}

/// What a policy that drops messages may do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// It begins a message that may be dropped.
    Event,
    /// It belongs to the packet before it (an attachment): both are sent, or both are dropped.
    Attachment,
    /// It is never dropped: the peer waits for it, or something of it was sent already.
    Owed,
}

#[derive(Debug)]
enum Entry {
    Packet {
        packet: OutPacket,
        part: Part,
    },
    /// Messages that are not told apart any more, for a WebSocket.
    Run(FrameRun),
}

impl Entry {
    /// What counts for a waiting packet against the limit.
    fn weight(&self) -> usize {
        match self {
            Self::Packet { .. } if self.is_heartbeat() => 0,
            Self::Packet { packet, .. } => packet.len() + OVERHEAD_BYTES,
            Self::Run(run) => run.weight(),
        }
    }

    fn is_heartbeat(&self) -> bool {
        let Self::Packet { packet, .. } = self else {
            return false;
        };
        matches!(packet, OutPacket::Ping | OutPacket::Pong(_))
    }

    fn may_be_dropped(&self) -> bool {
        matches!(
            self,
            Self::Packet {
                packet: OutPacket::Message(_),
                part: Part::Event
            }
        )
    }

    fn is_attachment(&self) -> bool {
        matches!(
            self,
            Self::Packet {
                part: Part::Attachment,
                ..
            }
        )
    }

    /// What is written to a WebSocket.
    fn frames(&self, revision: Revision, base64: bool) -> &[u8] {
        match self {
            Self::Packet { packet, .. } => packet.websocket_slice(revision, base64),
            Self::Run(run) => run.as_slice(),
        }
    }
}

impl Outbox {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            front: None,
            rest: VecDeque::new(),
            bytes: 0,
            written: 0,
            heartbeats: 0,
            progress: now,
        }
    }

    /// When it last began to fill or got smaller.
    pub(crate) fn progress(&self) -> Instant {
        self.progress
    }

    /// The peer has taken something, of which only the owner knows.
    pub(crate) fn note_progress(&mut self, now: Instant) {
        self.progress = now;
    }

    pub(crate) fn push(&mut self, now: Instant, packet: OutPacket, part: Part) {
        self.push_entry(now, Entry::Packet { packet, part });
    }

    /// Adds finished frames. Only for a WebSocket, and if no policy wants to drop single messages.
    pub(crate) fn push_run(&mut self, now: Instant, run: FrameRun) {
        // A frame that is partly written is in front, and stays as it is.
        if let Some(Entry::Run(last)) = self.rest.back_mut()
            && last.append(&run)
        {
            self.bytes += run.weight();
            return;
        }
        self.push_entry(now, Entry::Run(run));
    }

    fn push_entry(&mut self, now: Instant, entry: Entry) {
        self.bytes += entry.weight();
        self.heartbeats += usize::from(entry.is_heartbeat());
        if self.front.is_none() {
            self.progress = now;
            self.front = Some(entry);
        } else {
            if self.rest.capacity() == 0 {
                // A burst is seldom of two: no second and third growth.
                self.rest.reserve(BURST_PACKETS);
            }
            self.rest.push_back(entry);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_none()
    }

    /// Whether the front packet's frame is partly written.
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.written > 0
    }

    /// Size of the messages that wait in bytes, an overhead for each packet included. What was written of the first one
    /// does not count.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.saturating_sub(self.written)
    }

    /// Whether a ping or a pong waits. Counted, not searched: a peer may ask a million times while much waits.
    pub(crate) fn has_heartbeat(&self) -> bool {
        self.heartbeats > 0
    }

    /// Takes everything that waits.
    pub(crate) fn take(&mut self) -> Vec<OutPacket> {
        self.bytes = 0;
        self.written = 0;
        self.heartbeats = 0;
        let rest = std::mem::take(&mut self.rest);
        self.front
            .take()
            .into_iter()
            .chain(rest)
            .filter_map(|entry| match entry {
                Entry::Packet { packet, .. } => Some(packet),
                // Never the case: those who take packets do not use a WebSocket.
                Entry::Run(_) => None,
            })
            .collect()
    }

    /// Puts packets that were taken but not delivered back in front.
    pub(crate) fn restore(&mut self, now: Instant, packets: Vec<OutPacket>) {
        if self.is_empty() {
            self.progress = now;
        }
        for packet in packets.into_iter().rev() {
            // An attachment is never dropped on its own: what came back counts as begun.
            let entry = Entry::Packet {
                packet,
                part: Part::Owed,
            };
            self.bytes += entry.weight();
            self.heartbeats += usize::from(entry.is_heartbeat());
            if let Some(front) = self.front.replace(entry) {
                self.rest.push_front(front);
            }
        }
    }

    /// Drops what waits, but for a frame that is partly written: cutting it would garble the stream.
    pub(crate) fn discard(&mut self) {
        self.rest = VecDeque::new();
        if self.written == 0 {
            self.front = None;
        }
        self.bytes = self.front.as_ref().map_or(0, Entry::weight);
        self.heartbeats = self
            .front
            .iter()
            .filter(|entry| entry.is_heartbeat())
            .count();
    }

    /// Drops the oldest message of which nothing was sent, attachments included. `false` if there is none.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        if self.written == 0 && self.front.as_ref().is_some_and(Entry::may_be_dropped) {
            self.pop();
            while self.front.as_ref().is_some_and(Entry::is_attachment) {
                self.pop();
            }
            return true;
        }
        let Some(start) = self.rest.iter().position(Entry::may_be_dropped) else {
            return false;
        };
        let end = self
            .rest
            .iter()
            .skip(start + 1)
            .take_while(|entry| entry.is_attachment())
            .count()
            + start
            + 1;
        let dropped: usize = self
            .rest
            .drain(start..end)
            .map(|entry| entry.weight())
            .sum();
        self.bytes -= dropped;
        true
    }

    /// The packet that waits in front.
    pub(crate) fn peek_packet(&self) -> Option<&OutPacket> {
        match self.front.as_ref()? {
            Entry::Packet { packet, .. } => Some(packet),
            Entry::Run(_) => None,
        }
    }

    /// Takes the packet in front, for those who write it themselves.
    pub(crate) fn pop_packet(&mut self) -> Option<OutPacket> {
        let Some(Entry::Packet { .. }) = self.front else {
            return None;
        };
        let entry = self.front.take()?;
        self.bytes -= entry.weight();
        self.heartbeats -= usize::from(entry.is_heartbeat());
        self.advance_front();
        match entry {
            Entry::Packet { packet, .. } => Some(packet),
            Entry::Run(_) => None,
        }
    }

    fn pop(&mut self) {
        if let Some(entry) = self.front.take() {
            self.bytes -= entry.weight();
            self.heartbeats -= usize::from(entry.is_heartbeat());
        }
        self.advance_front();
    }

    fn advance_front(&mut self) {
        self.front = self.rest.pop_front();
        if self.rest.is_empty() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
    }

    /// Fills `slices` with the unwritten bytes of the first frames and returns how many slices it used.
    pub(crate) fn frames<'a>(
        &'a self,
        revision: Revision,
        base64: bool,
        slices: &mut [IoSlice<'a>],
    ) -> usize {
        let mut used = 0;
        let mut skip = self.written;
        let entries = self.front.iter().chain(&self.rest);
        for (slot, entry) in slices.iter_mut().zip(entries) {
            *slot = IoSlice::new(
                entry
                    .frames(revision, base64)
                    .get(skip..)
                    .unwrap_or_default(),
            );
            skip = 0;
            used += 1;
        }
        used
    }

    /// The unwritten bytes of the only packet that waits.
    pub(crate) fn only_frame(&self, revision: Revision, base64: bool) -> Option<&[u8]> {
        let front = self.front.as_ref().filter(|_| self.rest.is_empty())?;
        front.frames(revision, base64).get(self.written..)
    }

    /// Notes that `count` bytes of the frames were written.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        revision: Revision,
        base64: bool,
        mut count: usize,
    ) {
        self.progress = now;
        while let Some(entry) = &self.front {
            let left = entry.frames(revision, base64).len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.pop();
        }
    }
}
