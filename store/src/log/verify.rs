//! Reading a whole log to check it, without opening it: nothing is written.

use std::sync::Arc;

use item::SequenceNumber;

use super::{Frame, FrameNumber, frame::Codec, recover::recover, segment};
use crate::{
    Error,
    env::{Disk, read_format},
};

/// What a sound log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogReport {
    /// Segments, archived ones too.
    pub segments: u64,
    /// Frames kept.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// The first unwritten frame.
    pub tail: FrameNumber,
}

/// Checks every kept frame: checksums, order, and that events count up without gaps, past `flushed`, whose last events
/// are `flushed_sequences`. The first failure is told, with its place.
pub fn verify(disk: &dyn Disk, flushed: FrameNumber, flushed_sequences: &[SequenceNumber]) -> Result<LogReport, Error> {
    let Some(directory) = read_format(disk)? else { return Ok(LogReport::default()) };
    let mut report = LogReport::default();
    let mut before: Option<Arc<Frame>> = None;
    let recovered = recover(disk, Codec::new(directory), None, &mut |frame| {
        report.events += check_sequences(before.as_deref(), &frame)?;
        if frame.number == flushed.next() && !follows(flushed_sequences, &frame) {
            return Err(format!("frame {} does not follow what is flushed", frame.number.0));
        }
        report.frames += 1;
        before = Some(frame);
        Ok(())
    })?;
    report.segments = (recovered.sealed.len() + usize::from(recovered.active.is_some())) as u64;
    report.tail = before.map_or(FrameNumber::default(), |last| last.number.next());
    if report.tail <= flushed {
        lost(flushed)?;
    }
    Ok(report)
}

fn lost(flushed: FrameNumber) -> Result<(), Error> {
    if flushed == FrameNumber(0) {
        return Ok(());
    }
    let what = format!("the log ends before frame {}, which the manifest says was flushed", flushed.0);
    Err(Error::Corrupt { path: segment::DIR.to_owned(), offset: 0, what })
}

/// How many events there are in `frame`, which must begin where the frame before ended.
fn check_sequences(before: Option<&Frame>, frame: &Frame) -> Result<u64, String> {
    let next = frame.next_sequences().map_err(|error| format!("frame {}: {error}", frame.number.0))?;
    if let Some(before) = before {
        let expected = before.next_sequences().map_err(|error| format!("frame {}: {error}", before.number.0))?;
        if expected != frame.first_sequences {
            return Err(format!("the events of frame {} do not follow those before it", frame.number.0));
        }
    }
    Ok(next.iter().zip(&frame.first_sequences).map(|(next, first)| next.0 - first.0).sum())
}

fn follows(flushed: &[SequenceNumber], frame: &Frame) -> bool {
    let first = frame.first_sequences.iter().map(|first| first.0);
    flushed.len() == frame.first_sequences.len() && flushed.iter().zip(first).all(|(last, first)| last.0 + 1 == first)
}
