//! The queue of a session's outgoing packets.
//!
//! Owned by [`Session`](crate::Session). A single queued packet costs no allocation; the list for more exists only
//! during a backlog.

use std::{collections::VecDeque, io::IoSlice, time::Instant};

use crate::{
    message::Outgoing,
    packet::{OutPacket, Revision},
    run::{FrameRun, OVERHEAD_BYTES},
};

/// The initial capacity of the list when a backlog begins.
const BURST_PACKETS: usize = 15;

#[derive(Debug)]
pub(crate) struct Outbox {
    front: Option<Entry>,
    // Invariant: empty while `front` is `None`.
    rest: VecDeque<Entry>,
    /// Size of the messages, including an overhead for each packet. Pings and pongs do not count: there is at most one.
    bytes: usize,
    /// Bytes of the front packet's frame that were written already.
    written: usize,
    /// How many of the packets are pings and pongs.
    heartbeats: usize,
    /// When it last began to fill or shrank.
    progress: Instant,
}

/// Whether [`Overflow`](crate::Overflow) may drop a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// It begins a message that may be dropped.
    Event,
    /// It belongs to the packet before it (an attachment): both are sent, or both are dropped.
    Attachment,
    /// It is never dropped: the peer waits for it, or a part of it was sent already.
    Owed,
}

/// What a message and the attachments that belong to it count against the limit while they wait.
pub(crate) fn weight(message: &Outgoing, attachments: &[Outgoing]) -> usize {
    std::iter::once(message)
        .chain(attachments)
        .map(|part| part.len() + OVERHEAD_BYTES)
        .sum()
}

#[derive(Debug)]
enum Entry {
    Packet {
        packet: OutPacket,
        part: Part,
    },
    /// The frames of several messages, for a WebSocket.
    Run(FrameRun),
}

impl Entry {
    /// Returns the bytes that count against the limit.
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

    /// Returns the bytes for a WebSocket.
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

    /// Returns when it last began to fill or shrank.
    pub(crate) fn progress(&self) -> Instant {
        self.progress
    }

    /// Notes progress that only the owner sees.
    pub(crate) fn note_progress(&mut self, now: Instant) {
        self.progress = now;
    }

    pub(crate) fn push(&mut self, now: Instant, packet: OutPacket, part: Part) {
        self.push_entry(now, Entry::Packet { packet, part });
    }

    /// Appends finished frames. Only for a WebSocket, and if the overflow policy does not drop single messages.
    pub(crate) fn push_run(&mut self, now: Instant, run: FrameRun) {
        // A partly written frame is in `front`, which is not changed here.
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
                // A backlog is rarely just two packets: this avoids repeated growth.
                self.rest.reserve(BURST_PACKETS);
            }
            self.rest.push_back(entry);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_none()
    }

    /// Returns whether the front packet's frame is partly written.
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.written > 0
    }

    /// Returns the size of the queued messages in bytes, including an overhead for each packet, without the written
    /// part of the first one.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.saturating_sub(self.written)
    }

    /// Returns whether a ping or a pong is queued. Counted rather than searched: a peer may send many pings during a
    /// long backlog.
    pub(crate) fn has_heartbeat(&self) -> bool {
        self.heartbeats > 0
    }

    /// Removes and returns the first packets, at most so many.
    pub(crate) fn take_first(&mut self, most: usize) -> Vec<OutPacket> {
        if self.rest.len() < most {
            return self.take();
        }
        self.written = 0;
        let mut packets = Vec::with_capacity(most);
        while packets.len() < most
            && let Some(entry) = self.front.take()
        {
            self.front = self.rest.pop_front();
            self.bytes -= entry.weight();
            self.heartbeats -= usize::from(entry.is_heartbeat());
            // Of a packet, runs are for a WebSocket only.
            if let Entry::Packet { packet, .. } = entry {
                packets.push(packet);
            }
        }
        // The message that these belong to was sent.
        for entry in self.front.iter_mut().chain(&mut self.rest) {
            let Entry::Packet {
                part: part @ Part::Attachment,
                ..
            } = entry
            else {
                break;
            };
            *part = Part::Owed;
        }
        packets
    }

    /// Removes and returns all packets.
    fn take(&mut self) -> Vec<OutPacket> {
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
                // Unreachable: packets are taken for polling only, and runs are for a WebSocket.
                Entry::Run(_) => None,
            })
            .collect()
    }

    /// Puts undelivered packets back in front.
    pub(crate) fn restore(&mut self, now: Instant, packets: Vec<OutPacket>) {
        if self.is_empty() {
            self.progress = now;
        }
        for packet in packets.into_iter().rev() {
            // An attachment is never dropped on its own: a restored packet counts as partly sent.
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

    /// Drops all packets except a partly written frame: cutting it would corrupt the stream.
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

    /// Drops the oldest unsent message with its attachments. Returns `false` if there is none.
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

    /// Returns the first packet.
    pub(crate) fn peek_packet(&self) -> Option<&OutPacket> {
        match self.front.as_ref()? {
            Entry::Packet { packet, .. } => Some(packet),
            Entry::Run(_) => None,
        }
    }

    /// Removes and returns the first packet, for callers that write it themselves.
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

    /// Returns the unwritten bytes of a packet that is queued alone.
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
