//! Messages and bytes, which are counted for each thread: nobody else writes there, so that to count is an addition. The recorder of
//! the process gets the sums.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

use kokanee_engineio::Transport;
use metrics::counter;
use parking_lot::Mutex;

use super::{
    Traffic,
    names::{RECEIVED_BYTES, RECEIVED_PACKETS, SENT_BYTES, SENT_PACKETS},
};

/// How many messages a turn has read so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PacketCount(usize);

impl PacketCount {
    #[inline]
    pub(crate) fn none() -> Self {
        Self(0)
    }

    #[inline]
    pub(crate) fn add_one(&mut self) {
        self.0 += 1;
    }

    #[inline]
    pub(crate) fn get(self) -> usize {
        self.0
    }
}

/// Where the traffic goes.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Received = 0,
    Sent = 2,
}

/// What each count is. Those of a transport and direction begin at the sum of their numbers.
const COUNTED: [(Transport, &str); 8] = [
    (Transport::Polling, RECEIVED_PACKETS.name),
    (Transport::Polling, RECEIVED_BYTES.name),
    (Transport::Polling, SENT_PACKETS.name),
    (Transport::Polling, SENT_BYTES.name),
    (Transport::WebSocket, RECEIVED_PACKETS.name),
    (Transport::WebSocket, RECEIVED_BYTES.name),
    (Transport::WebSocket, SENT_PACKETS.name),
    (Transport::WebSocket, SENT_BYTES.name),
];

/// What a thread has counted.
#[derive(Default)]
#[repr(align(128))]
struct Counts([AtomicUsize; 8]);

/// The counts of all threads that ever were; one that ends leaves its own to the next one that begins.
static ALL: Mutex<Vec<&'static Counts>> = Mutex::new(Vec::new());
static FREE: Mutex<Vec<&'static Counts>> = Mutex::new(Vec::new());

/// What the recorder has got.
static PUBLISHED: Mutex<[usize; 8]> = Mutex::new([0; 8]);

thread_local! {
    static OWN: Cell<Option<&'static Counts>> = const { Cell::new(None) };
    static LEAVING: Leaving = const { Leaving };
}

/// Frees the counts of the thread when it ends.
struct Leaving;

impl Drop for Leaving {
    fn drop(&mut self) {
        FREE.lock().extend(OWN.take());
    }
}

#[cold]
fn begin() -> &'static Counts {
    let free = FREE.lock().pop();
    let counts = free.unwrap_or_else(|| {
        let counts: &'static Counts = Box::leak(Box::default());
        ALL.lock().push(counts);
        counts
    });
    // A thread that ends already has its counts to itself.
    if LEAVING.try_with(|_| ()).is_ok() {
        OWN.set(Some(counts));
    }
    counts
}

/// Counts for this thread.
#[inline]
pub(super) fn count(transport: Transport, direction: Direction, traffic: Traffic) {
    let Counts(counts) = OWN.get().unwrap_or_else(begin);
    let first = direction as usize
        + match transport {
            Transport::Polling => 0,
            Transport::WebSocket => 4,
        };
    add(&counts[first], traffic.packets);
    add(&counts[first + 1], traffic.bytes);
}

/// Adds, for the only thread that writes.
#[inline]
fn add(count: &AtomicUsize, more: usize) {
    let sum = count.load(Ordering::Relaxed).wrapping_add(more);
    count.store(sum, Ordering::Relaxed);
}

/// Hands to the recorder what has been counted since the last time.
pub(super) fn publish() {
    let mut published = PUBLISHED.lock();
    for (index, (transport, name)) in COUNTED.into_iter().enumerate() {
        let more = sum(index).wrapping_sub(published[index]);
        published[index] = published[index].wrapping_add(more);
        counter!(name, "transport" => transport.as_str()).increment(more as u64);
    }
}

/// Returns what all threads have counted.
fn sum(index: usize) -> usize {
    let all = ALL.lock();
    let counts = all.iter().map(|Counts(counts)| &counts[index]);
    counts.fold(0, |sum, it| sum.wrapping_add(it.load(Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ends_leaves_its_counts_to_the_next() {
        let before = sum(3);
        for _ in 0..5 {
            let thread = std::thread::spawn(|| {
                for _ in 0..3 {
                    count(Transport::Polling, Direction::Sent, Traffic::bytes(100));
                }
            });
            thread.join().expect("it counts");
        }
        assert_eq!(sum(3) - before, 1500);
        assert!(ALL.lock().len() <= 2, "one for all of them");
    }
}
