use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::{Item, Value, arbitrary};

fn body(events: &[Event]) -> Bytes {
    let mut out = Vec::new();
    events.iter().for_each(|event| event.encode(&mut out));
    Bytes::from(out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn events_come_back(events in vec(arbitrary::events(), 0..5)) {
        let body = body(&events);
        prop_assert_eq!(Event::decode_all(&body).unwrap(), events.clone());

        let mut offset = 0;
        for event in events {
            prop_assert_eq!(Event::decode(&body, &mut offset).unwrap(), event);
        }
        prop_assert_eq!(offset, body.len());
    }

    #[test]
    fn a_body_cut_short_is_refused_where_it_ends(event in arbitrary::events(), cut: prop::sample::Index) {
        let whole = body(&[event]);
        let cut = cut.index(whole.len() - 1) + 1;
        let error = Event::decode_all(&whole.slice(..cut)).unwrap_err();
        prop_assert!(error.offset <= cut);
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_to_what_encodes_to_them(bytes in prop_oneof![vec(0u8..16, 0..64), any::<Vec<u8>>()]) {
        let bytes = Bytes::from(bytes);
        if let Ok(events) = Event::decode_all(&bytes) {
            prop_assert_eq!(body(&events), bytes);
        }
    }

    #[test]
    fn damage_is_refused_or_decodes_to_what_encodes_to_it(
        event in arbitrary::events(), at: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = body(&[event]).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let bytes = Bytes::from(bytes);
        match Event::decode_all(&bytes) {
            Ok(events) => prop_assert_eq!(body(&events), bytes),
            Err(error) => prop_assert!(error.offset <= bytes.len()),
        }
    }
}

fn put() -> Event {
    let item = Item::from([("id", Value::from("d"))]);
    Event {
        shard: ShardId(3),
        sequence: SequenceNumber(300),
        actor: Actor::Import,
        table: TableId(1000),
        schema_version: 1,
        change: Change::Put {
            key: Key { partition: Bytes::from_static(b"\x01d\x00\x01"), sort: Bytes::new() },
            new: Image::encode(&item),
            old: Old::Absent,
        },
    }
}

#[test]
fn layouts_are_as_drawn() {
    let expected = [
        &[PUT_ABSENT + 16 * 2, 3, 0xac, 0x02, 0xe8, 0x07, 1][..],
        &[4, 0x01, b'd', 0x00, 0x01, 0],
        &[7, 1, 2, b'i', b'd', 3, 1, b'd'],
    ];
    assert_eq!(body(&[put()]), expected.concat());
}

#[test]
fn keys_and_images_share_the_body() {
    let body = body(&[put(), put()]);
    let within = |part: &Bytes| body.as_ptr_range().contains(&part.as_ptr());
    for event in Event::decode_all(&body).unwrap() {
        let Change::Put { key, new, .. } = event.change else { panic!("not a put") };
        assert!(within(&key.partition) && within(new.bytes()));
    }
}

#[test]
fn errors_name_the_offset_in_the_body() {
    let mut out = body(&[put()]).to_vec();
    let second = out.len();
    out.push(0x4f);
    assert_eq!(Event::decode_all(&Bytes::from(out.clone())), Err(CodecError { offset: second, what: "a known actor" }));
    out[second] = 0x0f;
    out.extend([0, 0, 0, 0]);
    assert_eq!(Event::decode_all(&Bytes::from(out)), Err(CodecError { offset: second, what: "a known kind of event" }));
    assert!(Event::decode(&Bytes::new(), &mut 7).is_err());
}
