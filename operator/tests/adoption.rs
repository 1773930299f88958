//! What is asked of the API server when a target is given to its owner, and what is made of its answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

mod support;

use std::sync::{Arc, Mutex};

use axum::http::{Request, Response, StatusCode};
use godwit_operator::apply::apply;
use godwit_operator::decide::{Action, Decision};
use godwit_operator::owner::Withheld;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use support::{at, observed};

/// A request: its path with its query, its content type, its body.
type Asked = (String, String, Value);

/// Applies what a Job's adoption is, to an API server that answers so; gives the reason in the status and what was asked.
async fn adopted(answer: fn(&Asked) -> StatusCode) -> (Option<String>, Vec<Asked>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let seen = Arc::clone(&seen);
        async move {
            let path = request.uri().path_and_query().unwrap().to_string();
            let kind = request.headers()["content-type"].to_str().unwrap().to_owned();
            let body = axum::body::Body::new(request.into_body());
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let one = (path, kind, serde_json::from_slice(&body).unwrap());
            let status = answer(&one);
            seen.lock().unwrap().push(one);
            let body = if status == StatusCode::OK {
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}})
            } else {
                json!({
                    "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "x",
                    "message": "policy p says no", "code": status.as_u16()
                })
            };
            let mut response = Response::new(Body::from(body.to_string().into_bytes()));
            *response.status_mut() = status;
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let withheld: Withheld = serde_json::from_value(json!({
        "labels": {"controller-uid": "j"}, "finalizers": ["batch.kubernetes.io/job-tracking"],
        "references": [{
            "apiVersion": "batch/v1", "kind": "Job", "name": "sum", "uid": "j", "controller": true, "blockOwnerDeletion": true
        }],
    }))
    .unwrap();
    let observed = observed();
    let decision = Decision {
        actions: vec![
            Action::ReleaseSource {
                name: "s".to_owned(),
                uid: "source-uid".to_owned(),
                take: Box::new(withheld.clone()),
            },
            Action::AdoptTarget {
                name: "t".to_owned(),
                uid: "target-uid".to_owned(),
                give: Box::new(withheld),
            },
        ],
        status: observed.migration.status.clone().unwrap(),
        announcements: Vec::new(),
        look_again: None,
    };
    let client = Client::new(service, "shop");
    let applied = apply(&client, &observed, decision, at(9)).await.unwrap();
    let reason = applied.decision().status.reason.clone();
    let asked = asked.lock().unwrap().clone();
    (reason, asked)
}

fn is_dry(asked: &Asked) -> bool {
    asked.0.contains("dryRun=All")
}

fn blocks(asked: &Asked) -> bool {
    asked.2.pointer("/metadata/ownerReferences/0/blockOwnerDeletion") == Some(&json!(true))
}

#[tokio::test]
async fn the_api_server_is_asked_before_anything_is_done_and_then_source_and_target_follow_each_other() {
    let (reason, asked) = adopted(|_| StatusCode::OK).await;
    assert_eq!(reason, None);
    let pods: Vec<(&str, bool)> = asked
        .iter()
        .map(|one| {
            (
                one.2.pointer("/metadata/uid").unwrap().as_str().unwrap(),
                is_dry(one),
            )
        })
        .collect();
    assert_eq!(
        pods,
        [
            ("source-uid", true),
            ("target-uid", true),
            ("source-uid", false),
            ("target-uid", false)
        ]
    );
    for one in &asked {
        assert_eq!(one.1, "application/strategic-merge-patch+json");
    }
    assert!(asked[2].0.starts_with("/api/v1/namespaces/shop/pods/s?"));
    assert!(blocks(&asked[3]));
}

#[tokio::test]
async fn whoever_may_not_block_an_owner_gives_a_reference_that_does_not() {
    let forbids = |asked: &Asked| {
        if blocks(asked) {
            StatusCode::FORBIDDEN
        } else {
            StatusCode::OK
        }
    };
    let (reason, asked) = adopted(forbids).await;
    assert_eq!(reason, None);
    let done: Vec<bool> = asked.iter().filter(|one| !is_dry(one)).map(blocks).collect();
    assert_eq!(done, [false, true, false], "source, then target twice");
}

#[tokio::test]
async fn nothing_is_done_to_the_source_if_the_target_may_not_have_its_place() {
    let (reason, asked) = adopted(|_| StatusCode::FORBIDDEN).await;
    assert_eq!(reason.as_deref(), Some("WaitingForOwner"));
    assert!(asked.iter().all(is_dry), "{asked:?}");
}

#[tokio::test]
async fn a_target_is_not_given_to_a_job_that_cannot_lose_the_source() {
    let keeps_source = |asked: &Asked| {
        if asked.2.pointer("/metadata/uid") == Some(&json!("source-uid")) {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::OK
        }
    };
    let (reason, asked) = adopted(keeps_source).await;
    assert_eq!(reason.as_deref(), Some("WaitingForOwner"));
    assert!(asked.iter().all(is_dry), "{asked:?}");
}

#[tokio::test]
async fn pods_that_are_gone_or_have_been_replaced_are_no_failure() {
    let (reason, _) = adopted(|_| StatusCode::NOT_FOUND).await;
    assert_eq!(reason, None);
    let (reason, _) = adopted(|_| StatusCode::CONFLICT).await;
    assert_eq!(reason, None);
}
