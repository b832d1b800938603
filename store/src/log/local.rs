//! Frames in segment files on one disk.
