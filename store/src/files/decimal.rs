//! Numbers as scaled integers, or as doubles: what decimal, time and double columns hold.

use item::Number;

use super::types::{ColumnType, TimeUnit};

/// Digits that an 8-byte decimal holds.
pub(super) const NARROW_DIGITS: u8 = 18;
/// Digits that a 16-byte decimal holds.
pub(super) const WIDE_DIGITS: u8 = 38;

/// Powers of ten that 8 bytes hold.
const POWERS: [i64; NARROW_DIGITS as usize + 1] = {
    let mut powers = [1; NARROW_DIGITS as usize + 1];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// The type of a number column, `before` so far, that holds `number` too; none if there is no such type.
pub(super) fn widened(before: Option<&ColumnType>, number: &Number) -> Option<ColumnType> {
    if let Some(ColumnType::Time(before)) = before {
        let unit = match number.scale() {
            0 => TimeUnit::Millis,
            1..=3 => TimeUnit::Micros,
            4..=6 => TimeUnit::Nanos,
            _ => return None,
        };
        let unit = unit.max(*before);
        return to_time(number, unit).map(|_| ColumnType::Time(unit));
    }
    let (integer_digits, scale) = match before {
        Some(ColumnType::Decimal { integer_digits, scale }) => (*integer_digits, *scale),
        _ => (0, 0),
    };
    let integer_digits = u8::try_from(number.integer_digits()).ok()?.max(integer_digits);
    let scale = u8::try_from(number.scale()).ok()?.max(scale);
    precision(integer_digits, scale).map(|_| ColumnType::Decimal { integer_digits, scale })
}

/// The precision that the column is declared with; none if no decimal has so many digits.
pub(super) fn precision(integer_digits: u8, scale: u8) -> Option<u8> {
    match integer_digits.checked_add(scale)? {
        digits if digits <= NARROW_DIGITS => Some(NARROW_DIGITS),
        digits if digits <= WIDE_DIGITS => Some(WIDE_DIGITS),
        _ => None,
    }
}

/// Are decimals of that shape stored in 8 bytes?
pub(super) fn is_narrow(integer_digits: u8, scale: u8) -> bool {
    precision(integer_digits, scale) == Some(NARROW_DIGITS)
}

/// Does a column of this type hold `number` as it is?
pub(super) fn holds(column_type: &ColumnType, number: &Number) -> bool {
    match *column_type {
        ColumnType::Decimal { integer_digits, scale } if is_narrow(integer_digits, scale) => {
            to_narrow(number, integer_digits, scale).is_some()
        }
        ColumnType::Decimal { integer_digits, scale } => to_decimal(number, integer_digits, scale).is_some(),
        ColumnType::Time(unit) => to_time(number, unit).is_some(),
        ColumnType::Double => to_double(number).is_some(),
        ColumnType::String | ColumnType::Binary | ColumnType::Bool | ColumnType::Null | ColumnType::Map(_) => false,
    }
}

/// The double whose shortest digits are those of `number`, if there is one.
pub(super) fn to_double(number: &Number) -> Option<f64> {
    let double: f64 = number.to_string().parse().ok()?;
    (from_double(double).as_ref() == Some(number)).then_some(double)
}

/// The number of a double's shortest digits; none if it is none.
pub(super) fn from_double(double: f64) -> Option<Number> {
    format!("{double:e}").parse().ok()
}

/// `number` times `10^scale`, if a narrow decimal column of that shape holds it.
pub(super) fn to_narrow(number: &Number, integer_digits: u8, scale: u8) -> Option<i64> {
    let unscaled = unscaled(number, scale)?;
    let digits = usize::from(integer_digits) + usize::from(scale);
    (unscaled.unsigned_abs() < POWERS.get(digits)?.unsigned_abs()).then_some(unscaled)
}

/// As [`Number::unscaled`], in 8 bytes.
fn unscaled(number: &Number, scale: u8) -> Option<i64> {
    let power = usize::try_from(i32::from(number.exponent()) + i32::from(scale));
    let digits = i64::try_from(number.digits()).ok()?;
    if digits == 0 {
        return Some(0);
    }
    let magnitude = digits.checked_mul(*POWERS.get(power.ok()?)?)?;
    Some(if number.is_negative() { -magnitude } else { magnitude })
}

/// `number` times `10^scale`, if a decimal column of that shape holds it.
pub(super) fn to_decimal(number: &Number, integer_digits: u8, scale: u8) -> Option<i128> {
    if number.integer_digits() > u32::from(integer_digits) {
        return None;
    }
    number.unscaled(scale)
}

/// Milliseconds as a count of `unit`, if it is a whole one that fits.
pub(super) fn to_time(milliseconds: &Number, unit: TimeUnit) -> Option<i64> {
    unscaled(milliseconds, scale_of(unit))
}

/// A count of `unit` as milliseconds.
pub(super) fn from_time(count: i64, unit: TimeUnit) -> Number {
    Number::from_unscaled(i128::from(count), scale_of(unit)).expect("19 digits at this scale are a number")
}

fn scale_of(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Millis => 0,
        TimeUnit::Micros => 3,
        TimeUnit::Nanos => 6,
    }
}
