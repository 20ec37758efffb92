//! The interface of a run to its connections, for both generators.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::load::{Emit, Load};
use crate::report::Recorder;

/// Maximum number of different failure reasons that are counted separately.
const MAX_REASONS: usize = 16;

/// All connections of a run. They are numbered from 0 in the order in which they are started.
pub(crate) trait Fleet {
    /// Returns the statistics of the connections.
    fn stats(&self) -> &ConnectionStats;

    /// Returns the statistics, to close an interval.
    fn stats_mut(&mut self) -> &mut ConnectionStats;

    /// Starts one more connection.
    ///
    /// # Errors
    /// It failed immediately.
    fn start(&mut self) -> Result<(), Error>;

    /// Cuts all connections at once. They reconnect by themselves. Until all of them are back, failures are counted and do
    /// not end the run, except when the server refuses or disconnects a client, which then does not reconnect.
    fn cut(&mut self);

    /// Sends events outside of a turn.
    ///
    /// # Errors
    /// The first connection that failed.
    fn emit(&mut self, emits: &[Emit]) -> Result<(), Error>;

    /// Waits for at most `timeout` for something to happen, and handles it: opens connections, passes received events to
    /// the load and sends what it emits. Without a load received events are ignored.
    ///
    /// # Errors
    /// The first connection that failed.
    fn turn(&mut self, load: Option<&mut dyn Load>, timeout: Duration) -> Result<(), Error>;
}

/// Statistics of the connections.
#[derive(Debug)]
pub(crate) struct ConnectionStats {
    /// Connections that were started.
    pub(crate) started: usize,
    /// Connections that their namespace accepted and that are not lost.
    pub(crate) ready: usize,
    /// How often a namespace accepted a connection.
    pub(crate) accepted: u64,
    /// Attempts that failed and were retried.
    pub(crate) failures: u64,
    /// Failed attempts by reason.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Times from the start of a connection, or from the cut, to the accepted namespace.
    pub(crate) handshakes: Recorder,
}

impl ConnectionStats {
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

    /// Counts a connection that its namespace accepted.
    pub(crate) fn accept(&mut self, since: Instant, now: Instant) {
        self.ready += 1;
        self.accepted += 1;
        self.handshakes.record(now.saturating_duration_since(since));
    }

    /// Counts a failed attempt that is retried.
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

    /// Returns whether all connections that were started are open.
    pub(crate) fn is_complete(&self) -> bool {
        self.ready == self.started
    }
}
