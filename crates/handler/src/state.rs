//! State: values that all handlers can access, one of each type, added at the builder of a server or client.

use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::Arc,
};

use crate::{
    error::ExtractError,
    extract::{FromContext, Kind},
    needs::Needs,
};

/// A value of the whole server or client, added with `state(…)` of its builder. An extractor.
///
/// Adding a handler whose state is missing panics; for handlers of a client's builder, building the client panics.
/// `Option<State<T>>` may be missing.
#[derive(Debug)]
pub struct State<T>(pub Arc<T>);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<K: Kind, T: Send + Sync + 'static> FromContext<K> for State<T> {
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError> {
        let missing = ExtractError::State {
            type_name: type_name::<T>(),
        };
        K::state(context).map(Self).ok_or(missing)
    }

    fn needs(needs: &mut Needs) {
        needs.state::<T>();
    }
}

/// The state values, by their types.
#[derive(Clone, Default)]
pub struct States(HashMap<TypeId, Stored>);

/// A value, and the name of its type.
type Stored = (&'static str, Arc<dyn Any + Send + Sync>);

impl States {
    /// Adds a value. Replaces one of the same type.
    pub fn insert<T: Send + Sync + 'static>(&mut self, state: T) {
        let stored = (type_name::<T>(), Arc::new(state) as _);
        self.0.insert(TypeId::of::<T>(), stored);
    }

    /// Returns the value of this type.
    pub fn find<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let (_, state) = self.0.get(&TypeId::of::<T>())?;
        Arc::clone(state).downcast().ok()
    }

    /// Checks that all needed states exist. `call` is the method that adds one.
    ///
    /// # Panics
    /// If one is missing. The message says what to do.
    #[track_caller]
    pub fn check(&self, needs: &Needs, call: &str) {
        let has_state = |id| self.0.contains_key(&id);
        needs.check(call, has_state, || {
            let mut names: Vec<_> = self.0.values().map(|&(name, _)| name).collect();
            names.sort_unstable();
            names
        });
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values may be secrets.
        f.debug_struct("States")
            .field("count", &self.0.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "given are [\"alloc::string::String\", \"u8\"]")]
    fn a_missing_state_is_reported_with_those_that_were_given() {
        let mut states = States::default();
        states.insert(1_u8);
        states.insert(String::new());
        let mut needs = Needs::default();
        needs.state::<u16>();
        states.check(&needs, "state(…)");
    }
}
