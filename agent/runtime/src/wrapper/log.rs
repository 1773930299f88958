//! Errors as runc logs them: containerd takes the last `level=error` entry of `--log` for the reason of a failure.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::Call;

/// Appends an error to the call's log, if it has one. There is nobody to tell if that fails.
pub(super) fn error(call: &Call, message: &str) {
    let Some(path) = &call.log else { return };
    let time = rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    let line = if call.json {
        json!({"level": "error", "msg": message, "time": time}).to_string()
    } else {
        format!("time={} level=error msg={}", json!(time), json!(message))
    };
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path) {
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

/// The last error of a log in JSON lines.
pub(super) fn last_error(text: &str) -> Option<String> {
    text.lines().rev().find_map(|line| {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let level = entry.get("level")?.as_str()?;
        (level == "error" || level == "fatal").then(|| entry.get("msg")?.as_str().map(str::to_owned))?
    })
}

/// A time since 1970 in UTC, in seconds. The calendar is Howard Hinnant's `civil_from_days`.
fn rfc3339(since: Duration) -> String {
    let seconds = since.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |seconds| rfc3339(Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_logged_is_the_last_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.json");
        let words = [
            "--log",
            path.to_str().unwrap(),
            "--log-format",
            "json",
            "create",
            "x",
        ];
        let call = Call::parse(words.iter().map(OsString::from).collect());
        error(&call, "first");
        error(&call, "a \"quoted\"\nline");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(last_error(&text).as_deref(), Some("a \"quoted\"\nline"));
        assert_eq!(text.lines().count(), 2);
    }
}
