//! How buffers grow while a message arrives.

/// Returns by how much a buffer grows to take `additional` bytes: it doubles, but never beyond `bound`.
pub(crate) fn growth(len: usize, capacity: usize, additional: usize, bound: usize) -> usize {
    let needed = len + additional;
    if needed <= capacity {
        0
    } else {
        needed.max(bound.min(capacity.saturating_mul(2))) - len
    }
}
