//! Which pods on a node run under Godwit's `RuntimeClass`.

use godwit_crds::RUNTIME_CLASS;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};

/// Pods (namespace/name) of `RuntimeClass` `godwit` on the node that have not ended; errors are those of the API server.
pub async fn pods_of_runtime_class(client: &Client, node: &str) -> Result<Vec<String>, kube::Error> {
    let api: Api<Pod> = Api::all(client.clone());
    let pods = api
        .list(&ListParams::default().fields(&format!("spec.nodeName={node}")))
        .await?;
    Ok(pods
        .items
        .iter()
        .filter(|pod| depends(pod))
        .map(name_of)
        .collect())
}

fn depends(pod: &Pod) -> bool {
    let class = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.runtime_class_name.as_deref());
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    class == Some(RUNTIME_CLASS) && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn name_of(pod: &Pod) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&pod.metadata.namespace), part(&pod.metadata.name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_pods_of_the_class_that_have_not_ended_depend() {
        let pod = |class: Value, phase: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"namespace": "shop", "name": "redis-0"},
                "spec": {"containers": [], "runtimeClassName": class}, "status": {"phase": phase},
            }))
            .unwrap()
        };
        assert!(depends(&pod(json!("godwit"), "Running")) && depends(&pod(json!("godwit"), "Pending")));
        assert!(!depends(&pod(json!("godwit"), "Succeeded")) && !depends(&pod(json!("kata"), "Running")));
        assert!(!depends(&pod(Value::Null, "Running")));
        assert_eq!(name_of(&pod(Value::Null, "Running")), "shop/redis-0");
    }
}
