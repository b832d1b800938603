//! What the log and files hold: whatever decodes must encode to the same bytes, because equal items have equal images.

use bytes::Bytes;
use item::{Event, Image, Key, Number, Table, key};

use crate::seeds::table;

pub(crate) fn image(bytes: &[u8]) {
    let image = Image::from_bytes(Bytes::copy_from_slice(bytes));
    let attributes: Result<Vec<_>, _> =
        image.attributes().map(|attribute| attribute.map(|(name, value)| (name, value.to_value()))).collect();
    let Ok(item) = image.decode() else { return };
    let attributes = attributes.expect("what decodes whole decodes attribute by attribute");
    assert_eq!(attributes.len(), item.len());
    for ((name, value), (expected_name, expected)) in attributes.into_iter().zip(&item) {
        assert_eq!((name, value.as_ref()), (expected_name.as_str(), Ok(expected)));
        assert_eq!(image.attribute(name).as_ref(), Ok(&Some(expected.clone())));
    }
    assert_eq!(Image::encode(&item).bytes(), image.bytes(), "an item has one image");
    assert!(item.size() as u64 <= Image::SIZE_FACTOR * image.bytes().len() as u64);
    let _ = (item.check(), Key::of_item(&table(), &item));
}

pub(crate) fn event(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(events) = Event::decode_all(&bytes) {
        let mut out = Vec::new();
        events.iter().for_each(|event| event.encode(&mut out));
        let again = Event::decode_all(&Bytes::from(out)).expect("what was encoded decodes");
        assert_eq!(again, events);
    }
    if let Ok(table) = Table::decode(&bytes, &mut 0) {
        let mut out = Vec::new();
        table.encode(&mut out);
        assert_eq!(Table::decode(&Bytes::from(out), &mut 0).as_ref(), Ok(&table));
        let _ = table.check();
    }
}

pub(crate) fn key(bytes: &[u8]) {
    if let Ok((value, length)) = key::decode_component(bytes) {
        assert!(length <= bytes.len());
        let mut out = Vec::new();
        let key_type = table().partition_key.key_type;
        if key::encode_component("pk", &value, key_type, &mut out).is_ok() {
            assert_eq!(out, &bytes[..length], "a value has one form in keys");
        }
    }
    for (partition, sort) in [(bytes, &b""[..]), bytes.split_at(bytes.len() / 2)] {
        let key = Key { partition: Bytes::copy_from_slice(partition), sort: Bytes::copy_from_slice(sort) };
        if let Ok(item) = key.to_item(&table())
            && let Ok(again) = Key::of_item(&table(), &item)
        {
            assert_eq!(again, key);
        }
    }
    if let Some(text) = std::str::from_utf8(bytes).ok()
        && let Ok(number) = text.parse::<Number>()
    {
        assert_eq!(number.to_string().parse(), Ok(number));
    }
}
