use proptest::prelude::*;

use super::*;
use crate::arbitrary;

fn number(text: &str) -> Number {
    text.parse().unwrap()
}

#[test]
fn texts_read_and_print_as_dynamodb_normalises_them() {
    let nines = "9".repeat(38);
    let cases = [
        ("0", "0"),
        ("-0", "0"),
        ("0E999999999999999999999", "0"),
        ("0.000", "0"),
        ("+5", "5"),
        ("-5.", "-5"),
        (".5", "0.5"),
        ("007.500", "7.5"),
        ("1E+20", "100000000000000000000"),
        ("1e2", "100"),
        ("12.5E-1", "1.25"),
        ("120.30e-3", "0.1203"),
        ("-1E-3", "-0.001"),
        (&nines, &nines),
        (&format!("000{nines}.000"), &nines),
        (&format!("0.{nines}"), &format!("0.{nines}")),
        ("1E-130", &format!("0.{}1", "0".repeat(129))),
        ("-9E125", &format!("-9{}", "0".repeat(125))),
        // The longest: sign, zero, point, 129 zeros, 38 digits.
        (&format!("-9.{}1E-130", "1".repeat(36)), &format!("-0.{}9{}1", "0".repeat(129), "1".repeat(36))),
        (&format!("{}1E2000", "0.".to_owned() + &"0".repeat(1999)), "1"),
    ];
    for (text, expected) in cases {
        assert_eq!(number(text).to_string(), expected, "{text}");
    }
}

#[test]
fn texts_that_are_no_numbers_are_refused() {
    for text in [
        "", " ", " 1", "1 ", "-", "+", ".", "-.", "E5", ".e5", "1E", "1E+", "1e5.0", "1..2", "1.2.3", "--1", "+-1",
        "NaN", "Infinity", "0x10", "1_000", "1,5", "１", "1\0",
    ] {
        assert_eq!(text.parse::<Number>(), Err(NumberError::Malformed), "{text:?}");
    }
}

#[test]
fn limits_are_exact() {
    let cases = [
        ("9.9999999999999999999999999999999999999E+125", None),
        ("1E126", Some(NumberError::Overflow)),
        ("-1E126", Some(NumberError::Overflow)),
        ("1E99999999999999999999999999", Some(NumberError::Overflow)),
        ("1E-130", None),
        ("1.2345E-130", None),
        ("9.9E-131", Some(NumberError::Underflow)),
        ("1E-99999999999999999999999999", Some(NumberError::Underflow)),
        ("100000000000000000000000000000000000001", Some(NumberError::TooPrecise)),
        ("10000000000000000000000000000000000000.01", Some(NumberError::TooPrecise)),
        ("340282366920938463463374607431768211456000", Some(NumberError::TooPrecise)),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<Number>().err(), error, "{text}");
    }
    assert_eq!(Number::from_parts(false, u128::MAX, 0), Err(NumberError::TooPrecise));
    assert_eq!(Number::from_parts(false, 10u128.pow(38), i32::MAX), Err(NumberError::Overflow));
    assert_eq!(Number::from_parts(true, 1, i32::MIN), Err(NumberError::Underflow));
}

#[test]
fn unscaled_answers_only_exact_values_that_fit() {
    assert_eq!(number("12.345").unscaled(3), Some(12345));
    assert_eq!(number("-12.345").unscaled(5), Some(-1234500));
    assert_eq!(number("12.345").unscaled(2), None);
    assert_eq!(number("1E37").unscaled(0), Some(10i128.pow(37)));
    assert_eq!(number("1E38").unscaled(1), None);
    assert_eq!(number("1E125").unscaled(0), None);
    assert_eq!(number("0").unscaled(200), Some(0));
    assert_eq!(Number::from_unscaled(-1234500, 5), Ok(number("-12.345")));
}

#[test]
fn digits_are_counted_on_both_sides_of_the_point() {
    for (text, integer_digits, scale, precision) in [
        ("0", 0, 0, 0),
        ("12.345", 2, 3, 5),
        ("0.05", 0, 2, 1),
        ("1200", 4, 0, 2),
        ("1E-130", 0, 130, 1),
        ("9E125", 126, 0, 1),
    ] {
        let number = number(text);
        assert_eq!(
            (number.integer_digits(), number.scale(), number.precision()),
            (integer_digits, scale, precision),
            "{text}"
        );
    }
}

