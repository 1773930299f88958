//! Bandwidths: Kubernetes quantities (`100M`, `1Gi`) that are bytes per second.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::quantity::{QuantityError, parse_quantity};

/// Least bandwidth that can be asked for, in bytes per second. Below it a migration would not end in anybody's
/// patience; and who writes `500` has meant another unit.
pub const MIN_BANDWIDTH: u64 = 1_000;
/// Greatest one: `1P`.
pub const MAX_BANDWIDTH: u64 = 1_000_000_000_000_000;

/// What the schema lets through; the two rules about least and greatest are the API server's (CEL).
const PATTERN: &str = r"^[0-9]{1,16}(\.[0-9]{1,9})?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|[eE][0-9]{1,2})?$";

/// Why a text is no bandwidth.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BandwidthError {
    /// No quantity at all.
    #[error("a bandwidth is a quantity of bytes per second, such as 100M or 1Gi")]
    NoQuantity(#[source] QuantityError),
    /// Out of bounds.
    #[error("`{0}` is not between 1k and 1P bytes per second")]
    OutOfBounds(String),
}

/// Bytes per second, as a Kubernetes quantity.
///
/// Holds what was written, so that an object that was stored before the schema was can still be read; the figure is
/// [`Bandwidth::bytes_per_second`]. As with every quantity a plain number in YAML is taken too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Bandwidth(String);

impl Bandwidth {
    /// The figure; a fraction of a byte counts as a whole one.
    ///
    /// Fails on what the schema would have refused.
    pub fn bytes_per_second(&self) -> Result<u64, BandwidthError> {
        let bytes = parse_quantity(&self.0).map_err(BandwidthError::NoQuantity)?;
        if (MIN_BANDWIDTH..=MAX_BANDWIDTH).contains(&bytes) {
            Ok(bytes)
        } else {
            Err(BandwidthError::OutOfBounds(self.0.clone()))
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// For command lines: a text that is checked at once.
impl FromStr for Bandwidth {
    type Err = BandwidthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bandwidth = Self(text.to_owned());
        bandwidth.bytes_per_second().map(|_| bandwidth)
    }
}

impl<'de> Deserialize<'de> for Bandwidth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Number(i64),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Number(number) => number.to_string(),
        }))
    }
}

/// A number or a text, as for quantities everywhere in Kubernetes.
pub(crate) fn bandwidth_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "x-kubernetes-int-or-string": true,
        "pattern": PATTERN,
        // Bounds what the rules on it may cost; numbers have no length.
        "maxLength": 27,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(text: &str) -> Result<u64, BandwidthError> {
        Bandwidth(text.to_owned()).bytes_per_second()
    }

    #[test]
    fn bytes_per_second_are_exact() {
        for (text, bytes) in [
            ("1k", 1_000),
            ("1000", 1_000),
            ("100M", 100_000_000),
            ("1Gi", 1 << 30),
            ("1.5Gi", 3 << 29),
            ("12.5e6", 12_500_000),
            ("1P", MAX_BANDWIDTH),
        ] {
            assert_eq!(figure(text), Ok(bytes), "{text}");
            assert_eq!(text.parse::<Bandwidth>().map(|it| it.0), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        // `100m` are thousandths: somebody meant megabits.
        for text in ["0", "999", "100m", "1.1P", "1Pi", "1Ei"] {
            assert_eq!(
                figure(text),
                Err(BandwidthError::OutOfBounds(text.to_owned())),
                "{text}"
            );
        }
        for text in ["", "fast", "-1M", "100MB", "100 M", "100Mbit"] {
            assert!(
                matches!(figure(text), Err(BandwidthError::NoQuantity(_))),
                "{text}"
            );
            assert!(text.parse::<Bandwidth>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_plain_number_is_a_quantity_too() {
        let read = |json: &str| serde_json::from_str::<Bandwidth>(json);
        assert_eq!(read("5000000").unwrap().bytes_per_second(), Ok(5_000_000));
        assert_eq!(read("\"5M\"").unwrap().bytes_per_second(), Ok(5_000_000));
        assert!(read("true").is_err());
        assert_eq!(serde_json::to_string(&read("5000").unwrap()).unwrap(), "\"5000\"");
    }
}
