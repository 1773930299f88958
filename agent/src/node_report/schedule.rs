//! When a look is due, and when what it saw is worth writing. Pure.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::str::FromStr;
use std::time::Duration;

use godwit_crds::{AgentLook, LOOK_ANNOTATION, NodeReport, answer_of, parse_duration};
use kube::ResourceExt;
use thiserror::Error;

/// The first looks of a cluster's agents are spread over so much time.
const SPREAD: Duration = Duration::from_mins(1);
/// A report in which nothing has changed is written again after so many looks, so that its time says that it is looked after.
const SILENT_LOOKS: u32 = 6;
/// More often would be work that nobody reads.
const SHORTEST: Duration = Duration::from_secs(10);

/// Time between two looks; none: only when asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(Option<Duration>);

/// Why a text is no interval.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is neither 0 nor a duration of at least {shortest} s such as 5m", shortest = SHORTEST.as_secs())]
pub struct IntervalError(String);

impl IntervalError {
    /// Stable `PascalCase` reason.
    pub fn reason(&self) -> &'static str {
        "ReportIntervalInvalid"
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    /// `0`, or a duration such as `5m`.
    fn from_str(text: &str) -> Result<Self, IntervalError> {
        if text == "0" {
            return Ok(Self(None));
        }
        let interval = parse_duration(text).ok().filter(|it| *it >= SHORTEST);
        interval
            .map(|it| Self(Some(it)))
            .ok_or_else(|| IntervalError(text.to_owned()))
    }
}

impl Interval {
    /// Time until the first look of that node's agent.
    pub(super) fn first(self, node: &str) -> Option<Duration> {
        let mut hasher = DefaultHasher::new();
        node.hash(&mut hasher);
        let share = u32::try_from(hasher.finish() % 1_000).unwrap_or_default();
        self.0.map(|interval| interval.min(SPREAD) * share / 1_000)
    }

    /// Time from one look to the next.
    pub(super) fn between(self) -> Option<Duration> {
        self.0
    }
}

/// What a report is asked for: the value of its annotation.
pub(super) fn asked(report: &NodeReport) -> Option<String> {
    report
        .annotations()
        .get(LOOK_ANNOTATION)
        .map(|value| answer_of(value))
}

/// True if somebody waits for a look. `done` is the last one that this process has written: UID of the report, and what it answered.
pub(super) fn is_asked(report: &NodeReport, done: Option<&(String, Option<String>)>) -> bool {
    let Some(asked) = asked(report) else { return false };
    let written = report
        .status
        .as_ref()
        .and_then(|status| status.agent.as_ref()?.answered.as_ref());
    let known = done
        .filter(|(uid, _)| report.metadata.uid.as_ref() == Some(uid))
        .and_then(|(_, answered)| answered.as_ref());
    written != Some(&asked) && known != Some(&asked)
}

/// True if the look is worth writing over what is there.
pub(super) fn is_to_write(before: Option<&AgentLook>, now: &AgentLook, interval: Interval) -> bool {
    let Some(before) = before else { return true };
    let age = now.observed_at.0.duration_since(before.observed_at.0);
    let old = interval.0.is_none_or(|interval| {
        let age = Duration::try_from(age).unwrap_or_default();
        // A look is a little later each time than the interval says.
        age + interval / 2 >= interval * SILENT_LOOKS
    });
    old || before.pods != now.pods || before.answered != now.answered
}

#[cfg(test)]
mod tests {
    use godwit_crds::PodLook;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn minutes(minutes: u64) -> Interval {
        Interval(Some(Duration::from_mins(minutes)))
    }

    #[test]
    fn an_interval_is_a_duration_or_none() {
        assert_eq!("5m".parse(), Ok(minutes(5)));
        assert_eq!("0".parse(), Ok(Interval(None)));
        for text in ["", "5", "9s", "0s", "-5m", "5 m"] {
            let error = text.parse::<Interval>().unwrap_err();
            assert_eq!(error.reason(), "ReportIntervalInvalid", "{text}");
        }
    }

    #[test]
    fn first_looks_are_spread_and_never_come_without_an_interval() {
        let firsts: std::collections::BTreeSet<_> = (0..50)
            .filter_map(|node| minutes(5).first(&format!("n{node}")))
            .collect();
        assert!(firsts.len() > 30 && firsts.iter().all(|first| *first <= SPREAD));
        let short: Interval = "10s".parse().unwrap();
        assert!(short.first("n1") <= Some(Duration::from_secs(10)));
        assert_eq!(Interval(None).first("n1"), None);
        assert_eq!(Interval(None).between(), None);
    }

    fn report(annotations: &Value, answered: &Value) -> NodeReport {
        serde_json::from_value(json!({
            "metadata": {"name": "n1", "uid": "u", "annotations": annotations}, "spec": {},
            "status": {"agent": {"observedAt": "2027-01-15T08:00:00Z", "answered": answered}},
        }))
        .unwrap()
    }

    #[test]
    fn a_request_is_one_until_it_has_been_answered() {
        let of = |value: &str| json!({LOOK_ANNOTATION: value});
        assert!(!is_asked(&report(&json!({}), &Value::Null), None));
        assert!(is_asked(&report(&of("1"), &Value::Null), None));
        assert!(is_asked(&report(&of(""), &Value::Null), None));
        assert!(!is_asked(&report(&of("1"), &json!("1")), None));
        let second = report(&of("2"), &json!("1"));
        assert!(is_asked(&second, None));
        // The watch is behind what was written.
        let done = |uid: &str| Some((uid.to_owned(), Some("2".to_owned())));
        assert!(!is_asked(&second, done("u").as_ref()));
        // Another object of the same name.
        assert!(is_asked(&second, done("before").as_ref()));
        let long = "x".repeat(1_000);
        let answer = asked(&report(&of(&long), &Value::Null)).unwrap();
        assert!(!is_asked(&report(&of(&long), &json!(answer)), None));
    }

    fn look(minute: i64, uid: &str, answered: Option<&str>) -> AgentLook {
        AgentLook {
            observed_at: Timestamp::from_second(minute * 60).unwrap().into(),
            answered: answered.map(str::to_owned),
            pods: vec![PodLook {
                uid: uid.to_owned(),
                checks: Vec::new(),
                more: 0,
            }],
        }
    }

    #[test]
    fn only_news_are_written_and_now_and_then_that_there_are_none() {
        let before = look(100, "a", None);
        let is_written = |now: &AgentLook| is_to_write(Some(&before), now, minutes(5));
        assert!(is_to_write(None, &before, minutes(5)));
        assert!(!is_written(&look(105, "a", None)));
        assert!(!is_written(&look(125, "a", None)));
        assert!(is_written(&look(130, "a", None)));
        assert!(is_written(&look(105, "b", None)));
        assert!(is_written(&look(105, "a", Some("x"))));
        // A clock that was set back.
        assert!(!is_written(&look(50, "a", None)));
        // Who looks only when asked always has an answer.
        assert!(is_to_write(Some(&before), &look(101, "a", None), Interval(None)));
    }
}
