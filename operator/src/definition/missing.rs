//! What a definition lacks of another: pure.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps, JSONSchemaPropsOrArray,
    JSONSchemaPropsOrBool,
};

/// Paths of `wanted`'s properties that `found` does not declare in a version that it serves, in the order of the schema;
/// of a missing object only its own path, of a missing value of an enumeration `path=value`, of a missing version
/// `version NAME`. Empty when everything can be stored. What `found` has beyond that does not matter: it may be newer.
///
/// The API server drops undeclared fields of an ordinary write without a word, and refuses a server-side apply that has
/// one (`field not declared in schema`).
pub fn missing(wanted: &CustomResourceDefinition, found: &CustomResourceDefinition) -> Vec<String> {
    let mut lacks = Vec::new();
    for version in wanted.spec.versions.iter().filter(|version| version.served) {
        let mut others = found.spec.versions.iter();
        let Some(other) = others.find(|other| other.served && other.name == version.name) else {
            lacks.push(format!("version {}", version.name));
            continue;
        };
        walk("", &schema(version), &schema(other), &mut lacks);
    }
    lacks
}

fn schema(version: &CustomResourceDefinitionVersion) -> JSONSchemaProps {
    let validation = version.schema.clone();
    validation
        .and_then(|validation| validation.open_api_v3_schema)
        .unwrap_or_default()
}

fn walk(path: &str, wanted: &JSONSchemaProps, found: &JSONSchemaProps, lacks: &mut Vec<String>) {
    if found.x_kubernetes_preserve_unknown_fields == Some(true) {
        return;
    }
    for (name, property) in wanted.properties.iter().flatten() {
        let path = join(path, name);
        match found.properties.as_ref().and_then(|found| found.get(name)) {
            Some(found) => walk(&path, property, found, lacks),
            None => lacks.push(path),
        }
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &wanted.items {
        let path = format!("{path}[]");
        match &found.items {
            Some(JSONSchemaPropsOrArray::Schema(found)) => walk(&path, items, found, lacks),
            _ => lacks.push(path),
        }
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &wanted.additional_properties {
        let path = join(path, "*");
        match &found.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(found)) => walk(&path, values, found, lacks),
            Some(JSONSchemaPropsOrBool::Bool(true)) => {}
            _ => lacks.push(path),
        }
    }
    if let (Some(values), Some(found)) = (&wanted.enum_, &found.enum_) {
        let new = values.iter().filter(|value| !found.contains(value));
        lacks.extend(new.map(|value| match value.0.as_str() {
            Some(text) => format!("{path}={text}"),
            None => format!("{path}={}", value.0),
        }));
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use godwit_crds::PodMigration;
    use kube::CustomResourceExt;
    use serde_json::{Value, json};

    use super::*;

    /// The definition of this release, changed at its schema.
    fn changed(change: impl FnOnce(&mut Value)) -> CustomResourceDefinition {
        let mut definition = serde_json::to_value(PodMigration::crd()).unwrap();
        change(
            definition
                .pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties")
                .unwrap(),
        );
        serde_json::from_value(definition).unwrap()
    }

    fn lacks(change: impl FnOnce(&mut Value)) -> Vec<String> {
        missing(&PodMigration::crd(), &changed(change))
    }

    fn take(schema: &mut Value, object: &str, field: &str) {
        let object = schema.pointer_mut(object).unwrap().as_object_mut().unwrap();
        assert!(object.remove(field).is_some(), "{field}");
    }

    #[test]
    fn this_release_has_all_of_its_own() {
        assert_eq!(lacks(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn a_definition_of_before_memory_lacks_it_once_however_much_is_below() {
        let found = lacks(|schema| {
            take(schema, "/status/properties/source/properties", "memory");
            take(schema, "/spec/properties", "freezeBudget");
        });
        assert_eq!(found, ["spec.freezeBudget", "status.source.memory"]);
    }

    #[test]
    fn items_of_lists_are_looked_into() {
        let found = lacks(|schema| {
            take(
                schema,
                "/status/properties/source/properties/memory/properties/rounds/items/properties",
                "dirty",
            );
        });
        assert_eq!(found, ["status.source.memory.rounds[].dirty"]);
    }

    #[test]
    fn a_new_value_of_an_enumeration_is_missing_too() {
        let found = lacks(|schema| {
            let values = schema
                .pointer_mut("/status/properties/source/properties/state/enum")
                .unwrap();
            values
                .as_array_mut()
                .unwrap()
                .retain(|value| value != "RolledBack");
        });
        assert_eq!(found, ["status.source.state=RolledBack"]);
    }

    #[test]
    fn a_newer_definition_and_one_that_keeps_everything_are_fine() {
        let newer = lacks(|schema| {
            schema["status"]["properties"]["further"] = json!({"type": "string"});
        });
        assert_eq!(newer, Vec::<String>::new());
        let keeps = lacks(|schema| {
            schema["status"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        });
        assert_eq!(keeps, Vec::<String>::new());
    }

    #[test]
    fn a_version_that_is_not_served_has_nothing() {
        let mut other = PodMigration::crd();
        other.spec.versions[0].served = false;
        assert_eq!(missing(&PodMigration::crd(), &other), ["version v1alpha1"]);
        other.spec.versions.clear();
        assert_eq!(missing(&PodMigration::crd(), &other), ["version v1alpha1"]);
    }

    #[test]
    fn without_a_schema_everything_is_missing() {
        let mut other = PodMigration::crd();
        other.spec.versions[0].schema = None;
        assert_eq!(missing(&PodMigration::crd(), &other), ["spec", "status"]);
    }
}
