//! After a failed sync the system drops what it could not write, and goes on to show it. A store that is started again reads
//! its last frame, though nothing of it is on the disk, and a sync finds nothing to do: the frame was lost at the next
//! power cut, while the frame after it stayed, so that the log looked corrupt and did not open any more. The simulation
//! found this; now such a frame is written once more when the log is opened.

use std::sync::Arc;

use item::SequenceNumber;
use sim::{
    disk::{SimDisk, Trouble},
    random::Random,
};
use store::{
    Durability, Error,
    env::DirectoryId,
    log::{Body, Draft, FrameNumber, LocalLog, Log, LogConfig, Preparation},
};

fn open(disk: &SimDisk) -> Result<LocalLog, Error> {
    let config = LogConfig {
        directory: DirectoryId(1),
        shards: 1,
        segment_bytes: 64 << 10,
        durability: Durability::Fsync,
        recent_bytes_max: 0,
        preparation: Preparation::Inline,
    };
    LocalLog::open(Arc::new(disk.clone()), config, FrameNumber(0))
}

#[test]
fn a_frame_that_is_shown_after_a_failed_sync_stays() {
    for seed in 0..100 {
        let disk = SimDisk::new(Random::new(seed));
        let log = open(&disk).unwrap();
        let draft = Draft { committed_at_us: 1, first_sequences: vec![SequenceNumber(1)], body: Body::default() };
        log.append(draft.clone()).unwrap();
        disk.trouble(Trouble { syncs: 1000, ..Trouble::default() });
        assert!(matches!(log.append(draft.clone()), Err(Error::Poisoned { .. })));
        assert!(matches!(log.append(draft), Err(Error::Poisoned { .. })), "no sync is tried again");
        disk.kill();

        let shown = open(&disk).unwrap().read(FrameNumber::FIRST, 1 << 20).unwrap();
        disk.cut_power();
        let kept = open(&disk).unwrap().read(FrameNumber::FIRST, 1 << 20).unwrap();
        assert_eq!(kept[..shown.len()], shown[..], "seed {seed}");
    }
}
