//! Checks of a handler when it is added: a name that no event can have, a state that the application does not have.

use std::any::{TypeId, type_name};

use kokanee_socketio::is_reserved_event_name;

/// What handlers need of the application. Checked when a handler is added; see
/// [`FromContext::needs`](crate::FromContext::needs).
#[derive(Debug, Clone, Default)]
pub struct Needs {
    states: Vec<(TypeId, &'static str)>,
}

impl Needs {
    /// Adds the needs of another handler.
    pub fn extend(&mut self, other: &Self) {
        self.states.extend_from_slice(&other.states);
    }

    /// Adds that a state of this type is needed.
    pub fn state<T: 'static>(&mut self) {
        self.states.push((TypeId::of::<T>(), type_name::<T>()));
    }

    /// Panics unless the application has all needed states. `call` is the method that adds a state, `given` are the
    /// types of the existing ones.
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

/// Checks that an event can have this name. `instead` returns the method to use for names that have their own one.
///
/// # Panics
/// If no event can have this name. The message names the method to use instead.
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
