//! Which runtime handlers a container runtime has loaded, as its `Status` tells.

use super::wire::StatusResponse;

/// Engines name their handlers since CRI 1.30; containerd 1.7 tells only in the verbose part, as its configuration.
pub(super) fn names(response: &StatusResponse) -> Vec<String> {
    if !response.runtime_handlers.is_empty() {
        return response
            .runtime_handlers
            .iter()
            .map(|handler| handler.name.clone())
            .collect();
    }
    let config = response
        .info
        .get("config")
        .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let runtimes = config
        .as_ref()
        .and_then(|config| config["containerd"]["runtimes"].as_object());
    runtimes
        .map(|runtimes| runtimes.keys().cloned().collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::wire::RuntimeHandler;
    use super::*;

    #[test]
    fn old_engines_tell_by_their_configuration() {
        let config = r#"{"containerd":{"runtimes":{"runc":{},"godwit":{}}}}"#;
        let response = StatusResponse {
            info: HashMap::from([("config".to_owned(), config.to_owned())]),
            runtime_handlers: Vec::new(),
        };
        let mut found = names(&response);
        found.sort();
        assert_eq!(found, ["godwit", "runc"]);
    }

    #[test]
    fn the_list_of_handlers_wins() {
        let handler = RuntimeHandler {
            name: "runc".to_owned(),
        };
        let config = r#"{"containerd":{"runtimes":{"godwit":{}}}}"#.to_owned();
        let response = StatusResponse {
            info: HashMap::from([("config".to_owned(), config)]),
            runtime_handlers: vec![handler],
        };
        assert_eq!(names(&response), ["runc"]);
    }
}
