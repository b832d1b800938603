use proptest::prelude::*;

use super::*;
use crate::arbitrary;

proptest! {
    #[test]
    fn items_come_back(item in arbitrary::items()) {
        prop_assert_eq!(item.check(), Ok(()));
        let image = Image::encode(&item);
        prop_assert_eq!(image.decode(), Ok(item.clone()));
        prop_assert_eq!(image.size(), Ok(item.size()));
        prop_assert!(item.size() as u64 <= Image::SIZE_FACTOR * image.bytes().len() as u64);
        for (name, value) in &item {
            prop_assert_eq!(image.attribute(name), Ok(Some(value.clone())));
        }
    }

    #[test]
    fn borrowed_attributes_are_those_of_the_decoded_item(bytes in damaged_images(), item in arbitrary::items()) {
        for image in [Image::encode(&item), Image::from_bytes(Bytes::from(bytes))] {
            let copy = |attribute: Result<(&str, ValueRef<'_>), CodecError>| {
                let (name, value) = attribute?;
                Ok((name.to_owned(), value.to_value()?))
            };
            let borrowed: Result<Vec<_>, CodecError> = image.attributes().map(copy).collect();
            prop_assert_eq!(borrowed.ok().map(|pairs| Item(pairs.into_iter().collect())), image.decode().ok());
        }
        for (name, value) in &item {
            prop_assert_eq!(ValueRef::from(value).to_value(), Ok(value.clone()), "{}", name);
        }
    }

    #[test]
    fn an_absent_attribute_is_none(item in arbitrary::items(), name in arbitrary::names()) {
        prop_assert_eq!(Image::encode(&item).attribute(&name), Ok(item.get(&name).cloned()));
    }

    #[test]
    fn equal_items_have_equal_images(left in arbitrary::items(), right in arbitrary::items()) {
        prop_assert_eq!(Image::encode(&left) == Image::encode(&right), left == right);
    }

    #[test]
    fn any_bytes_decode_to_what_encodes_to_them(bytes in damaged_images()) {
        let image = Image::from_bytes(Bytes::from(bytes));
        if let Ok(item) = image.decode() {
            prop_assert_eq!(image.size(), Ok(item.size()));
            prop_assert_eq!(Image::encode(&item), image);
        }
    }

    #[test]
    fn looking_for_an_attribute_in_any_bytes_ends(bytes in damaged_images(), name in arbitrary::names()) {
        let image = Image::from_bytes(Bytes::from(bytes));
        if let Ok(item) = image.decode() {
            prop_assert_eq!(image.attribute(&name), Ok(item.get(&name).cloned()));
        } else if let Err(error) = image.attribute(&name) {
            prop_assert!(error.offset <= image.bytes().len());
        }
    }
}

/// Images with some bytes replaced or cut, and plain noise.
fn damaged_images() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (arbitrary::items(), any::<prop::sample::Index>(), 0u8..16, any::<bool>());
    let damaged = damaged.prop_map(|(item, index, byte, cut)| {
        let mut bytes = Image::encode(&item).bytes().to_vec();
        let index = index.index(bytes.len());
        bytes[index] = byte;
        bytes.truncate(if cut { index } else { bytes.len() });
        bytes
    });
    prop_oneof![damaged, proptest::collection::vec(0u8..16, 0..64), any::<Vec<u8>>()]
}

#[test]
fn layouts_are_as_drawn() {
    let item = Item::from([
        ("a", Value::Number("-12.5".parse().unwrap())),
        ("b", Value::List(vec![Value::Null, Value::Bool(true), Value::from("é")])),
        ("c", Value::NumberSet([Number::ZERO, Number::from(1000u64)].into())),
    ]);
    let expected = [
        &[3][..],
        &[1, b'a', NUMBER, 0b11, 125],
        &[1, b'b', LIST, 3, NULL, TRUE, STRING, 2, 0xc3, 0xa9],
        &[1, b'c', NUMBER_SET, 2, 0, 0, 12, 1],
    ];
    assert_eq!(Image::encode(&item).bytes(), &expected.concat());
    assert_eq!(Image::encode(&Item::new()).bytes(), &[0][..]);
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| {
        let mut bytes = vec![1, 1, b'a'];
        bytes.extend([LIST, 1].repeat(depth));
        bytes.push(NULL);
        Image::from_bytes(Bytes::from(bytes))
    };
    assert!(nested(32).decode().is_ok());
    for depth in [33, 1_000_000] {
        let too_deep = CodecError { offset: 3 + 2 * 32, what: "at most 32 levels of lists and maps" };
        assert_eq!(nested(depth).decode(), Err(too_deep.clone()));
        assert_eq!(nested(depth).attribute("b"), Err(too_deep));
    }
}

#[test]
fn a_count_beyond_the_bytes_is_refused_early() {
    let mut bytes = vec![1, 1, b'a', LIST];
    put_varint(u64::MAX.into(), &mut bytes);
    let image = Image::from_bytes(Bytes::from(bytes));
    let expected = CodecError { offset: image.bytes().len(), what: "a type tag" };
    assert_eq!(image.decode(), Err(expected));
}

#[test]
fn a_second_form_of_an_item_is_refused() {
    let cases: [(&[u8], usize, &str); 7] = [
        (&[2, 1, b'b', NULL, 1, b'a', NULL], 4, ORDER),
        (&[2, 1, b'a', NULL, 1, b'a', NULL], 4, ORDER),
        (&[1, 1, b'a', STRING_SET, 2, 1, b'x', 1, b'x'], 7, ORDER),
        (&[1, 1, b'a', NUMBER, 0, 10], 4, "a number"),
        (&[1, 1, b'a', NUMBER, 1, 0], 4, "a number"),
        (&[0x81, 0x00, 1, b'a', NULL], 0, COUNT),
        (&[0, 0], 1, "the end of the item"),
    ];
    for (bytes, offset, what) in cases {
        let image = Image::from_bytes(Bytes::copy_from_slice(bytes));
        assert_eq!(image.decode(), Err(CodecError { offset, what }), "{bytes:?}");
    }
}
