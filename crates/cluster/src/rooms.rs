//! Which member is in which room.
//!
//! Members and rooms are integers internally; a name is looked up once per operation. Every member is also in its own
//! room, named after its id: that room exists as long as the member does, and is not stored.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use slab::Slab;

use crate::Target;

/// The index of a member in its [`Rooms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u32);

#[derive(Debug)]
struct Member<M> {
    id: Box<str>,
    value: M,
    memberships: Vec<Membership>,
}

/// That a member is in a room, with its position in the room's list, so that leaving a room takes the same time
/// whatever its size.
#[derive(Debug, Clone, Copy)]
struct Membership {
    room: u32,
    position: u32,
}

#[derive(Debug)]
struct Room {
    name: Box<str>,
    members: Vec<u32>,
}

/// Which member is in which room, with a value `M` for each member.
#[derive(Debug)]
pub struct Rooms<M> {
    members: Slab<Member<M>>,
    by_id: HashMap<Box<str>, u32, RandomState>,
    stored: Slab<Room>,
    by_name: HashMap<Box<str>, u32, RandomState>,
}

impl<M> Default for Rooms<M> {
    fn default() -> Self {
        Self {
            members: Slab::new(),
            by_id: HashMap::default(),
            stored: Slab::new(),
            by_name: HashMap::default(),
        }
    }
}

fn index(key: usize) -> u32 {
    u32::try_from(key).expect("fewer than 2^32 members and rooms fit in memory")
}

impl<M> Rooms<M> {
    /// Adds a member under its id. Replaces the member that has this id already.
    pub fn insert(&mut self, id: &str, value: M) -> Key {
        if let Some(&old) = self.by_id.get(id) {
            self.remove(Key(old));
        }
        let key = index(self.members.insert(Member {
            id: id.into(),
            value,
            memberships: Vec::new(),
        }));
        self.by_id.insert(id.into(), key);
        Key(key)
    }

    /// Removes a member from all its rooms.
    pub fn remove(&mut self, key: Key) -> Option<M> {
        self.leave_all(key);
        let member = self.members.try_remove(key.0 as usize)?;
        self.by_id.remove(&member.id);
        if self.members.is_empty() {
            self.free_memory();
        }
        Some(member.value)
    }

    /// Frees the memory that was needed for more members.
    fn free_memory(&mut self) {
        *self = Self::default();
    }

    /// Adds a member to a room. Returns `false` if it was in it already, or is not a member.
    pub fn join(&mut self, key: Key, room: &str) -> bool {
        let Some(member) = self.members.get_mut(key.0 as usize) else {
            return false;
        };
        let room = match self.by_name.get(room) {
            Some(&room) => room,
            None => {
                let id = index(self.stored.insert(Room {
                    name: room.into(),
                    members: Vec::new(),
                }));
                self.by_name.insert(room.into(), id);
                id
            }
        };
        if member
            .memberships
            .iter()
            .any(|membership| membership.room == room)
        {
            return false;
        }
        let members = &mut self.stored[room as usize].members;
        member.memberships.push(Membership {
            room,
            position: index(members.len()),
        });
        members.push(key.0);
        true
    }

    /// Removes a member from a room. Returns `false` if it was not in it.
    pub fn leave(&mut self, key: Key, room: &str) -> bool {
        let Some(&room) = self.by_name.get(room) else {
            return false;
        };
        let Some(member) = self.members.get_mut(key.0 as usize) else {
            return false;
        };
        let Some(at) = member
            .memberships
            .iter()
            .position(|membership| membership.room == room)
        else {
            return false;
        };
        let membership = member.memberships.remove(at);
        self.remove_from_room(membership);
        true
    }

    /// Removes a member from all rooms except its own.
    pub fn leave_all(&mut self, key: Key) {
        let Some(member) = self.members.get_mut(key.0 as usize) else {
            return;
        };
        for membership in std::mem::take(&mut member.memberships) {
            self.remove_from_room(membership);
        }
    }

