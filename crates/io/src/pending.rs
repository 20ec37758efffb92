//! What waits for an answer, by the id that the answer will have: the acknowledgements that a socket is owed.

use std::{collections::HashMap, fmt, hash::Hash};

use parking_lot::Mutex;

/// A bounded map of what waits for an answer. Most sockets wait for none: an empty map takes two words and no allocation.
pub struct PendingMap<K, V>(Mutex<Map<K, V>>);

// Behind a pointer, which keeps the idle socket small.
type Map<K, V> = Option<Box<HashMap<K, V>>>;

impl<K, V> Default for PendingMap<K, V> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<K, V> fmt::Debug for PendingMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.lock().as_ref().map_or(0, |map| map.len());
        f.debug_struct("PendingMap").field("len", &len).finish()
    }
}

impl<K: Eq + Hash, V> PendingMap<K, V> {
    /// Adds an entry. Returns `false` and drops it if there are `max` already.
    pub fn insert(&self, id: K, value: V, max: usize) -> bool {
        let mut map = self.0.lock();
        let has_room = map.as_ref().map_or(0, |map| map.len()) < max;
        if has_room {
            map.get_or_insert_default().insert(id, value);
        }
        has_room
    }

    /// Removes an entry, and the map's memory with the last one.
    pub fn remove(&self, id: &K) -> Option<V> {
        let mut map = self.0.lock();
        let removed = map.as_mut()?.remove(id);
        free_if_empty(&mut map);
        removed
    }

    /// Removes all entries.
    pub fn take_all(&self) -> impl Iterator<Item = V> + use<K, V> {
        let map = self.0.lock().take();
        map.into_iter().flat_map(|map| map.into_values())
    }

    /// Removes the entries that are `wanted`.
    pub fn take_if(&self, wanted: impl Fn(&K, &V) -> bool) -> Vec<V> {
        let mut map = self.0.lock();
        let taken = map.as_mut().map_or_else(Vec::new, |map| {
            map.extract_if(|id, value| wanted(id, value))
                .map(|(_, value)| value)
                .collect()
        });
        free_if_empty(&mut map);
        taken
    }

    /// Changes an entry, if it is there.
    pub fn update(&self, id: &K, change: impl FnOnce(&mut V)) {
        if let Some(value) = self.0.lock().as_mut().and_then(|map| map.get_mut(id)) {
            change(value);
        }
    }

    /// Whether there is this entry.
    pub fn contains(&self, id: &K) -> bool {
        self.0
            .lock()
            .as_ref()
            .is_some_and(|map| map.contains_key(id))
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_none()
    }
}

fn free_if_empty<K, V>(map: &mut Map<K, V>) {
    if map.as_ref().is_some_and(|map| map.is_empty()) {
        *map = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_bounded_and_the_last_one_takes_the_memory_with_it() {
        let map = PendingMap::default();
        assert!(!map.insert(0, "none", 0));
        assert!(map.is_empty());
        assert!(map.insert(1, "one", 2) && map.insert(2, "two", 2));
        assert!(!map.insert(3, "three", 2));
        assert!(map.contains(&1) && !map.contains(&3));
        assert_eq!(map.remove(&3), None);
        assert_eq!(map.remove(&1), Some("one"));
        assert!(!map.is_empty());
        assert_eq!(map.remove(&2), Some("two"));
        assert!(map.is_empty());
    }

    #[test]
    fn entries_are_changed_and_taken_by_what_they_are() {
        let map = PendingMap::default();
        for id in 1..=3 {
            assert!(map.insert(id, 10 * id, 10));
        }
        map.update(&2, |value| *value += 1);
        map.update(&4, |_| unreachable!("there is none"));
        assert_eq!(map.take_if(|_, value| value % 10 == 1), [21]);
        let mut others: Vec<_> = map.take_all().collect();
        others.sort_unstable();
        assert_eq!(others, [10, 30]);
        assert!(map.is_empty());
        assert!(map.insert(1, 1, 10));
        assert_eq!(map.take_if(|&id, _| id == 1), [1]);
        assert!(map.is_empty());
    }
}
