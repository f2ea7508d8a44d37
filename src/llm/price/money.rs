//! [`NanoDollars`], and prices as they are written: no floating point anywhere.

use std::fmt;

/// An amount of money: billionths of a US dollar, up to 18 billion dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct NanoDollars(u64);

impl NanoDollars {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many billionths of a dollar.
    #[must_use]
    pub const fn new(nano_dollars: u64) -> Self {
        Self(nano_dollars)
    }

    /// The number of billionths of a dollar.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// In dollars, with up to nine decimals and no more than needed, such as `0.00234`.
impl fmt::Display for NanoDollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if rest == 0 {
            return write!(f, "{dollars}");
        }
        let decimals = format!("{rest:09}");
        write!(f, "{dollars}.{}", decimals.trim_end_matches('0'))
    }
}

/// What one token costs: 10⁻¹⁸ dollars. Some tokens cost a fraction of a nano-dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttoDollars(u64);

impl AttoDollars {
    const DECIMALS: i64 = 18;

    /// A number of dollars as JSON writes it, exactly; what is beyond the eighteenth decimal is rounded.
    pub(super) fn parse(literal: &str) -> Option<Self> {
        let (mantissa, exponent) = match literal.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
            None => (literal, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let digits = [whole, fraction].concat();
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Self(0));
        }
        let digits: u128 = digits.parse().ok()?;
        let shift = Self::DECIMALS + i64::from(exponent) - i64::try_from(fraction.len()).ok()?;
        let power = 10_u128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?);
        let atto = match (power, shift < 0) {
            (Some(power), false) => digits.checked_mul(power)?,
            (Some(power), true) => digits / power + u128::from(digits % power >= power.div_ceil(2)),
            (None, false) => return None,
            (None, true) => 0,
        };
        u64::try_from(atto).ok().map(Self)
    }

    /// What so many tokens cost.
    pub(super) fn times(self, tokens: u64) -> Cost {
        Cost(u128::from(self.0) * u128::from(tokens))
    }
}

/// What an answer costs, before it is rounded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost(u128);

impl Cost {
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// To the nearest nano-dollar; `None` if there is no such amount.
    pub(super) fn rounded(self) -> Option<NanoDollars> {
        const NANO: u128 = 1_000_000_000;
        let nano = self.0.checked_add(NANO / 2)? / NANO;
        u64::try_from(nano).ok().map(NanoDollars)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn atto(literal: &str) -> Option<u64> {
        AttoDollars::parse(literal).map(|price| price.0)
    }

    #[test]
    fn a_price_is_read_exactly_however_it_is_written() {
        for literal in ["2.5e-06", "2.5E-6", "0.0000025", "25e-7", "0.25e-5", "000.00000250", "0.0000000025e3"] {
            assert_eq!(atto(literal), Some(2_500_000_000_000), "{literal}");
        }
        for (literal, expected) in [
            ("0", 0),
            ("0.0", 0),
            ("0e99", 0),
            ("1.875e-08", 18_750_000_000),
            ("3e-18", 3),
            ("1.0000000000000001e-07", 100_000_000_000),
            ("2.5e-18", 3),
            ("2.4e-18", 2),
            ("1e-99", 0),
            ("18", 18_000_000_000_000_000_000),
        ] {
            assert_eq!(atto(literal), Some(expected), "{literal}");
        }
        let long = format!("0.{}1", "0".repeat(50));
        assert_eq!(atto(&long), Some(0));
        for literal in
            ["", "-1", "-0.1", "1e", "e5", ".5", "1.", "1,5", "NaN", "1e999", "19", "1e40", "0x1", "+1", "1 "]
        {
            assert_eq!(atto(literal), None, "{literal}");
        }
    }

    #[test]
    fn an_amount_is_shown_in_dollars() {
        for (nano, text) in [(0, "0"), (1, "0.000000001"), (2_340_000, "0.00234"), (1_000_000_000, "1")] {
            assert_eq!(NanoDollars::new(nano).to_string(), text);
        }
        assert_eq!(NanoDollars::new(u64::MAX).to_string(), "18446744073.709551615");
    }

    #[test]
    fn what_is_beyond_all_amounts_is_none() {
        let most = AttoDollars(u64::MAX).times(u64::MAX);
        assert!(most.rounded().is_none() && most.plus(most).is_none());
        assert_eq!(AttoDollars(500_000_000).times(1).rounded(), Some(NanoDollars(1)));
        assert_eq!(AttoDollars(499_999_999).times(1).rounded(), Some(NanoDollars(0)));
    }

    proptest! {
        #[test]
        fn moving_the_point_changes_nothing(digits in 1_u64..1_000_000, power in 0_i16..12) {
            let plain = atto(&format!("{digits}e-18"));
            prop_assert_eq!(plain, Some(digits));
            let zeros = "0".repeat(usize::from(power.unsigned_abs()));
            prop_assert_eq!(atto(&format!("{digits}{zeros}e-{}", 18 + power)), plain);
            prop_assert_eq!(atto(&format!("{digits}.0{zeros}e-18")), plain);
            prop_assert_eq!(atto(&format!("0.{zeros}{digits:06}e{}", power + 6 - 18)), plain);
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[0-9eE.+-]{0,60}") {
            let _ = AttoDollars::parse(&text);
        }
    }
}
