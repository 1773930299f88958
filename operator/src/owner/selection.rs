//! By which labels an owner selects its pods.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

/// Labels of a Job's pods besides those of its selector: users and other controllers find its pods by them
/// (k8s.io/api/batch/v1, `JobNameLabel` and `ControllerUidLabel`, with and without their prefix).
const OF_A_JOB: [&str; 4] = [
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-uid",
    "job-name",
];

/// A selector, and the keys that a pod must not have to be out of its sight.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    selector: Option<Selector>,
    keys: BTreeSet<String>,
}

impl Selection {
    /// Of a selector with expressions. One that the API server took is always valid; another one selects nothing that
    /// could be hidden from it, see [`Self::still_sees`].
    pub fn of(selector: &LabelSelector) -> Self {
        let named = selector.match_labels.iter().flatten().map(|(key, _)| key.clone());
        let expressions = selector.match_expressions.iter().flatten();
        Self {
            keys: named
                .chain(expressions.map(|expression| expression.key.clone()))
                .collect(),
            selector: Selector::try_from(selector.clone()).ok(),
        }
    }

    /// Of a selector of labels alone.
    pub fn of_labels(labels: &BTreeMap<String, String>) -> Self {
        Self::of(&LabelSelector {
            match_labels: Some(labels.clone()),
            match_expressions: None,
        })
    }

    /// The same with what else marks the pods of a Job.
    #[must_use]
    pub fn of_a_job(mut self) -> Self {
        self.keys.extend(OF_A_JOB.map(str::to_owned));
        self
    }

    /// Those of the labels by which the owner selects.
    pub fn withheld(&self, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut withheld = labels.clone();
        withheld.retain(|key, _| self.keys.contains(key));
        withheld
    }

    /// True when a pod is selected even without those labels: the selector asks for keys that are not there.
    pub fn still_sees(&self, labels: &BTreeMap<String, String>) -> bool {
        let mut rest = labels.clone();
        rest.retain(|key, _| !self.keys.contains(key));
        self.selector
            .as_ref()
            .is_none_or(|selector| selector.matches(&rest))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn selection(selector: Value) -> Selection {
        Selection::of(&serde_json::from_value(selector).unwrap())
    }

    fn labels(keys: &[&str]) -> BTreeMap<String, String> {
        keys.iter()
            .map(|key| ((*key).to_owned(), "x".to_owned()))
            .collect()
    }

    #[test]
    fn every_key_that_selects_is_withheld_and_no_other() {
        let selection = selection(json!({
            "matchLabels": {"app": "x"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["x"]}, {"key": "hash", "operator": "Exists"}]
        }));
        let all = labels(&["app", "tier", "hash", "team"]);
        assert_eq!(selection.withheld(&all), labels(&["app", "tier", "hash"]));
        assert!(!selection.still_sees(&all));
    }

    #[test]
    fn a_selector_of_what_is_not_there_cannot_be_hidden_from() {
        let wide = selection(json!({"matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}]}));
        assert!(wide.still_sees(&labels(&["app"])));
        let both = selection(json!({
            "matchLabels": {"app": "x"}, "matchExpressions": [{"key": "canary", "operator": "NotIn", "values": ["y"]}]
        }));
        assert!(!both.still_sees(&labels(&["app"])));
        assert!(selection(json!({})).still_sees(&labels(&["app"])));
    }

    #[test]
    fn a_jobs_pods_lose_its_name_too() {
        let of_job =
            selection(json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "x"}})).of_a_job();
        let all = labels(&[
            "batch.kubernetes.io/controller-uid",
            "job-name",
            "batch.kubernetes.io/job-completion-index",
        ]);
        assert_eq!(
            of_job.withheld(&all),
            labels(&["batch.kubernetes.io/controller-uid", "job-name"])
        );
    }
}
