//! Decimal numbers of up to 38 significant digits, exact, as DynamoDB's `N`.
//!
//! A number has one form only (digits end in a non-zero digit, zero is positive with exponent 0), so that equality,
//! hashing and every encoding of ours agree with numeric equality.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Neg;
use std::str::FromStr;

/// A decimal: sign, up to 38 digits without trailing zeros, and a power of ten; zero has one form.
/// Range as DynamoDB: magnitude 1E-130 to 9.9999999999999999999999999999999999999E+125.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    exponent: i16,
    digits: u128,
}

/// Text that is not a number we can hold exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not a decimal.
    #[error("not a number")]
    Malformed,
    /// More than 38 significant digits.
    #[error("more than 38 significant digits")]
    TooPrecise,
    /// Magnitude above 9.99E+125.
    #[error("magnitude too large")]
    Overflow,
    /// Magnitude below 1E-130.
    #[error("magnitude too small")]
    Underflow,
}

/// A number's plain decimal notation.
#[derive(Clone, Debug)]
pub struct NumberText {
    bytes: [u8; TEXT_BYTES_MAX],
    length: usize,
}

/// A sign, a zero, a point, the zeros between it and the first digit of the least number, and 38 digits; a little more.
const TEXT_BYTES_MAX: usize = 192;
/// Digits of the greatest 16-byte integer.
const DIGITS_MAX: usize = 39;

impl NumberText {
    fn new() -> NumberText {
        NumberText { bytes: [0; TEXT_BYTES_MAX], length: 0 }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("digits, a sign and a point are ASCII")
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
    }

    fn push_zeros(&mut self, count: usize) {
        self.bytes[self.length..self.length + count].fill(b'0');
        self.length += count;
    }
}

impl Number {
    /// Zero.
    pub const ZERO: Number = Number { negative: false, exponent: 0, digits: 0 };
    /// The most significant digits that a number has.
    pub const PRECISION_MAX: u32 = 38;
    /// The least power of ten that a number's first digit can stand for.
    pub const MAGNITUDE_MIN: i32 = -130;
    /// The greatest power of ten that a number's first digit can stand for.
    pub const MAGNITUDE_MAX: i32 = 125;

    /// The number `digits * 10^exponent`, negated if `negative`. Trailing zeros of `digits` do not count as precision.
    pub fn from_parts(negative: bool, digits: u128, exponent: i32) -> Result<Number, NumberError> {
        if digits == 0 {
            return Ok(Number::ZERO);
        }
        let (digits, zeros) = without_trailing_zeros(digits);
        let exponent = i64::from(exponent) + i64::from(zeros);
        let precision = count_digits(digits);
        let magnitude = exponent + i64::from(precision) - 1;
        if magnitude > i64::from(Number::MAGNITUDE_MAX) {
            return Err(NumberError::Overflow);
        }
        if precision > Number::PRECISION_MAX {
            return Err(NumberError::TooPrecise);
        }
        if magnitude < i64::from(Number::MAGNITUDE_MIN) {
            return Err(NumberError::Underflow);
        }
        let exponent = i16::try_from(exponent).expect("a magnitude of -130..=125 less 38 digits fits");
        Ok(Number { negative, exponent, digits })
    }

    /// The number `unscaled / 10^scale`.
    pub fn from_unscaled(unscaled: i128, scale: u8) -> Result<Number, NumberError> {
        Number::from_parts(unscaled < 0, unscaled.unsigned_abs(), -i32::from(scale))
    }

    /// This number times `10^scale`, if that is a whole number that fits.
    pub fn unscaled(&self, scale: u8) -> Option<i128> {
        if self.is_zero() {
            return Some(0);
        }
        let power = u32::try_from(i32::from(self.exponent) + i32::from(scale)).ok()?;
        let magnitude = self.digits.checked_mul(10u128.checked_pow(power)?)?;
        let magnitude = i128::try_from(magnitude).ok()?;
        Some(if self.negative { -magnitude } else { magnitude })
    }

    /// Is it below zero?
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Is it zero?
    pub fn is_zero(&self) -> bool {
        self.digits == 0
    }

    /// The significant digits as a whole number, without trailing zeros; zero for zero.
    pub fn digits(&self) -> u128 {
        self.digits
    }

    /// The power of ten that [`Number::digits`] is multiplied by.
    pub fn exponent(&self) -> i16 {
        self.exponent
    }

    /// How many significant digits there are, 0 to 38; none for zero.
    pub fn precision(&self) -> u32 {
        count_digits(self.digits)
    }

