//! Reads what a migration of a pod would depend on, without a migration: for the reports of nodes.
//!
//! Hundreds of pods are looked at one after the other here, so what they share (nodes, migrations, owners) is read once and kept for
//! a short while. A report may be a little old; a migration reads everything anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_crds::{
    MIGRATION_LABEL, MIGRATION_UID_ANNOTATION, PodMigration, PodMigrationSpec, PodMigrationStatus,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::{ObserveError, claims, owner};
use crate::facts::Observed;
use crate::known_node::KnownNode;
use crate::owner::{self as owners, Member, Owner};
use crate::relay::{Relay, Role};

/// How long what pods share is good.
const FRESH: Duration = Duration::from_secs(30);
/// How long an owner is: hundreds of pods may have the same, on many nodes.
const OWNERS_FRESH: Duration = Duration::from_mins(5);

/// What pods share.
#[derive(Default)]
pub struct Shared {
    read: Option<(Instant, Vec<Arc<KnownNode>>, Vec<PodMigration>)>,
    /// By namespace and UID.
    owners: HashMap<(String, String), (Instant, Option<Owner>)>,
}

impl Shared {
    /// Reads nodes and migrations, unless that was done a moment ago.
    async fn refresh(&mut self, client: &Client) -> Result<(), ObserveError> {
        let is_fresh = self.read.as_ref().is_some_and(|(at, ..)| at.elapsed() < FRESH);
        if is_fresh {
            return Ok(());
        }
        self.owners.retain(|_, (at, _)| at.elapsed() < OWNERS_FRESH);
        // From the API server's cache.
        let all = ListParams::default().match_any();
        let nodes = Api::<Node>::all(client.clone()).list(&all).await;
        let nodes = nodes.map_err(|error| ObserveError::Read("the nodes", error))?;
        let migrations = Api::<PodMigration>::all(client.clone()).list(&all).await;
        let migrations = migrations.map_err(|error| ObserveError::Read("the migrations", error))?;
        let (mut nodes, mut migrations) = (nodes.items, migrations.items);
        // What makes these objects large, and decides nothing.
        for node in &mut nodes {
            node.metadata.managed_fields = None;
            if let Some(status) = &mut node.status {
                status.images = None;
            }
        }
        for migration in &mut migrations {
            migration.metadata.managed_fields = None;
        }
        let nodes = nodes.into_iter().map(KnownNode::shared).collect();
        self.read = Some((Instant::now(), nodes, migrations));
        Ok(())
    }

    async fn owner(
        &mut self,
        client: &Client,
        namespace: &str,
        observed: &Observed,
    ) -> Result<Option<Owner>, ObserveError> {
        // What is known of a StatefulSet is of one of its pods.
        let of_number = observed
            .source
            .as_ref()
            .filter(|pod| Member::meant_by(pod).is_none());
        let Some(reference) = of_number.and_then(owners::reference) else {
            return owner::of(client, namespace, observed).await;
        };
        let key = (namespace.to_owned(), reference.uid.clone());
        if let Some((_, owner)) = self.owners.get(&key) {
            return Ok(owner.clone());
        }
        let owner = owner::of(client, namespace, observed).await?;
        self.owners.insert(key, (Instant::now(), owner.clone()));
        Ok(owner)
    }
}

/// What a migration of that pod with the default spec would be decided by. Whether the API server would take the target is not asked.
pub async fn unasked(client: &Client, shared: &mut Shared, pod: Pod) -> Result<Observed, ObserveError> {
    shared.refresh(client).await?;
    let namespace = pod.namespace().unwrap_or_default();
    let (nodes, migrations) = match &shared.read {
        Some((_, nodes, migrations)) => (nodes.clone(), migrations.as_slice()),
        None => (Vec::new(), [].as_slice()),
    };
    let mut observed = asked_for(pod, nodes, migrations);
    if let Some(pod) = observed.source.clone() {
        observed.owner = shared.owner(client, &namespace, &observed).await?;
        observed.claims = claims::of(client, &namespace, &pod).await?;
    }
    Ok(observed)
}

