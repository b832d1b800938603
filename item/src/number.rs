//! Decimal numbers of up to 38 significant digits.

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
