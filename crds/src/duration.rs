//! Kubernetes duration strings (`300ms`, `90s`, `1h30m`), as the API conventions want them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a duration string is not one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a duration such as 500ms, 90s or 1h30m")]
pub struct DurationError(String);

/// The limit of a whole migration: a duration string above zero, ten minutes where it is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct MigrationTimeout(
    // At most five digits a part: the sum stays far below the 292 years that end Go's and CEL's durations.
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]{1,5}(h|m|s|ms))+$"))] pub String,
);

impl Default for MigrationTimeout {
    fn default() -> Self {
        Self("10m".to_owned())
    }
}

impl MigrationTimeout {
    /// The limit as a [`Duration`].
    ///
    /// Fails with [`DurationError`] on a string that the schema would have refused, which reaches us only from an
    /// object that was stored before the schema was.
    pub fn duration(&self) -> Result<Duration, DurationError> {
        parse(&self.0)
    }
}

/// How long the freeze may be: a duration string above zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FreezeBudget(
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]{1,5}(h|m|s|ms))+$"))] pub String,
);

impl FreezeBudget {
    /// The budget as a [`Duration`]. Fails as [`MigrationTimeout::duration`] does.
    pub fn duration(&self) -> Result<Duration, DurationError> {
        parse(&self.0)
    }
}

/// Units of Go's `time.ParseDuration` that make sense here, longest name first so that `ms` is not read as `m`.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// Writes a duration as a Kubernetes duration string: milliseconds below ten seconds, whole seconds above, so that
/// `183ms`, `9500ms` and `12s` are as exact as anybody reads them.
pub fn format_duration(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        format!("{}ms", duration.as_millis())
    } else {
        format!("{}s", duration.as_secs())
    }
}

/// Reads a Kubernetes duration string above zero, such as a part of [`crate::FreezeTimings`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    parse(text)
}

fn parse(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError(text.to_owned());
    let mut rest = text;
    let mut millis: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let (unit, factor) = UNITS
            .iter()
            .find(|(unit, _)| tail.starts_with(unit))
            .ok_or_else(wrong)?;
        let part = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*factor))
            .ok_or_else(wrong)?;
        millis = millis.checked_add(part).ok_or_else(wrong)?;
        rest = &tail[unit.len()..];
    }
    if millis == 0 {
        return Err(wrong());
    }
    Ok(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kubernetes_writes() {
        for (text, millis) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("10m", 600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for (millis, text) in [
            (0, "0ms"),
            (183, "183ms"),
            (9_999, "9999ms"),
            (12_900, "12s"),
            (600_000, "600s"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn refuses_anything_else() {
        for text in ["", "0s", "10", "s", "-1s", "1.5s", "99999999999999999999h", "1d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