    /// Removes a member from a room's list; the last member moves to its position. Removes an empty room.
    fn remove_from_room(&mut self, membership: Membership) {
        let room = &mut self.stored[membership.room as usize];
        room.members.swap_remove(membership.position as usize);
        if let Some(&moved) = room.members.get(membership.position as usize) {
            let memberships = &mut self.members[moved as usize].memberships;
            if let Some(other) = memberships
                .iter_mut()
                .find(|other| other.room == membership.room)
            {
                other.position = membership.position;
            }
        }
        if room.members.is_empty() {
            let room = self.stored.remove(membership.room as usize);
            self.by_name.remove(&room.name);
        }
    }

    /// Returns the member with this id.
    pub fn get(&self, id: &str) -> Option<&M> {
        self.by_id
            .get(id)
            .and_then(|&key| self.members.get(key as usize))
            .map(|member| &member.value)
    }

    /// Returns the key of the member with this id.
    pub fn key(&self, id: &str) -> Option<Key> {
        self.by_id.get(id).map(|&key| Key(key))
    }

    /// Returns the names of the rooms that a member has joined, in the order of joining, without its own.
    pub fn rooms_of(&self, key: Key) -> impl Iterator<Item = &str> {
        let memberships = self
            .members
            .get(key.0 as usize)
            .map_or(&[][..], |member| &member.memberships);
        memberships
            .iter()
            .map(|membership| &*self.stored[membership.room as usize].name)
    }

    /// Returns the number of rooms that a member has joined.
    pub fn room_count_of(&self, key: Key) -> usize {
        self.members
            .get(key.0 as usize)
            .map_or(0, |member| member.memberships.len())
    }

    /// Returns whether a member is in a room.
    pub fn is_in(&self, key: Key, room: &str) -> bool {
        let Some(member) = self.members.get(key.0 as usize) else {
            return false;
        };
        *member.id == *room
            || self.by_name.get(room).is_some_and(|&room| {
                member
                    .memberships
                    .iter()
                    .any(|membership| membership.room == room)
            })
    }

    /// Returns the names of all rooms, without the members' own, and how many are in each.
    pub fn rooms(&self) -> impl Iterator<Item = (&str, usize)> {
        self.stored
            .iter()
            .map(|(_, room)| (&*room.name, room.members.len()))
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Calls `f` for every selected member, each once.
    pub fn for_each(&self, target: &Target, mut f: impl FnMut(&M)) {
        let mut excluded: Vec<u32> = target
            .except
            .iter()
            .flat_map(|room| self.members_of(room))
            .collect();
        excluded.sort_unstable();
        let is_in = |key: u32| excluded.is_empty() || excluded.binary_search(&key).is_err();
        match target.rooms.as_slice() {
            [] => {
                for (key, member) in &self.members {
                    if is_in(index(key)) {
                        f(&member.value);
                    }
                }
            }
            [room] => {
                for key in self.members_of(room).filter(|&key| is_in(key)) {
                    f(&self.members[key as usize].value);
                }
            }
            rooms => {
                let mut selected: Vec<u32> = rooms
                    .iter()
                    .flat_map(|room| self.members_of(room))
                    .collect();
                selected.sort_unstable();
                selected.dedup();
                for key in selected.into_iter().filter(|&key| is_in(key)) {
                    f(&self.members[key as usize].value);
                }
            }
        }
    }

    /// Returns the members of a room, including the member whose own room it is.
    fn members_of(&self, room: &str) -> impl Iterator<Item = u32> {
        let stored = self
            .by_name
            .get(room)
            .map_or(&[][..], |&room| &self.stored[room as usize].members);
        let own = self
            .by_id
            .get(room)
            .copied()
            .filter(|own| !stored.contains(own));
        stored.iter().copied().chain(own)
    }
}