    /// How many digits stand before the decimal point; none below one.
    pub fn integer_digits(&self) -> u32 {
        if self.is_zero() { 0 } else { u32::try_from(self.magnitude() + 1).unwrap_or(0) }
    }

    /// How many digits stand after the decimal point; none in whole numbers.
    pub fn scale(&self) -> u32 {
        u32::try_from(-i32::from(self.exponent)).unwrap_or(0)
    }

    /// The power of ten that the first digit stands for; of zero, 0.
    pub fn magnitude(&self) -> i32 {
        if self.is_zero() { 0 } else { i32::from(self.exponent) + self.precision() as i32 - 1 }
    }

    /// What [`fmt::Display`] shows, without asking for memory.
    pub fn to_text(&self) -> NumberText {
        let mut text = NumberText::new();
        if self.negative {
            text.push(b"-");
        }
        let mut places = [0; DIGITS_MAX];
        let digits = decimal_digits(self.digits, &mut places);
        match digits.len().checked_sub(self.scale() as usize) {
            None | Some(0) => {
                text.push(b"0.");
                text.push_zeros(self.scale() as usize - digits.len());
                text.push(digits);
            }
            Some(point) if point < digits.len() => {
                text.push(&digits[..point]);
                text.push(b".");
                text.push(&digits[point..]);
            }
            Some(_) => {
                text.push(digits);
                text.push_zeros(usize::try_from(self.exponent).unwrap_or(0));
            }
        }
        text
    }

    /// The exact sum, if 38 digits hold it.
    pub fn checked_add(self, other: Number) -> Result<Number, NumberError> {
        if self.is_zero() {
            return Ok(other);
        }
        if other.is_zero() {
            return Ok(self);
        }
        let (high, low) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        // Where this overflows, the exponents differ. So the sum ends in the last digit of `low`, which is not zero,
        // and is at least 2^128 - 10^38 > 10^38: it has more than 38 significant digits.
        let shift = u32::from((high.exponent - low.exponent).unsigned_abs());
        let high_digits = 10u128.checked_pow(shift).and_then(|power| high.digits.checked_mul(power));
        let high_digits = high_digits.ok_or(NumberError::TooPrecise)?;
        let (negative, digits) = if high.negative == low.negative {
            (high.negative, high_digits.checked_add(low.digits).ok_or(NumberError::TooPrecise)?)
        } else if high_digits >= low.digits {
            (high.negative, high_digits - low.digits)
        } else {
            (low.negative, low.digits - high_digits)
        };
        Number::from_parts(negative, digits, i32::from(low.exponent))
    }

    /// The exact difference, if 38 digits hold it.
    pub fn checked_sub(self, other: Number) -> Result<Number, NumberError> {
        self.checked_add(-other)
    }

    /// The digits scaled up to exactly 38, so that numbers of one magnitude compare by them.
    fn aligned_digits(&self) -> u128 {
        self.digits * 10u128.pow(Number::PRECISION_MAX - self.precision())
    }
}

/// How many decimal digits `digits` has; none for zero.
fn count_digits(digits: u128) -> u32 {
    // Most numbers are small, and 16-byte arithmetic is slow.
    let log = u64::try_from(digits).map_or_else(|_| digits.checked_ilog10(), u64::checked_ilog10);
    log.map_or(0, |log| log + 1)
}

