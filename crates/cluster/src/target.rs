//! The recipients of a broadcast.

/// The recipients that a `BroadcastOperator` selects. The default is everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Members of any of these rooms, each once. Empty means everybody.
    pub rooms: Vec<String>,
    /// Members of these rooms are excluded.
    pub except: Vec<String>,
}

impl Target {
    /// Returns whether the target is the whole namespace.
    pub fn is_everybody(&self) -> bool {
        self.rooms.is_empty() && self.except.is_empty()
    }
}
