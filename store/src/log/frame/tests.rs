//! The codec under round trips, flipped bits and noise.

use proptest::prelude::*;

use super::*;

const CODEC_OF: DirectoryId = DirectoryId(0x1234_5678_9abc_def0);

fn headers() -> impl Strategy<Value = Header> {
    let sequences = proptest::collection::vec(any::<u64>().prop_map(SequenceNumber), 0..=SHARDS_MAX);
    (any::<[u64; 7]>(), any::<u32>(), sequences).prop_map(|(numbers, previous_checksum, first_sequences)| {
        let [number, epoch, segment, offset, committed_at_us, durable_to, append_id] = numbers;
        Header {
            number: FrameNumber(number),
            epoch,
            segment,
            offset,
            previous_checksum,
            committed_at_us,
            durable_to: FrameNumber(durable_to),
            append_id,
            first_sequences,
        }
    })
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..9000)
}

fn encode(codec: Codec, header: &Header, body: &[u8]) -> (u32, Vec<u8>) {
    // Memory is used again: what was in the header's room must not show.
    let mut bytes = vec![9; header_bytes(header.first_sequences.len())];
    bytes.extend_from_slice(body);
    bytes.resize(frame_bytes(header.first_sequences.len(), body.len()) as usize, 0);
    (codec.encode(header, body.len(), Digested::default(), &mut bytes), bytes)
}

fn decode(codec: Codec, bytes: &[u8], segment: u64, offset: u64) -> Result<(Header, u32, Frame), BadFrame> {
    let found = codec.decode_header(bytes, segment, offset)?;
    let (header, checksum) = (found.header.clone(), found.checksum);
    let frame = codec.decode_frame(found, &Bytes::copy_from_slice(bytes))?;
    Ok((header, checksum, frame))
}

proptest! {
    #[test]
    fn a_frame_reads_back_as_it_was_written(header in headers(), body in bodies()) {
        let codec = Codec::new(CODEC_OF);
        let (checksum, bytes) = encode(codec, &header, &body);
        prop_assert_eq!(bytes.len() as u64 % BLOCK_BYTES, 0);
        let (read, read_checksum, frame) = decode(codec, &bytes, header.segment, header.offset).unwrap();
        prop_assert_eq!(&read, &header);
        prop_assert_eq!(read_checksum, checksum);
        prop_assert_eq!(frame.bytes(), bytes.len() as u64);
        prop_assert_eq!(&frame.body[..], &body[..]);
        prop_assert_eq!(frame.first_sequences, header.first_sequences);
    }

    #[test]
    fn any_flipped_bit_is_detected(header in headers(), body in bodies(), at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let codec = Codec::new(CODEC_OF);
        let (_, mut bytes) = encode(codec, &header, &body);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(codec, &bytes, header.segment, header.offset).is_err());
    }

    #[test]
    fn a_frame_of_another_place_or_directory_is_refused(header in headers(), other in any::<u128>()) {
        let codec = Codec::new(CODEC_OF);
        let (_, bytes) = encode(codec, &header, b"body");
        prop_assert!(decode(codec, &bytes, header.segment, header.offset.wrapping_add(BLOCK_BYTES)).is_err());
        prop_assert!(decode(codec, &bytes, header.segment.wrapping_add(1), header.offset).is_err());
        prop_assume!(other != CODEC_OF.0);
        prop_assert!(decode(Codec::new(DirectoryId(other)), &bytes, header.segment, header.offset).is_err());
    }

    #[test]
    fn noise_is_refused(mut noise in proptest::collection::vec(any::<u8>(), 0..5000), claim in any::<bool>(), shards in 0..70u16) {
        if claim && noise.len() >= 8 {
            noise[..4].copy_from_slice(&MAGIC);
            noise[4..6].copy_from_slice(&VERSION.to_le_bytes());
            noise[6..8].copy_from_slice(&shards.to_le_bytes());
        }
        prop_assert!(decode(Codec::new(CODEC_OF), &noise, 1, 0).is_err());
    }
}

#[test]
fn every_bit_of_one_frame_counts() {
    let codec = Codec::new(CODEC_OF);
    let header = Header {
        number: FrameNumber(7),
        epoch: 2,
        segment: 1,
        offset: 8192,
        previous_checksum: 99,
        committed_at_us: 1_700_000_000_000_000,
        durable_to: FrameNumber(6),
        append_id: 3,
        first_sequences: vec![SequenceNumber(1); 4],
    };
    let (_, mut bytes) = encode(codec, &header, b"events");
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(codec, &bytes, 1, 8192).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    decode(codec, &bytes, 1, 8192).unwrap();
}
