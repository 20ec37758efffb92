//! A pool of memory for the futures of handlers: a handler that finishes at its first poll costs no allocation.
//!
//! Each thread keeps one slot for each of the few types of futures that it has polled last; the very last one is found
//! without a search.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    pin::Pin,
};

/// The number of types for which a thread keeps a slot, in addition to the last one.
const MAX_SLOTS: usize = 7;
/// Larger slots are not kept.
const MAX_BYTES: usize = 2048;

/// The memory of a future on the heap. Empty when the future is finished.
type Slot<F> = Pin<Box<Option<F>>>;

/// A slot in the pool. It is a type of its own so that `Any` can tell slots apart.
struct Pooled<F>(Slot<F>);

thread_local! {
    static LAST: Cell<Option<Box<dyn Any>>> = const { Cell::new(None) };
    /// The newest slot is in front.
    static POOL: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// A slot taken from the pool, and the future in it, if there is one.
pub(crate) struct FutureSlot<F: 'static>(Box<Pooled<F>>);

impl<F: 'static> FutureSlot<F> {
    /// Takes an empty slot from the pool, or allocates one.
    #[inline]
    pub(crate) fn empty() -> Self {
        // Fails when the thread ends.
        let last = LAST.try_with(Cell::take).ok().flatten();
        let kept = match last {
            None => from_pool(None),
            Some(last) => match last.downcast::<Pooled<F>>() {
                Ok(kept) => Some(kept),
                Err(other) => from_pool(Some(other)),
            },
        };
        Self(kept.unwrap_or_else(|| Box::new(Pooled(Box::pin(None)))))
    }

    /// Returns the memory of the future: empty, or with the future.
    #[inline]
    pub(crate) fn future(&mut self) -> Pin<&mut Option<F>> {
        self.0.0.as_mut()
    }

    /// Drops the future, if there is one, and keeps the slot for the next call.
    #[inline]
    pub(crate) fn end(mut self) {
        self.0.0.set(None);
        if size_of::<F>() <= MAX_BYTES {
            // Fails when the thread ends.
            let _ = LAST.try_with(|last| last.set(Some(self.0)));
        }
    }

    /// Returns the future, which is not finished. Its slot does not return to the pool.
    pub(crate) fn into_future(self) -> Slot<F> {
        self.0.0
    }
}

/// Puts the last slot into the pool, if there is one, and takes one for this type of futures from it.
fn from_pool<F: 'static>(last: Option<Box<dyn Any>>) -> Option<Box<Pooled<F>>> {
    let found = POOL.try_with(|pool| {
        let mut pool = pool.try_borrow_mut().ok()?;
        let found = pool.iter().position(|kept| kept.is::<Pooled<F>>());
        let found = found.map(|index| pool.remove(index));
        if let Some(last) = last {
            pool.truncate(MAX_SLOTS - 1);
            pool.insert(0, last);
        }
        found?.downcast().ok()
    });
    found.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot<F>(future: F) -> FutureSlot<F> {
        let mut slot = FutureSlot::empty();
        slot.future().set(Some(future));
        slot
    }

    fn empty_for<F>(_: &impl Fn() -> F) -> FutureSlot<F> {
        FutureSlot::empty()
    }

    fn address<F>(slot: &mut FutureSlot<F>) -> usize {
        std::ptr::from_ref(&*slot.future()).addr()
    }

    #[test]
    fn a_slot_is_reused_only_by_futures_of_its_type() {
        let first = |n: u8| slot(async move { n });
        let second = |n: u64| slot(async move { n });
        let run = || {
            let mut a = first(1);
            let slots = address(&mut a);
            a.end();
            let mut b = second(2);
            let slots = (slots, address(&mut b));
            assert_ne!(address(&mut second(3)), slots.1, "it is taken");
            b.end();
            slots
        };
        let slots = run();
        assert_eq!([run(), run()], [slots; 2]);
    }

    #[test]
    fn a_slot_is_found_after_an_unfinished_future_of_another_type() {
        let waits = || slot(async { 1_u8 }).into_future();
        let ends = |n: u64| slot(async move { n });
        let mut first = ends(1);
        let slot_address = address(&mut first);
        first.end();
        for _ in 0..3 {
            let waiting = waits();
            let mut again = ends(2);
            assert_eq!(address(&mut again), slot_address);
            again.end();
            drop(waiting);
        }
    }

    #[test]
    fn an_unused_slot_is_kept() {
        let future = || async { 7_u16 };
        let mut first = slot(future());
        let slot_address = address(&mut first);
        first.end();
        let mut empty = empty_for(&future);
        assert!(empty.future().is_none());
        empty.end();
        assert_eq!(address(&mut slot(future())), slot_address);
    }

    #[test]
    fn the_future_is_dropped_when_its_slot_is_kept() {
        let held = std::sync::Arc::new(());
        let copy = std::sync::Arc::clone(&held);
        slot(async move { drop(copy) }).end();
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
    }

    #[test]
    fn only_a_few_slots_are_kept() {
        macro_rules! kinds {
            ($($kind:literal)*) => { $( slot(async { $kind }).end(); )* };
        }
        kinds!(0 1 2 3 4 5 6 7 8 9);
        assert_eq!(POOL.with_borrow(Vec::len), MAX_SLOTS);
    }
}
