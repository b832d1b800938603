//! The newest frames, kept in memory so that followers of the tail need no disk.

use std::{collections::VecDeque, sync::Arc};

use super::{Frame, FrameNumber};

/// The newest frames, without gaps, in bounded bytes.
#[derive(Debug)]
pub(crate) struct Recent {
    frames: VecDeque<Arc<Frame>>,
    bytes: u64,
    bytes_max: u64,
}

impl Recent {
    pub(crate) fn new(bytes_max: usize) -> Recent {
        Recent { frames: VecDeque::new(), bytes: 0, bytes_max: bytes_max as u64 }
    }

    /// Adds the next frame; the oldest go.
    pub(crate) fn push(&mut self, frame: Arc<Frame>) {
        self.bytes += frame.bytes();
        self.frames.push_back(frame);
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.frames.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
        metrics::gauge!("thalweg_memory_recent_frames_bytes").set(self.bytes as f64);
    }

    /// Frames from `from` on that fit `bytes_max`, at least one if `at_least_one`; none if `from` is not here.
    pub(crate) fn read(&self, from: FrameNumber, bytes_max: u64, at_least_one: bool) -> Option<Vec<Arc<Frame>>> {
        let first = self.frames.front()?.number;
        let at = usize::try_from(from.0.checked_sub(first.0)?).ok().filter(|at| *at < self.frames.len())?;
        let mut bytes = 0;
        let mut frames = Vec::new();
        for frame in self.frames.range(at..) {
            bytes += frame.bytes();
            if bytes > bytes_max && !(frames.is_empty() && at_least_one) {
                break;
            }
            frames.push(Arc::clone(frame));
        }
        Some(frames)
    }
}