/// Everything that needs no more reading. Pure.
fn asked_for(pod: Pod, nodes: Vec<Arc<KnownNode>>, migrations: &[PodMigration]) -> Observed {
    let namespace = pod.namespace();
    let member = Member::from(&pod).map(|member| member.name);
    // As a user would: a stand-in is moved by the name of the pod for which it stands in.
    let name = member.clone().unwrap_or_else(|| pod.name_any());
    let spec = PodMigrationSpec {
        pod_name: name,
        ..PodMigrationSpec::default()
    };
    let mut migration = PodMigration::new("", spec);
    migration.metadata.namespace.clone_from(&namespace);
    migration.status = Some(PodMigrationStatus::default());
    let names = [Some(pod.name_any()), member];
    let here = migrations.iter().filter(|other| other.namespace() == namespace);
    let others = here
        .clone()
        .filter(|other| names.iter().flatten().any(|name| *name == other.spec.pod_name));
    let label = pod.labels().get(MIGRATION_LABEL);
    let uid = pod.annotations().get(MIGRATION_UID_ANNOTATION);
    let maker = here
        .clone()
        .find(|maker| label == maker.metadata.name.as_ref() && uid == maker.metadata.uid.as_ref());
    Observed {
        others: others.cloned().collect(),
        maker: maker.cloned(),
        source: Some(pod),
        migration,
        nodes,
        target: None,
        target_refusal: None,
        owner: None,
        claims: Vec::new(),
        role: Role::Whole,
        relay: Relay::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    fn pod(more: &Value) -> Pod {
        let mut pod = json!({"metadata": {"name": "redis-x", "namespace": "shop", "uid": "pod"}});
        for (key, value) in more.as_object().unwrap() {
            pod["metadata"][key] = value.clone();
        }
        serde_json::from_value(pod).unwrap()
    }

    fn migration(namespace: &str, name: &str, pod: &str) -> PodMigration {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": namespace, "uid": format!("uid-{name}")}, "spec": {"podName": pod},
        }))
        .unwrap()
    }

    #[test]
    fn migrations_of_the_same_pod_are_those_of_its_namespace_and_names() {
        let all = [
            migration("shop", "same", "redis-x"),
            migration("other", "elsewhere", "redis-x"),
            migration("shop", "another", "redis-y"),
            migration("shop", "meant", "redis-0"),
        ];
        let names = |pod: Pod| {
            let observed = asked_for(pod, Vec::new(), &all);
            let others = observed
                .others
                .iter()
                .map(ResourceExt::name_any)
                .collect::<Vec<_>>();
            (observed.migration.spec.pod_name.clone(), others)
        };
        assert_eq!(
            names(pod(&json!({}))),
            ("redis-x".to_owned(), vec!["same".to_owned()])
        );
        let stand_in = json!({"annotations": {"godwit.dev/stand-in": "{\"name\": \"redis-0\"}"}});
        let (name, others) = names(pod(&stand_in));
        assert_eq!((name.as_str(), others.len()), ("redis-0", 2));
    }

    #[tokio::test]
    async fn what_pods_share_is_read_once() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let path = request.uri().path().to_owned();
            let answer = if path.ends_with("/replicasets/redis") {
                json!({"metadata": {"name": "redis", "namespace": "shop", "uid": "set"}, "spec": {"selector": {}}})
            } else {
                json!({"metadata": {}, "items": []})
            };
            heard.lock().unwrap().push(path);
            let body = Body::from(answer.to_string().into_bytes());
            async move { Ok::<_, std::convert::Infallible>(Response::new(body)) }
        });
        let client = Client::new(service, "default");
        let mut shared = Shared::default();
        let owned = json!({"ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "redis", "uid": "set", "controller": true},
        ]});
        for _ in 0..3 {
            let observed = Box::pin(unasked(&client, &mut shared, pod(&owned)))
                .await
                .unwrap();
            assert!(
                matches!(observed.owner, Some(Owner::Lives(_))),
                "{:?}",
                observed.owner
            );
            Box::pin(unasked(&client, &mut shared, pod(&json!({}))))
                .await
                .unwrap();
        }
        let asked = asked.lock().unwrap();
        assert_eq!(
            *asked,
            [
                "/api/v1/nodes",
                "/apis/godwit.dev/v1alpha1/podmigrations",
                "/apis/apps/v1/namespaces/shop/replicasets/redis",
            ]
        );
    }

    #[test]
    fn the_migration_that_made_the_pod_is_known_by_name_and_uid() {
        let all = [migration("shop", "made", "redis-0")];
        let of = |uid: &str| {
            let made = json!({"labels": {"godwit.dev/migration": "made"}, "annotations": {"godwit.dev/migration-uid": uid}});
            asked_for(pod(&made), Vec::new(), &all).maker.is_some()
        };
        assert!(of("uid-made"));
        assert!(!of("before"));
        assert!(asked_for(pod(&json!({})), Vec::new(), &all).maker.is_none());
    }
}
