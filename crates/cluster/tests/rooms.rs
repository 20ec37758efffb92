//! Rooms against a naive model, and the rules of selection one by one.

use std::collections::{BTreeMap, BTreeSet};

use kokanee_cluster::{Rooms, Target};
use proptest::prelude::*;

fn selected(rooms: &Rooms<u8>, in_rooms: &[&str], except: &[&str]) -> Vec<u8> {
    let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let mut members = Vec::new();
    rooms.for_each(
        &Target {
            rooms: own(in_rooms),
            except: own(except),
        },
        |&member| members.push(member),
    );
    members.sort_unstable();
    members
}

fn three() -> (Rooms<u8>, [kokanee_cluster::Key; 3]) {
    let mut rooms = Rooms::default();
    let keys = [
        rooms.insert("a", 1),
        rooms.insert("b", 2),
        rooms.insert("c", 3),
    ];
    (rooms, keys)
}

#[test]
fn no_room_means_everybody() {
    let (rooms, _) = three();
    assert_eq!(selected(&rooms, &[], &[]), [1, 2, 3]);
}

#[test]
fn a_member_in_two_of_the_rooms_is_selected_once() {
    let (mut rooms, [a, b, _]) = three();
    rooms.join(a, "red");
    rooms.join(a, "blue");
    rooms.join(b, "blue");
    assert_eq!(selected(&rooms, &["red", "blue"], &[]), [1, 2]);
}

#[test]
fn every_member_is_in_the_room_of_its_id() {
    let (rooms, [a, ..]) = three();
    assert_eq!(selected(&rooms, &["b"], &[]), [2]);
    assert_eq!(selected(&rooms, &[], &["b"]), [1, 3]);
    assert!(rooms.is_in(a, "a"));
    assert_eq!(rooms.rooms_of(a).count(), 0);
}

#[test]
fn except_wins_over_rooms() {
    let (mut rooms, [a, b, c]) = three();
    for key in [a, b, c] {
        rooms.join(key, "all");
    }
    rooms.join(c, "muted");
    assert_eq!(selected(&rooms, &["all"], &["muted", "a"]), [2]);
}

#[test]
fn joining_twice_and_leaving_an_unjoined_room_change_nothing() {
    let (mut rooms, [a, ..]) = three();
    assert!(rooms.join(a, "red"));
    assert!(!rooms.join(a, "red"));
    assert!(!rooms.leave(a, "blue"));
    assert_eq!(rooms.rooms_of(a).collect::<Vec<_>>(), ["red"]);
}

#[test]
fn an_empty_room_is_gone() {
    let (mut rooms, [a, ..]) = three();
    rooms.join(a, "red");
    rooms.leave(a, "red");
    assert_eq!(rooms.rooms().count(), 0);
}

#[test]
fn a_removed_member_is_in_no_room() {
    let (mut rooms, [a, b, _]) = three();
    rooms.join(a, "red");
    rooms.join(b, "red");
    assert_eq!(rooms.remove(a), Some(1));
    assert_eq!(rooms.remove(a), None);
    assert_eq!(selected(&rooms, &["red"], &[]), [2]);
    assert_eq!(rooms.get("a"), None);
    assert!(!rooms.join(a, "red"));
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8),
    Remove(u8),
    Join(u8, u8),
    Leave(u8, u8),
    LeaveAll(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..12u8).prop_map(Step::Insert),
        (0..12u8).prop_map(Step::Remove),
        (0..12u8, 0..5u8).prop_map(|(member, room)| Step::Join(member, room)),
        (0..12u8, 0..5u8).prop_map(|(member, room)| Step::Leave(member, room)),
        (0..12u8).prop_map(Step::LeaveAll),
    ]
}

proptest! {
    #[test]
    fn rooms_agree_with_a_naive_model(steps in prop::collection::vec(step(), 0..200)) {
        let mut rooms = Rooms::default();
        let mut keys = BTreeMap::new();
        let mut model: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(m) => {
                    keys.insert(m, rooms.insert(&format!("id{m}"), m));
                    model.insert(m, BTreeSet::new());
                }
                Step::Remove(m) => {
                    let expected = model.remove(&m).map(|_| m);
                    let removed = keys.remove(&m).and_then(|key| rooms.remove(key));
                    prop_assert_eq!(removed, expected);
                }
                Step::Join(m, r) => {
                    let expected = model.get_mut(&m).is_some_and(|joined| joined.insert(r));
                    let joined = keys.get(&m).is_some_and(|&key| rooms.join(key, &format!("room{r}")));
                    prop_assert_eq!(joined, expected);
                }
                Step::Leave(m, r) => {
                    let expected = model.get_mut(&m).is_some_and(|joined| joined.remove(&r));
                    let left = keys.get(&m).is_some_and(|&key| rooms.leave(key, &format!("room{r}")));
                    prop_assert_eq!(left, expected);
                }
                Step::LeaveAll(m) => {
                    if let Some(joined) = model.get_mut(&m) {
                        joined.clear();
                    }
                    if let Some(&key) = keys.get(&m) {
                        rooms.leave_all(key);
                    }
                }
            }
        }
        for r in 0..5 {
            let expected: Vec<u8> = model.iter().filter(|(_, joined)| joined.contains(&r)).map(|(&m, _)| m).collect();
            prop_assert_eq!(selected(&rooms, &[&format!("room{r}")], &[]), expected);
            let others: Vec<u8> = model.iter().filter(|(_, joined)| !joined.contains(&r)).map(|(&m, _)| m).collect();
            prop_assert_eq!(selected(&rooms, &[], &[&format!("room{r}")]), others);
        }
    }
}
