//! Money: whole micro-dollars, with parsing and display in the usual notation.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::share;

/// Maximum price: a million dollars. A higher one is a mistake.
const PRICE_MAX: Usd = Usd(1_000_000_000_000);

/// An amount in whole micro-dollars. Sums saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(pub u64);

impl Usd {
    /// Parses a decimal number of dollars with at most six places, such as `0.625`. A micro-dollar
    /// is the smallest unit.
    ///
    /// # Errors
    /// Returns a message if the text is not such a number, or is more than a million dollars.
    pub fn parse(text: &str) -> Result<Usd, &'static str> {
        let (whole, places) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(places) || text.ends_with('.') {
            return Err("not a decimal number of dollars, such as 0.625");
        }
        if places.len() > 6 {
            return Err("it has more than six decimal places; the smallest unit is a micro-dollar");
        }
        let micros: u64 = format!("{places:0<6}").parse().map_err(|_| "not a number")?;
        let whole: u64 = whole.parse().map_err(|_| "it must be at most a million dollars")?;
        let price = Usd(whole.saturating_mul(1_000_000).saturating_add(micros));
        if price > PRICE_MAX { Err("it must be at most a million dollars") } else { Ok(price) }
    }

    /// Returns the sum.
    #[must_use]
    pub fn plus(self, other: Usd) -> Usd {
        Usd(self.0.saturating_add(other.0))
    }

    /// Returns the amount multiplied by `n`.
    #[must_use]
    pub fn times(self, n: u64) -> Usd {
        Usd(self.0.saturating_mul(n))
    }

    /// Returns dollars as a float, for JSON. The value is exact to the micro-dollar below nine
    /// billion dollars.
    #[must_use]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl fmt::Display for Usd {
    /// Shows cents. Amounts below a dollar show tenths of a cent, amounts from a thousand dollars
    /// on no cents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = match self.0 {
            0 => return f.write_str("$0"),
            1..1_000_000 => 3,
            1_000_000..1_000_000_000 => 2,
            _ => 0,
        };
        let step = 10_u64.pow(6 - places);
        let steps = share(self.0, 1, step);
        let (whole, part) = (steps / 10_u64.pow(places), steps % 10_u64.pow(places));
        let digits = whole.to_string();
        let mut grouped = String::new();
        for (n, digit) in digits.chars().enumerate() {
            if n > 0 && (digits.len() - n).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        match places {
            0 => f.pad(&format!("${grouped}")),
            places => f.pad(&format!("${grouped}.{part:0width$}", width = places as usize)),
        }
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Usd, D::Error> {
        struct Price;

        impl Visitor<'_> for Price {
            type Value = Usd;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number of dollars, such as 0.625")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Usd, E> {
                Usd::parse(text).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, whole: i64) -> Result<Usd, E> {
                Usd::parse(&whole.to_string()).map_err(E::custom)
            }

            /// The shortest text of a float is the text in the file, so no arithmetic is needed.
            fn visit_f64<E: de::Error>(self, float: f64) -> Result<Usd, E> {
                Usd::parse(&float.to_string()).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_and_shown_exactly() {
        for (text, micros) in [
            ("0.625", 625_000),
            ("0.00013", 130),
            ("25", 25_000_000),
            ("0.000001", 1),
            ("007.5", 7_500_000),
        ] {
            assert_eq!(Usd::parse(text), Ok(Usd(micros)), "{text}");
        }
        for (text, why) in [
            ("", "not a decimal"),
            (".5", "not a decimal"),
            ("5.", "not a decimal"),
            ("-1", "not a decimal"),
            ("1e3", "not a decimal"),
            ("$1", "not a decimal"),
            ("0.0000001", "six decimal places"),
            ("1000000.000001", "a million"),
            ("99999999999999999999", "a million"),
        ] {
            assert!(Usd::parse(text).is_err_and(|e| e.contains(why)), "{text}");
        }
        for (micros, shown) in [
            (0, "$0"),
            (1, "$0.000"),
            (168_750, "$0.169"),
            (999_999, "$1.000"),
            (9_344_000, "$9.34"),
            (657_000_000, "$657.00"),
            (1_314_000_000, "$1,314"),
            (u64::MAX, "$18,446,744,073,710"),
        ] {
            assert_eq!(Usd(micros).to_string(), shown);
        }
    }
}