#[test]
fn sums_are_exact_or_refused() {
    let sum = |left: &str, right: &str| number(left).checked_add(number(right)).map(|sum| sum.to_string());
    assert_eq!(sum("0.1", "0.2").unwrap(), "0.3");
    assert_eq!(sum("5", "-5").unwrap(), "0");
    assert_eq!(sum("1E38", "-1").unwrap(), "9".repeat(38));
    assert_eq!(sum("1", "-1E-37").unwrap(), format!("0.{}", "9".repeat(37)));
    assert_eq!(sum("1E38", "1"), Err(NumberError::TooPrecise));
    assert_eq!(sum("1E125", "1E-130"), Err(NumberError::TooPrecise));
    assert_eq!(sum(&"9".repeat(38), "1").unwrap(), number("1E38").to_string());
    assert_eq!(sum("9E125", "9E125"), Err(NumberError::Overflow));
    assert_eq!(number("1").checked_sub(number("2.5")), Ok(number("-1.5")));
}

#[test]
fn whole_numbers_convert() {
    assert_eq!(Number::from(i64::MIN).to_string(), i64::MIN.to_string());
    assert_eq!(Number::from(u64::MAX).to_string(), u64::MAX.to_string());
    assert_eq!(Number::from(0i64), Number::ZERO);
}

/// The order by plain decimal texts, computed without the code under test.
fn text_order(left: &str, right: &str) -> Ordering {
    /// Sign, and the digits written out on both sides of the point to a fixed width.
    fn parts(text: &str) -> (bool, String) {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        (negative, format!("{whole:0>130}{fraction:0<170}"))
    }
    match (parts(left), parts(right)) {
        ((false, left), (false, right)) => left.cmp(&right),
        ((true, left), (true, right)) => right.cmp(&left),
        ((left, _), (right, _)) => right.cmp(&left),
    }
}

proptest! {
    #[test]
    fn numbers_come_back_from_their_text(number in arbitrary::numbers()) {
        prop_assert_eq!(number.to_string().parse(), Ok(number));
        let parts = format!("{}{}E{}", if number.is_negative() { "-" } else { "" }, number.digits(), number.exponent());
        prop_assert_eq!(parts.parse(), Ok(number));
    }

    #[test]
    fn numbers_sort_numerically(left in arbitrary::numbers(), right in arbitrary::numbers()) {
        let model = text_order(&left.to_string(), &right.to_string());
        prop_assert_eq!(left.cmp(&right), model);
        prop_assert_eq!(left == right, model.is_eq());
        prop_assert_eq!((-left).cmp(&-right), model.reverse());
    }

    #[test]
    fn zeros_around_a_number_change_nothing(number in arbitrary::numbers(), before in 0usize..200, after in 0usize..200) {
        let text = number.to_string();
        let (sign, digits) = text.strip_prefix('-').map_or(("", &text[..]), |digits| ("-", digits));
        let point = if digits.contains('.') { "" } else { "." };
        let padded = format!("{sign}{}{digits}{point}{}", "0".repeat(before), "0".repeat(after));
        prop_assert_eq!(padded.parse(), Ok(number));
    }

    #[test]
    fn any_text_reads_to_a_number_that_comes_back(text in "[-+0-9.eE]{0,12}|[0-9]{30,60}[.]?[0-9]{0,99}|\\PC{0,8}") {
        if let Ok(number) = text.parse::<Number>() {
            prop_assert_eq!(number.to_string().parse(), Ok(number));
        }
    }

    #[test]
    fn unscaled_comes_back(number in arbitrary::numbers(), scale: u8) {
        if let Some(unscaled) = number.unscaled(scale) {
            prop_assert_eq!(Number::from_unscaled(unscaled, scale), Ok(number));
        }
        if number.integer_digits() + number.scale() <= 38 {
            prop_assert!(number.unscaled(number.scale() as u8).is_some());
        }
    }

    #[test]
    fn small_sums_are_those_of_integers(left in -1_000_000_000i64..1_000_000_000, right: i32, scale in 0u8..130) {
        let number = |whole: i64| Number::from_unscaled(whole.into(), scale).unwrap();
        let right = i64::from(right);
        prop_assert_eq!(number(left).checked_add(number(right)), Ok(number(left + right)));
    }

    #[test]
    fn sums_have_inverses(left in arbitrary::numbers(), right in arbitrary::numbers()) {
        prop_assert_eq!(left.checked_add(right), right.checked_add(left));
        if let Ok(sum) = left.checked_add(right) {
            prop_assert_eq!(sum.checked_sub(right), Ok(left));
        }
    }
}
