//! What a run asks of its connections, whoever makes them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::load::{Emit, Load};
use crate::report::Recorder;

/// Reasons of failures that are told apart.
const MAX_REASONS: usize = 16;

/// All connections of a run. They are numbered from 0 in the order in which they are started.
pub(crate) trait Fleet {
    /// Returns how many connections there are, and how they came about.
    fn census(&self) -> &Census;

    /// Returns the same for what closes an interval.
    fn census_mut(&mut self) -> &mut Census;

    /// Starts one more connection.
    ///
    /// # Errors
    /// It failed at once.
    fn start(&mut self) -> Result<(), Error>;

    /// Cuts all connections at once. They come back by themselves; until all of them are back, failures are counted and
    /// do not end the run; but a client that the server refuses or disconnects does not come back, and ends it.
    fn cut(&mut self);

    /// Sends events outside of a turn.
    ///
    /// # Errors
    /// The first connection that failed.
    fn emit(&mut self, emits: &[Emit]) -> Result<(), Error>;

    /// Waits for something to happen for at most `timeout`, and handles it: connections open, events arrive at the load
    /// and what it emits is sent. Without a load they are ignored.
    ///
    /// # Errors
    /// The first connection that failed.
    fn turn(&mut self, load: Option<&mut dyn Load>, timeout: Duration) -> Result<(), Error>;
}

/// The connections in numbers.
#[derive(Debug)]
pub(crate) struct Census {
    /// Connections that were started.
    pub(crate) started: usize,
    /// Connections that their namespace has accepted and that are not lost.
    pub(crate) ready: usize,
    /// How often a namespace has accepted a connection.
    pub(crate) accepted: u64,
    /// Attempts that failed and were repeated.
    pub(crate) failures: u64,
    /// The same by their reason.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Times from the start of a connection, or from the cut, to the accepted namespace.
    pub(crate) handshakes: Recorder,
}

impl Census {
    pub(crate) fn new() -> Self {
        Self {
            started: 0,
            ready: 0,
            accepted: 0,
            failures: 0,
            reasons: BTreeMap::new(),
            handshakes: Recorder::new(),
        }
    }

    /// A namespace has accepted a connection.
    pub(crate) fn accept(&mut self, since: Instant, now: Instant) {
        self.ready += 1;
        self.accepted += 1;
        self.handshakes.record(now.saturating_duration_since(since));
    }

    /// An attempt has failed, and is repeated.
    pub(crate) fn fail(&mut self, reason: String) {
        self.failures += 1;
        let is_new = !self.reasons.contains_key(&reason);
        let reason = if is_new && self.reasons.len() >= MAX_REASONS {
            "other reasons".to_owned()
        } else {
            reason
        };
        *self.reasons.entry(reason).or_default() += 1;
    }

    /// Whether all connections that were started are open.
    pub(crate) fn is_complete(&self) -> bool {
        self.ready == self.started
    }
}
