//! Asking the engine which runtime handlers it has loaded: CRI `Status`.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;

/// Longest wait for one answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// `runtime.v1.StatusRequest` of the CRI API.
#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {
    #[prost(bool, tag = "1")]
    verbose: bool,
}

/// `runtime.v1.StatusResponse`, as much of it as is used.
#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(map = "string, string", tag = "2")]
    info: HashMap<String, String>,
    #[prost(message, repeated, tag = "3")]
    runtime_handlers: Vec<RuntimeHandler>,
}

/// `runtime.v1.RuntimeHandler`.
#[derive(Clone, PartialEq, prost::Message)]
struct RuntimeHandler {
    #[prost(string, tag = "1")]
    name: String,
}

/// Names of the loaded handlers; an error text if the engine does not answer.
pub async fn handlers(socket: &Path) -> Result<Vec<String>, String> {
    match tokio::time::timeout(DEADLINE, status(socket)).await {
        Ok(Ok(response)) => Ok(names(&response)),
        Ok(Err(message)) => Err(message),
        Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

async fn status(socket: &Path) -> Result<StatusResponse, String> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_: tonic::codegen::http::Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The address is not used, but there has to be one.
    let channel = Endpoint::from_static("http://cri.invalid")
        .connect_with_connector(connector)
        .await
        .map_err(|error| crate::failure::chain(&error))?;
    let mut client = tonic::client::Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| crate::failure::chain(&error))?;
    let codec = tonic_prost::ProstCodec::<StatusRequest, StatusResponse>::default();
    let path = PathAndQuery::from_static("/runtime.v1.RuntimeService/Status");
    client
        .unary(tonic::Request::new(StatusRequest { verbose: true }), path, codec)
        .await
        .map(tonic::Response::into_inner)
        .map_err(|status| status.to_string())
}

/// Engines name their handlers since CRI 1.30; containerd 1.7 tells only in the verbose part, as its configuration.
fn names(response: &StatusResponse) -> Vec<String> {
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

    #[tokio::test]
    async fn a_missing_socket_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(handlers(&directory.path().join("none.sock")).await.is_err());
    }
}
