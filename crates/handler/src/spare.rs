//! Memory of handlers that have ended, kept for the next call: a handler that does not wait costs no allocation.
//!
//! Each thread keeps one place for each of the few kinds of futures that it has polled last.

use std::{any::Any, cell::RefCell, pin::Pin};

/// Kinds of futures that a thread keeps a place for.
const MAX_KINDS: usize = 8;
/// Futures that are larger are not kept.
const MAX_BYTES: usize = 2048;

/// A future's place on the heap. Empty when the future has ended.
pub(crate) type Place<F> = Pin<Box<Option<F>>>;

struct Kept<F>(Option<Place<F>>);

thread_local! {
    static KEPT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

fn with_kept<F: 'static, R>(f: impl FnOnce(&mut Kept<F>) -> R) -> Option<R> {
    // Fails when the thread ends.
    KEPT.try_with(|kept| {
        let mut kept = kept.try_borrow_mut().ok()?;
        let index = kept.iter().position(|kept| kept.is::<Kept<F>>());
        let index = index.unwrap_or_else(|| {
            kept.truncate(MAX_KINDS - 1);
            kept.insert(0, Box::new(Kept::<F>(None)));
            0
        });
        if index > 0 {
            // Frequent kinds come to the front.
            kept.swap(index, index - 1);
        }
        Some(f(kept.get_mut(index.saturating_sub(1))?.downcast_mut()?))
    })
    .ok()
    .flatten()
}

/// A place with this future in it.
#[inline]
pub(crate) fn place<F: 'static>(future: F) -> Place<F> {
    if size_of::<F>() <= MAX_BYTES
        && let Some(mut place) = with_kept::<F, _>(|kept| kept.0.take()).flatten()
    {
        place.set(Some(future));
        return place;
    }
    Box::pin(Some(future))
}

/// Takes a place back whose future has ended.
#[inline]
pub(crate) fn keep<F: 'static>(mut place: Place<F>) {
    if size_of::<F>() <= MAX_BYTES {
        place.set(None);
        with_kept::<F, _>(|kept| kept.0 = Some(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_by_futures_of_its_kind_alone() {
        let first = place(async { 1 });
        let second = |n: u64| place(async move { n });
        let kept = second(2);
        let address = std::ptr::from_ref(&*kept).addr();
        keep(first);
        keep(kept);
        let again = second(3);
        assert_eq!(std::ptr::from_ref(&*again).addr(), address);
        assert_ne!(std::ptr::from_ref(&*second(4)).addr(), address);
    }

    #[test]
    fn what_a_future_holds_is_dropped_when_its_place_is_kept() {
        let held = std::sync::Arc::new(());
        let copy = std::sync::Arc::clone(&held);
        keep(place(async move { drop(copy) }));
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
    }
}
