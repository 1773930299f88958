//! Kubernetes quantities as whole numbers.
//!
//! The grammar is that of `k8s.io/apimachinery/pkg/api/resource` (`Quantity`): a decimal number and one suffix, which
//! is binary (`Ki` … `Ei`), decimal (`n`, `u`, `m`, none, `k` … `E`) or an exponent (`e3`, `E-2`). `k8s-openapi` has
//! the type as a string only.

use thiserror::Error;

/// Longest text that is looked at; more digits than fit into 128 bits are refused anyway.
const MAX_LENGTH: usize = 64;

/// Why a text is no quantity of something that is counted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum QuantityError {
    /// It does not follow the grammar.
    #[error("`{0}` is not a Kubernetes quantity such as 100M or 1.5Gi")]
    Malformed(String),
    /// Below zero.
    #[error("`{0}` is below zero")]
    Negative(String),
    /// More than 2^64 - 1.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Reads a quantity exactly (no floating point); a fraction that is left counts as a whole one, as in Kubernetes'
/// own `Quantity.Value()`.
pub fn parse_quantity(text: &str) -> Result<u64, QuantityError> {
    if text.len() > MAX_LENGTH {
        let begin: String = text.chars().take(MAX_LENGTH).collect();
        return Err(QuantityError::Malformed(format!("{begin}…")));
    }
    let malformed = || QuantityError::Malformed(text.to_owned());
    let too_large = || QuantityError::TooLarge(text.to_owned());
    let (is_negative, number) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let end = number
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(number.len());
    let (number, suffix) = number.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') {
        return Err(malformed());
    }
    let scale = Scale::of(suffix).ok_or_else(malformed)?;
    // The number without its point, whose place goes into the power of ten.
    let digits = format!("{whole}{}", fraction.trim_end_matches('0'));
    let places = i32::try_from(fraction.trim_end_matches('0').len()).map_err(|_| malformed())?;
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    if is_negative {
        return Err(QuantityError::Negative(text.to_owned()));
    }
    let digits = digits.parse::<u128>().map_err(|_| too_large())?;
    let scaled = digits.checked_mul(scale.factor).ok_or_else(too_large)?;
    let power = scale.power_of_ten - places;
    let value = if power >= 0 {
        power_of_ten(power).and_then(|power| scaled.checked_mul(power))
    } else {
        // A divisor beyond 128 bits leaves a fraction of one, which counts as one.
        Some(power_of_ten(-power).map_or(1, |power| scaled.div_ceil(power)))
    };
    value
        .and_then(|value| u64::try_from(value).ok())
        .ok_or_else(too_large)
}

/// What a suffix multiplies by: `factor` times ten to the power.
struct Scale {
    factor: u128,
    power_of_ten: i32,
}

impl Scale {
    fn of(suffix: &str) -> Option<Self> {
        let binary = |exponent: u32| Self {
            factor: 1 << exponent,
            power_of_ten: 0,
        };
        let decimal = |power_of_ten: i32| Self {
            factor: 1,
            power_of_ten,
        };
        Some(match suffix {
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "" => decimal(0),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            exponent => decimal(i32::from(exponent.strip_prefix(['e', 'E'])?.parse::<i8>().ok()?)),
        })
    }
}

fn power_of_ten(power: i32) -> Option<u128> {
    10_u128.checked_pow(u32::try_from(power).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_kubernetes_is_read_exactly() {
        for (text, value) in [
            ("0", 0),
            ("0.000", 0),
            ("-0", 0),
            ("+1", 1),
            (".5", 1),
            ("5.", 5),
            ("1.5Gi", 1_610_612_736),
            ("100M", 100_000_000),
            ("1e3", 1_000),
            ("1E3", 1_000),
            ("12e+2", 1_200),
            ("1500e-3", 2),
            ("1E", 1_000_000_000_000_000_000),
            ("15Ei", 15 << 60),
            ("18446744073709551615", u64::MAX),
            ("1.1Ki", 1_127),
            ("100m", 1),
            ("1001m", 2),
            ("1n", 1),
            ("1e-99", 1),
            ("0.000000000000000000000000000000000000001Ei", 1),
        ] {
            assert_eq!(parse_quantity(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", ".", "+", "Mi", "1mi", "1KB", "1 M", "1.2.3", "--1", "e3", "1e", "1e1.5", "1K", "0x10", "١",
            "1e999",
        ] {
            assert_eq!(
                parse_quantity(text),
                Err(QuantityError::Malformed(text.to_owned())),
                "{text}"
            );
        }
        assert_eq!(
            parse_quantity("-1Mi"),
            Err(QuantityError::Negative("-1Mi".to_owned()))
        );
        for text in [
            "16Ei",
            "18446744073709551616",
            "1e20",
            "1e99",
            "999999999999999999999999999999999999999999",
        ] {
            assert_eq!(
                parse_quantity(text),
                Err(QuantityError::TooLarge(text.to_owned())),
                "{text}"
            );
        }
        assert!(matches!(
            parse_quantity(&"1".repeat(1_000)),
            Err(QuantityError::Malformed(message)) if message.len() < 80
        ));
    }
}
