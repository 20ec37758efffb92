//! Memory of handlers that have ended, kept for the next call: a handler that does not wait costs no allocation.
//!
//! Each thread keeps one place for each of the few kinds of futures that it has polled last; the very last one is found
//! without a search.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    pin::Pin,
};

/// Kinds of futures that a thread keeps a place for, beside the last one.
const MAX_KINDS: usize = 7;
/// Places that are larger are not kept.
const MAX_BYTES: usize = 2048;

/// A future's place on the heap. Empty when the future has ended.
type Place<F> = Pin<Box<Option<F>>>;

/// A place while it is kept: one thing of whatever type.
struct Kept<F>(Place<F>);

thread_local! {
    static LAST: Cell<Option<Box<dyn Any>>> = const { Cell::new(None) };
    /// The newest one is in front.
    static SHELF: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// A place, and the future in it, if there is one.
pub(crate) struct Placed<F: 'static>(Box<Kept<F>>);

impl<F: 'static> Placed<F> {
    /// An empty place.
    #[inline]
    pub(crate) fn empty() -> Self {
        // Fails when the thread ends.
        let last = LAST.try_with(Cell::take).ok().flatten();
        let kept = match last {
            None => from_shelf(None),
            Some(last) => match last.downcast::<Kept<F>>() {
                Ok(kept) => Some(kept),
                Err(other) => from_shelf(Some(other)),
            },
        };
        Self(kept.unwrap_or_else(|| Box::new(Kept(Box::pin(None)))))
    }

    /// Where the future is, or is to be put.
    #[inline]
    pub(crate) fn future(&mut self) -> Pin<&mut Option<F>> {
        self.0.0.as_mut()
    }

    /// Drops the future, if there is one, and keeps the place for the next.
    #[inline]
    pub(crate) fn end(mut self) {
        self.0.0.set(None);
        if size_of::<F>() <= MAX_BYTES {
            // Fails when the thread ends.
            let _ = LAST.try_with(|last| last.set(Some(self.0)));
        }
    }

    /// The future in its place, for as long as it waits.
    pub(crate) fn into_place(self) -> Place<F> {
        self.0.0
    }
}

/// Puts the last place on the shelf, if there is one, and takes one for this kind of futures from there.
fn from_shelf<F: 'static>(last: Option<Box<dyn Any>>) -> Option<Box<Kept<F>>> {
    let found = SHELF.try_with(|shelf| {
        let mut shelf = shelf.try_borrow_mut().ok()?;
        let found = shelf.iter().position(|kept| kept.is::<Kept<F>>());
        let found = found.map(|index| shelf.remove(index));
        if let Some(last) = last {
            shelf.truncate(MAX_KINDS - 1);
            shelf.insert(0, last);
        }
        found?.downcast().ok()
    });
    found.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed<F>(future: F) -> Placed<F> {
        let mut placed = Placed::empty();
        placed.future().set(Some(future));
        placed
    }

    fn empty_for<F>(_: &impl Fn() -> F) -> Placed<F> {
        Placed::empty()
    }

    fn address<F>(placed: &mut Placed<F>) -> usize {
        std::ptr::from_ref(&*placed.future()).addr()
    }

    #[test]
    fn a_place_is_used_again_by_futures_of_its_kind_alone() {
        let first = |n: u8| placed(async move { n });
        let second = |n: u64| placed(async move { n });
        let run = || {
            let mut a = first(1);
            let places = address(&mut a);
            a.end();
            let mut b = second(2);
            let places = (places, address(&mut b));
            assert_ne!(address(&mut second(3)), places.1, "it is taken");
            b.end();
            places
        };
        let places = run();
        assert_eq!([run(), run()], [places; 2]);
    }

    #[test]
    fn a_place_is_found_after_a_future_of_another_kind_has_waited() {
        let waits = || placed(async { 1_u8 }).into_place();
        let ends = |n: u64| placed(async move { n });
        let mut first = ends(1);
        let place = address(&mut first);
        first.end();
        for _ in 0..3 {
            let waiting = waits();
            let mut again = ends(2);
            assert_eq!(address(&mut again), place);
            again.end();
            drop(waiting);
        }
    }

    #[test]
    fn a_place_that_was_not_used_is_kept() {
        let future = || async { 7_u16 };
        let mut first = placed(future());
        let place = address(&mut first);
        first.end();
        let mut empty = empty_for(&future);
        assert!(empty.future().is_none());
        empty.end();
        assert_eq!(address(&mut placed(future())), place);
    }

    #[test]
    fn what_a_future_holds_is_dropped_when_its_place_is_kept() {
        let held = std::sync::Arc::new(());
        let copy = std::sync::Arc::clone(&held);
        placed(async move { drop(copy) }).end();
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
    }

    #[test]
    fn only_a_few_kinds_are_kept() {
        macro_rules! kinds {
            ($($kind:literal)*) => { $( placed(async { $kind }).end(); )* };
        }
        kinds!(0 1 2 3 4 5 6 7 8 9);
        assert_eq!(SHELF.with_borrow(Vec::len), MAX_KINDS);
    }
}
