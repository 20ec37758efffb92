//! What is wrong with a handler before any event comes: a name that no event can have, a state that was never given.

use std::any::{TypeId, type_name};

use kokanee_socketio::is_reserved_event_name;

/// What handlers need of the application. Checked when a handler is added; see
/// [`FromContext::needs`](crate::FromContext::needs).
#[derive(Debug, Clone, Default)]
pub struct Needs {
    states: Vec<(TypeId, &'static str)>,
}

impl Needs {
    /// Adds what another handler needs.
    pub fn extend(&mut self, other: &Self) {
        self.states.extend_from_slice(&other.states);
    }

    /// Notes that a state of this type is needed.
    pub fn state<T: 'static>(&mut self) {
        self.states.push((TypeId::of::<T>(), type_name::<T>()));
    }

    /// Panics unless the application has all that is needed. `call` is how a state is given, `given` the types of those that were.
    #[track_caller]
    pub(crate) fn check(
        &self,
        call: &str,
        has_state: impl Fn(TypeId) -> bool,
        given: impl Fn() -> Vec<&'static str>,
    ) {
        for &(id, name) in &self.states {
            assert!(
                has_state(id),
                "no state of type `{name}` was given, which this handler takes as State<{name}>: \
                 add it with {call}, or take Option<State<…>> if it may be missing; given are {:?}",
                given()
            );
        }
    }
}

/// Checks that events of this name can come. `instead` knows the names that are something else here, and the call for it.
///
/// # Panics
/// If none can. The text says which call is meant.
#[track_caller]
pub fn check_event_name(event: &str, instead: impl FnOnce(&str) -> Option<&'static str>) {
    if let Some(call) = instead(event) {
        panic!("an event of the reserved name {event:?} never comes: use {call}");
    }
    assert!(
        !is_reserved_event_name(event),
        "an event of the reserved name {event:?} never comes: no Socket.IO implementation sends it"
    );
}
