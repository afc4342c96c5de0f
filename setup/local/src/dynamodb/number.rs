//! DynamoDB's numbers: decimal, exact, up to 38 digits.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

const DIGITS: u32 = 38;

/// `mantissa * 10^exponent`, with no zeros at the mantissa's end, so that equal numbers are equal structs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Number {
    mantissa: i128,
    exponent: i32,
}

impl Number {
    pub(crate) const ZERO: Self = Self { mantissa: 0, exponent: 0 };

    fn new(mut mantissa: i128, mut exponent: i32) -> Result<Self, String> {
        if mantissa == 0 {
            return Ok(Self::ZERO);
        }
        while mantissa % 10 == 0 {
            (mantissa, exponent) = (mantissa / 10, exponent + 1);
        }
        let number = Self { mantissa, exponent };
        if number.digits() > DIGITS {
            return Err("Attempting to store more than 38 significant digits in a Number".into());
        }
        match number.magnitude() {
            -129..=126 => Ok(number),
            127.. => {
                Err("Number overflow. Attempting to store a number with magnitude larger than 1E+126".into())
            }
            _ => {
                Err("Number underflow. Attempting to store a number with magnitude smaller than 1E-130"
                    .into())
            }
        }
    }

    /// The exact sum.
    ///
    /// # Errors
    /// The sum needs more than 38 digits.
    pub(crate) fn plus(self, other: Self) -> Result<Self, String> {
        if self == Self::ZERO || other == Self::ZERO {
            return Ok(if self == Self::ZERO { other } else { self });
        }
        let exponent = self.exponent.min(other.exponent);
        let at = |number: Self| number.scaled(number.exponent.abs_diff(exponent));
        let sum = at(self).zip(at(other)).and_then(|(a, b)| a.checked_add(b));
        Self::new(sum.ok_or("the result needs more than 38 significant digits")?, exponent)
    }

    pub(crate) fn negative(self) -> Self {
        Self { mantissa: -self.mantissa, ..self }
    }

    fn scaled(self, places: u32) -> Option<i128> {
        10i128.checked_pow(places)?.checked_mul(self.mantissa)
    }

    fn digits(self) -> u32 {
        self.mantissa.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1)
    }

    /// The exponent of the number's first digit, plus one.
    fn magnitude(self) -> i32 {
        self.digits() as i32 + self.exponent
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.mantissa.signum().cmp(&other.mantissa.signum());
        if signs.is_ne() || self.mantissa == 0 {
            return signs;
        }
        let sizes = self.magnitude().cmp(&other.magnitude());
        if sizes.is_ne() {
            return if self.mantissa > 0 { sizes } else { sizes.reverse() };
        }
        // Equal magnitudes: the shorter mantissa is scaled to the longer one's 38 digits at most.
        let exponent = self.exponent.min(other.exponent);
        let at = |number: &Self| number.scaled(number.exponent.abs_diff(exponent));
        at(self).cmp(&at(other))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let not_a_number = || format!("The parameter cannot be converted to a numeric value: {text}");
        let (decimal, exponent) = match text.split_once(['e', 'E']) {
            Some((decimal, exponent)) => (decimal, exponent.parse::<i16>().map_err(|_| not_a_number())?),
            None => (text, 0),
        };
        let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
        let unsigned = whole.trim_start_matches(['+', '-']);
        let digits_only = unsigned.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit());
        if whole.len() > unsigned.len() + 1 || unsigned.len() + fraction.len() == 0 || !digits_only {
            return Err(not_a_number());
        }
        // Zeros at either end are not significant, and there may be many.
        let digits = format!("{unsigned}{fraction}");
        let kept = digits.trim_start_matches('0').trim_end_matches('0');
        let ending_zeros = digits.len() - digits.trim_end_matches('0').len();
        if kept.is_empty() {
            return Ok(Self::ZERO);
        }
        if kept.len() > DIGITS as usize {
            return Err("Attempting to store more than 38 significant digits in a Number".into());
        }
        let mantissa: i128 = kept.parse().map_err(|_| not_a_number())?;
        let sign = if whole.starts_with('-') { -1 } else { 1 };
        Self::new(sign * mantissa, i32::from(exponent) + ending_zeros as i32 - fraction.len() as i32)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs().to_string();
        if self.exponent >= 0 {
            return write!(formatter, "{sign}{digits}{}", "0".repeat(self.exponent as usize));
        }
        let places = self.exponent.unsigned_abs() as usize;
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        write!(formatter, "{sign}{whole}.{fraction}")
    }
}

impl TryFrom<String> for Number {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_exact_and_in_one_form() {
        for (text, form) in [
            ("007", "7"),
            ("1.50", "1.5"),
            ("-0.0", "0"),
            ("1e3", "1000"),
            ("25E-4", "0.0025"),
            ("+3", "3"),
            (".5", "0.5"),
        ] {
            assert_eq!(number(text).to_string(), form, "{text}");
        }
        assert_eq!(number("0.1").plus(number("0.2")).unwrap(), number("0.3"));
        assert_eq!(number("1e20").plus(number("-1")).unwrap().to_string(), "99999999999999999999");
        assert_eq!(number("5").plus(number("5").negative()).unwrap(), Number::ZERO);
        assert_eq!(number("0").plus(number("1e100")).unwrap(), number("1e100"));
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let ordered =
            ["-1e10", "-2", "-1.5", "-1e-9", "0", "1e-9", "0.5", "1.49", "1.5", "9", "10", "11", "1e10"];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(number(a).cmp(&number(b)), i.cmp(&j), "{a} and {b}");
            }
        }
    }

    #[test]
    fn what_is_no_number_or_too_long_is_refused() {
        for text in ["", "-", ".", "1.2.3", "--1", "1e", "abc", "NaN", "0x1", "1 "] {
            assert!(text.parse::<Number>().is_err(), "{text:?}");
        }
        assert!("9".repeat(38).parse::<Number>().is_ok());
        assert!("9".repeat(39).parse::<Number>().is_err());
        assert!("1e126".parse::<Number>().is_err());
        assert!(number("1e30").plus(number("1e-30")).is_err());
    }
}
