//! Archives under round trips, damage and noise.

use std::{fs, os::unix::fs::FileExt};

use proptest::prelude::*;

use super::*;
use crate::{
    Durability,
    env::{DirectoryId, OsDisk},
    log::{
        Draft,
        body::Digested,
        conformance::Author,
        frame::{Header, frame_bytes, header_bytes},
    },
};

const DIRECTORY: DirectoryId = DirectoryId(5);

/// A segment with these frames, and its index.
fn segment(disk: &dyn Disk, id: u64, drafts: &[Draft]) -> (Segment, Index) {
    disk.create_dir(DIR).unwrap();
    let codec = Codec::new(DIRECTORY);
    let bytes: u64 = drafts.iter().map(|draft| frame_bytes(draft.first_sequences.len(), draft.body.len())).sum();
    let segment = Segment::create(disk, id, bytes + 8192, Durability::Fsync);
    let segment = segment.unwrap_or_else(|_| panic!("a segment can be made"));
    let mut index = Index::new(FrameNumber(100));
    let mut checksum = 0;
    for draft in drafts {
        let header = Header {
            number: index.next(),
            epoch: 1,
            segment: id,
            offset: index.end(),
            previous_checksum: checksum,
            committed_at_us: draft.committed_at_us,
            durable_to: FrameNumber(1),
            append_id: 0,
            first_sequences: draft.first_sequences.clone(),
        };
        let body_bytes = draft.body.len();
        let bytes = frame_bytes(draft.first_sequences.len(), body_bytes);
        draft.body.clone().as_frame(header_bytes(draft.first_sequences.len()), |frame| {
            checksum = codec.encode(&header, body_bytes, Digested::default(), frame);
            segment.write(index.end(), frame).unwrap();
        });
        index.push_row(draft.committed_at_us, draft.first_sequences.clone(), bytes);
    }
    (segment, index)
}

fn archive(disk: &dyn Disk, segment: &Segment, index: &Index) -> Archive {
    let codec = Codec::new(DIRECTORY);
    let bytes = write(disk, codec, segment, index).unwrap_or_else(|_| panic!("a segment can be archived"));
    let archive = Archive::open(disk, codec, segment.id).unwrap().unwrap();
    assert_eq!(archive.bytes, bytes);
    archive
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_extent_reads_as_in_the_segment(
        sizes in proptest::collection::vec((0..4u64, 0..3u64, 1..90_000usize), 1..40),
        reads in proptest::collection::vec((0..40u64, 0..600_000u64), 1..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::open(dir.path()).unwrap();
        let codec = Codec::new(DIRECTORY);
        let mut author = Author::new();
        let drafts: Vec<Draft> = sizes.iter().map(|(a, b, bytes)| author.draft([*a, *b, 0], *bytes)).collect();
        let (segment, index) = segment(&disk, 3, &drafts);
        let archive = archive(&disk, &segment, &index);
        prop_assert!(archive.bytes < segment.bytes().unwrap());
        prop_assert!(archive.index.rows().eq(index.rows()));
        prop_assert_eq!((archive.index.first(), archive.index.next()), (index.first(), index.next()));
        for (from, bytes_max) in reads {
            if let Some(extent) = index.extent(FrameNumber(100 + from), bytes_max, true) {
                let expected = segment.read_frames(codec, extent.offset, extent.bytes).unwrap();
                prop_assert_eq!(archive.read_frames(codec, extent).unwrap(), expected);
            }
        }
    }

    #[test]
    fn noise_is_refused(noise in proptest::collection::vec(any::<u8>(), 0..300), claim in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::open(dir.path()).unwrap();
        disk.create_dir(DIR).unwrap();
        let mut noise = noise;
        if claim {
            noise.extend(encode_trailer(Codec::new(DIRECTORY), &noise.clone(), 1000));
        }
        fs::write(dir.path().join(path(1)), &noise).unwrap();
        let refused = matches!(Archive::open(&disk, Codec::new(DIRECTORY), 1), Err(Error::Corrupt { .. }));
        prop_assert!(refused);
    }
}

#[test]
fn any_damage_is_found_at_open_or_at_reading() {
    let dir = tempfile::tempdir().unwrap();
    let disk = OsDisk::open(dir.path()).unwrap();
    let codec = Codec::new(DIRECTORY);
    let mut author = Author::new();
    let drafts: Vec<Draft> = (0..5).map(|at| author.draft([1, 0, at], 3000)).collect();
    let (segment, index) = segment(&disk, 3, &drafts);
    let whole = index.extent(index.first(), u64::MAX, true).unwrap();
    let sound = archive(&disk, &segment, &index);
    let expected = sound.read_frames(codec, whole).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(dir.path().join(path(3))).unwrap();
    let content = fs::read(dir.path().join(path(3))).unwrap();
    for (at, byte) in content.iter().enumerate() {
        file.write_all_at(&[byte ^ 1], at as u64).unwrap();
        let read = Archive::open(&disk, codec, 3).and_then(|archive| archive.unwrap().read_frames(codec, whole));
        // The packer's own frame has bits that mean nothing: then the frames are as they were.
        assert!(read.as_ref().map_or_else(|error| matches!(error, Error::Corrupt { .. }), |read| *read == expected));
        file.write_all_at(&[*byte], at as u64).unwrap();
    }
    assert!(matches!(Archive::open(&disk, Codec::new(DirectoryId(6)), 3), Err(Error::Corrupt { .. })));
    fs::rename(dir.path().join(path(3)), dir.path().join(path(4))).unwrap();
    assert!(matches!(Archive::open(&disk, codec, 4), Err(Error::Corrupt { .. })));
    assert!(Archive::open(&disk, codec, 3).unwrap().is_none());
}

#[test]
fn frames_of_other_tables_and_shards_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let disk = OsDisk::open(dir.path()).unwrap();
    let mut author = Author::new();
    // One chunk each; shard 1 has an event in frame 103 only.
    let drafts: Vec<Draft> = (0..6).map(|at| author.draft([1, u64::from(at == 3), 0], CHUNK_BYTES as usize)).collect();
    let (segment, index) = segment(&disk, 3, &drafts);
    let archive = archive(&disk, &segment, &index);
    let next = |table, shard, from| archive.next_with(TableId(table), ShardId(shard), FrameNumber(from)).0;
    assert_eq!((next(1000, 0, 100), next(1000, 0, 104)), (100, 104));
    assert_eq!((next(1000, 1, 100), next(1000, 1, 103), next(1000, 1, 104)), (103, 103, 106));
    assert_eq!((next(1000, 2, 100), next(1001, 0, 100)), (106, 106));
}
