//! Numbers by their exact decimal value: what `f64` would round together stays apart.

use std::{borrow::Cow, fmt};

/// A JSON number, kept as it was written and compared by its decimal value.
///
/// `1`, `1.0`, `10e-1` and `0.1E+1` are equal, so are `0`, `-0` and `0e9`; `18446744073709551616`
/// and `18446744073709551617` are not. A number other than zero whose exponent does not fit an
/// `i64` is compared by its text.
#[derive(Clone, Copy)]
pub struct Number<'a> {
    text: &'a str,
}

impl<'a> Number<'a> {
    /// `text` must follow the JSON grammar of numbers.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The number as it was written.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// `None` when the exponent is out of range.
    pub(super) fn decimal(&self) -> Option<Decimal<'a>> {
        let (negative, unsigned) = match self.text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, self.text),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));

        let integer = integer.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let (high, low, shift) = if fraction.is_empty() {
            let digits = integer.trim_end_matches('0');
            (digits, "", i64::try_from(integer.len() - digits.len()).ok()?)
        } else if integer.is_empty() {
            ("", fraction.trim_start_matches('0'), -i64::try_from(fraction.len()).ok()?)
        } else {
            (integer, fraction, -i64::try_from(fraction.len()).ok()?)
        };
        if high.is_empty() && low.is_empty() {
            return Some(Decimal { negative: false, high, low, exponent: 0 });
        }
        let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?;
        Some(Decimal { negative, high, low, exponent })
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.text == other.text {
            return true;
        }
        match (self.decimal(), other.decimal()) {
            (Some(left), Some(right)) => {
                (left.negative, left.exponent, left.digits()) == (right.negative, right.exponent, right.digits())
            }
            (Some(_), None) | (None, Some(_) | None) => false,
        }
    }
}

impl Eq for Number<'_> {}

impl fmt::Debug for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// `±digits × 10^exponent`, with neither leading nor trailing zeros in the digits; zero has none.
#[derive(Clone, Copy)]
pub(super) struct Decimal<'a> {
    pub(super) negative: bool,
    /// The digits come in two parts because the text may have a decimal point in between.
    pub(super) high: &'a str,
    pub(super) low: &'a str,
    pub(super) exponent: i64,
}

impl<'a> Decimal<'a> {
    fn digits(&self) -> Cow<'a, str> {
        if self.low.is_empty() {
            Cow::Borrowed(self.high)
        } else if self.high.is_empty() {
            Cow::Borrowed(self.low)
        } else {
            Cow::Owned([self.high, self.low].concat())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn spellings_of_one_value_are_equal() {
        let groups: [&[&str]; 7] = [
            &["1", "1.0", "1e0", "10e-1", "0.1E+1", "1.000", "100e-2", "0.001e3", "1e-0", "1e+00"],
            &["0", "-0", "0.0", "0e9", "-0.000e-5", "0e99999999999999999999"],
            &["-12.5", "-125e-1", "-1.25E1", "-12.50", "-0.125e2"],
            &["100", "1e2", "1E+0002", "100.0", "0.1e3"],
            &["18446744073709551616", "18446744073709551616.0", "1844674407370955161.6e1"],
            &["10.01", "1001e-2", "0.1001e2"],
            &["1e9223372036854775806", "0.1e9223372036854775807"],
        ];
        for group in groups {
            for text in group {
                assert_eq!(Number::new(text), Number::new(group[0]));
            }
        }
    }

    #[test]
    fn different_values_are_different_without_rounding() {
        let pairs = [
            ("1", "-1"),
            ("1", "10"),
            ("0.1", "0.01"),
            ("1e1", "1e-1"),
            ("12", "21"),
            ("18446744073709551616", "18446744073709551617"),
            ("0.1", "0.1000000000000000055511151231257827"),
            ("9007199254740992", "9007199254740993"),
            ("1e400", "1e401"),
            ("0", "1e-400"),
        ];
        for (left, right) in pairs {
            assert_ne!(Number::new(left), Number::new(right));
        }
    }

    #[test]
    fn exponents_out_of_range_compare_by_text() {
        let huge = Number::new("1e99999999999999999999");
        assert_eq!(huge, Number::new("1e99999999999999999999"));
        assert_ne!(huge, Number::new("10e99999999999999999998"));
        assert_ne!(huge, Number::new("1"));
        assert!(Number::new("10e9223372036854775807").decimal().is_none());
        assert!(Number::new("0.1e-9223372036854775808").decimal().is_none());
        assert!(Number::new("1e9223372036854775807").decimal().is_some());
    }
}