/// The decimal digits of `digits`, at the end of `places`; of zero, one.
fn decimal_digits(digits: u128, places: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut at = DIGITS_MAX;
    let mut rest = digits;
    // Most numbers are small, and 16-byte arithmetic is slow.
    while rest > u128::from(u64::MAX) {
        at -= 1;
        places[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut rest = rest as u64;
    loop {
        at -= 1;
        places[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &places[at..];
        }
    }
}

/// `digits`, not zero, without the zeros at its end, and how many they were.
fn without_trailing_zeros(mut digits: u128) -> (u128, u32) {
    let mut zeros = 0;
    while u64::try_from(digits).is_err() {
        if !digits.is_multiple_of(10) {
            return (digits, zeros);
        }
        digits /= 10;
        zeros += 1;
    }
    let mut small = digits as u64;
    while small.is_multiple_of(10) {
        small /= 10;
        zeros += 1;
    }
    (u128::from(small), zeros)
}

impl Neg for Number {
    type Output = Number;

    fn neg(self) -> Number {
        Number { negative: !self.negative && !self.is_zero(), ..self }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        let sign = |number: &Number| match (number.is_zero(), number.negative) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => -1,
        };
        let by_sign = sign(self).cmp(&sign(other));
        if by_sign.is_ne() || self.is_zero() {
            return by_sign;
        }
        let by_size = self.magnitude().cmp(&other.magnitude());
        let by_size = by_size.then_with(|| self.aligned_digits().cmp(&other.aligned_digits()));
        if self.negative { by_size.reverse() } else { by_size }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<u64> for Number {
    fn from(whole: u64) -> Number {
        Number::from_parts(false, u128::from(whole), 0).expect("20 digits fit into 38")
    }
}

impl From<i64> for Number {
    fn from(whole: i64) -> Number {
        Number::from_parts(whole < 0, u128::from(whole.unsigned_abs()), 0).expect("19 digits fit into 38")
    }
}

/// Plain decimal notation without exponent, as DynamoDB answers.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_text().as_str())
    }
}

/// Reads an optional sign, digits with an optional point, and an optional exponent; nothing around them.
impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Number, NumberError> {
        let (negative, unsigned) = split_sign(text.as_bytes());
        if let Some(number) = Number::parse_short(negative, unsigned) {
            return Ok(number);
        }
        let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..])?),
            None => (unsigned, 0),
        };
        let mantissa = Mantissa::parse(mantissa)?;
        if mantissa.digits == 0 {
            return Ok(Number::ZERO);
        }
        if mantissa.precision > Number::PRECISION_MAX as usize {
            return Err(NumberError::TooPrecise);
        }
        let exponent = exponent.saturating_add(mantissa.exponent);
        let exponent = exponent.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        Number::from_parts(negative, mantissa.digits, exponent)
    }
}

impl Number {
    /// What is written in up to 19 characters without an exponent, as most numbers are: 16-byte arithmetic is slow. None of any
    /// other text, right or wrong.
    fn parse_short(negative: bool, text: &[u8]) -> Option<Number> {
        const CHARACTERS_MAX: usize = 19;
        if text.len() > CHARACTERS_MAX || !text.last()?.is_ascii_digit() {
            return None;
        }
        let mut digits = 0u64;
        let mut decimals = None;
        for &byte in text {
            match byte {
                b'0'..=b'9' => {
                    digits = digits * 10 + u64::from(byte - b'0');
                    decimals = decimals.map(|decimals| decimals + 1);
                }
                b'.' if decimals.is_none() => decimals = Some(0),
                _ => return None,
            }
        }
        if digits == 0 {
            return Some(Number::ZERO);
        }
        let mut exponent = -decimals.unwrap_or(0);
        while digits.is_multiple_of(10) {
            digits /= 10;
            exponent += 1;
        }
        // So few digits are within the range.
        Some(Number { negative, exponent, digits: u128::from(digits) })
    }
}

/// What stands before the exponent: `digits * 10^exponent`.
struct Mantissa {
    /// Without leading and trailing zeros; meaningless where `precision` is over 38.
    digits: u128,
    exponent: i64,
    precision: usize,
}

impl Mantissa {
    fn parse(text: &[u8]) -> Result<Mantissa, NumberError> {
        let mut mantissa = Mantissa { digits: 0, exponent: 0, precision: 0 };
        // Zeros wait until a digit follows them: only then are they significant.
        let mut zeros = 0usize;
        let mut point_seen = false;
        let mut digit_seen = false;
        for &byte in text {
            match byte {
                b'.' if !point_seen => {
                    point_seen = true;
                    continue;
                }
                b'0' if mantissa.precision > 0 => zeros += 1,
                b'0' => {}
                b'1'..=b'9' => {
                    mantissa.precision += zeros + 1;
                    if mantissa.precision <= Number::PRECISION_MAX as usize {
                        let power = 10u128.pow(zeros as u32 + 1);
                        mantissa.digits = mantissa.digits * power + u128::from(byte - b'0');
                    }
                    zeros = 0;
                }
                _ => return Err(NumberError::Malformed),
            }
            digit_seen = true;
            mantissa.exponent -= i64::from(point_seen);
        }
        if !digit_seen {
            return Err(NumberError::Malformed);
        }
        mantissa.exponent += zeros as i64;
        Ok(mantissa)
    }
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// An exponent of any length; one beyond `i64` saturates, which is out of range anyway.
fn parse_exponent(text: &[u8]) -> Result<i64, NumberError> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::Malformed);
    }
    let magnitude =
        digits.iter().fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Ok(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests;
