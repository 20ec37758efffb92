//! Many short texts side by side in blocks, of which the oldest are dropped first.

use std::collections::VecDeque;

/// The size of a block. A longer text has one of its own.
const BLOCK_BYTES: usize = 64 * 1024;

/// Where a text is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    block: u64,
    start: u32,
    end: u32,
}

/// Texts, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    blocks: VecDeque<Vec<u8>>,
    /// The number of the first block.
    first: u64,
}

impl Texts {
    #[inline]
    pub(crate) fn push(&mut self, text: &[u8]) -> Place {
        let fits = |block: &Vec<u8>| block.capacity() - block.len() >= text.len();
        if !self.blocks.back().is_some_and(fits) {
            self.add_block(text.len());
        }
        let (mut start, mut end) = (0, 0);
        if let Some(block) = self.blocks.back_mut() {
            start = block.len();
            block.extend_from_slice(text);
            end = block.len();
        }
        // A block is 64 KiB, or one text, which is much smaller than 4 GiB.
        let narrow = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Place {
            block: self.first + self.blocks.len() as u64 - 1,
            start: narrow(start),
            end: narrow(end),
        }
    }

    #[cold]
    fn add_block(&mut self, bytes: usize) {
        let block = Vec::with_capacity(bytes.max(BLOCK_BYTES));
        self.blocks.push_back(block);
    }

    /// Returns a text that has not been dropped.
    pub(crate) fn get(&self, place: Place) -> &[u8] {
        let index = usize::try_from(place.block - self.first).unwrap_or(usize::MAX);
        let block = self.blocks.get(index);
        block
            .and_then(|block| block.get(place.start as usize..place.end as usize))
            .unwrap_or_default()
    }

    /// Drops the blocks before the one in which a text is.
    pub(crate) fn drop_before(&mut self, place: Place) {
        while self.first < place.block && self.blocks.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Drops all blocks.
    pub(crate) fn clear(&mut self) {
        self.first += self.blocks.len() as u64;
        self.blocks = VecDeque::new();
    }

    /// Returns the number of blocks.
    #[cfg(test)]
    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len()
    }
}
