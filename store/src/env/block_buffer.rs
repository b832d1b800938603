//! Memory that a disk can be handed without a copy.

/// What files opened by [`Disk::open_for_blocks`](super::Disk::open_for_blocks) are written in: offsets, lengths and
/// addresses of memory are multiples of it.
pub const BLOCK_BYTES: u64 = 4096;

/// Bytes that begin at an address that is a multiple of [`BLOCK_BYTES`].
#[derive(Debug, Default)]
pub struct BlockBuffer {
    memory: Vec<u8>,
    start: usize,
    bytes: usize,
}

impl BlockBuffer {
    /// `bytes` bytes, of whatever content. Keeps its memory for the next time, but not much more than was asked for.
    pub fn reset(&mut self, bytes: usize) -> &mut [u8] {
        let needed = bytes + BLOCK_BYTES as usize;
        if self.memory.len() < needed || self.memory.len() / 4 > needed.max(KEPT_BYTES) {
            self.memory = vec![0; needed.next_power_of_two()];
            self.start = self.memory.as_ptr().align_offset(BLOCK_BYTES as usize);
        }
        self.bytes = bytes;
        &mut self.memory[self.start..self.start + bytes]
    }

    /// The bytes of the last [`BlockBuffer::reset`].
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.bytes]
    }
}

/// Memory up to this is never given back.
const KEPT_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_block_whatever_its_size() {
        let mut buffer = BlockBuffer::default();
        for bytes in [1, 4096, 100_000, 64 << 20, 0, 5000] {
            let filled = buffer.reset(bytes);
            filled.fill(7);
            assert_eq!(filled.len(), bytes);
            assert_eq!(filled.as_ptr().align_offset(BLOCK_BYTES as usize), 0);
            assert_eq!(buffer.bytes(), vec![7; bytes]);
        }
        assert!(buffer.memory.len() <= 8 << 20, "a large batch is not remembered");
    }
}
