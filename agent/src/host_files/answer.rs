//! Answering another node's agent, and who may ask: the source of a migration that is to come here, and that is not over.

use std::path::{Path, PathBuf};

use godwit_crds::PodMigration;
use godwit_preflight::files::{Cache, Found, Symbol, here};
use godwit_transfer::{Event, FoundFile, FoundFiles, Message, Refuse, WantedFile};
use kube::{Api, api::ListParams};
use tokio::task::spawn_blocking;

use super::{HostFileCache, questions};
use crate::failure::chain;
use crate::node::Node;
use crate::peer::{Caller, PeerError};

/// Whether the caller is the source of a migration that may come here, by what the API server says: in preflight there is no task for it yet.
pub(crate) async fn entitled(node: &Node, caller: &Caller) -> bool {
    let migrations: Api<PodMigration> = Api::all(node.client.clone());
    let of_caller = ListParams::default().fields(&format!("status.plan.sourceNode={}", caller.node()));
    match migrations.list(&of_caller).await {
        Ok(listed) => listed.iter().any(|migration| {
            may_come(
                migration,
                &caller.hello().migration_uid,
                caller.node(),
                &node.name,
            )
        }),
        Err(error) => {
            tracing::info!(error = chain(&error), "who may ask about files cannot be told");
            false
        }
    }
}

/// Whether this migration of that node may come to this one. Pure.
fn may_come(migration: &PodMigration, uid: &str, source: &str, here: &str) -> bool {
    let Some(status) = &migration.status else {
        return false;
    };
    let Some(plan) = &status.plan else {
        return false;
    };
    let named = migration.spec.target.as_ref();
    let named = named.and_then(|target| target.node_name.as_deref());
    migration.metadata.uid.as_deref() == Some(uid)
        && plan.source_node == source
        && !status.phase.is_final()
        && plan.target_node.as_deref().or(named) == Some(here)
}

/// Answers every question of the caller, until it goes. `root` is the node's root directory.
pub(crate) async fn answer(root: &Path, cache: &HostFileCache, caller: Caller) -> Result<(), PeerError> {
    let (sender, mut receiver) = caller.welcome().await?;
    loop {
        let wanted = match receiver.recv().await {
            Ok(Event::Message(Message::WantedFiles(wanted))) => wanted,
            Ok(_) => continue,
            // The questions are answered and the caller has gone.
            Err(_) => return Ok(()),
        };
        let Some(files) = found(root.to_owned(), cache, wanted.files).await else {
            let refuse = Refuse::new("FilesUnread", "the files of this node could not be read");
            sender.send(Message::Refuse(refuse)).await?;
            return sender.flush().await;
        };
        sender.send(Message::FoundFiles(FoundFiles { files })).await?;
    }
}

/// None: the thread that reads them has ended.
async fn found(root: PathBuf, cache: &HostFileCache, wanted: Vec<WantedFile>) -> Option<Vec<FoundFile>> {
    let mut cache = cache.0.clone().lock_owned().await;
    let reading = spawn_blocking(move || wanted.iter().map(|it| one(&root, it, &mut cache)).collect());
    reading.await.ok()
}

fn one(root: &Path, wanted: &WantedFile, cache: &mut Cache) -> FoundFile {
    let symbols: Vec<Symbol> = wanted
        .symbols
        .iter()
        .map(|symbol| Symbol {
            name: symbol.name.clone(),
            version: symbol.version.clone(),
        })
        .collect();
    let known = (!wanted.digest.is_empty()).then_some((wanted.size, &wanted.digest[..]));
    let found = match here(root, Path::new(&wanted.path), cache) {
        Ok(here) => Found::of(here.as_ref(), known, &symbols),
        Err(error) => {
            tracing::info!(path = wanted.path, %error, "a file that was asked for cannot be read");
            Found::Incomparable
        }
    };
    questions::told(&found, &symbols)
}

#[cfg(test)]
mod tests {
    use godwit_transfer::{FileState, WantedSymbol};
    use serde_json::{Value, json};

    use super::*;

    fn migration(phase: &str, named: Option<&str>, planned: Option<&str>) -> PodMigration {
        let mut plan = json!({"sourcePodUid": "s", "sourceNode": "n1", "sourceAddress": "192.0.2.1", "deadline": "2030-01-01T00:00:00Z"});
        if let Some(planned) = planned {
            plan["targetNode"] = Value::from(planned);
        }
        serde_json::from_value(json!({
            "apiVersion": "godwit.dev/v1alpha1", "kind": "PodMigration", "metadata": {"name": "m", "uid": "u"},
            "spec": {"podName": "p", "target": named.map(|name| json!({"nodeName": name}))},
            "status": {"phase": phase, "plan": plan},
        }))
        .unwrap()
    }

    #[test]
    fn only_the_source_of_a_migration_that_may_come_here_is_answered() {
        let may = |migration: &PodMigration| may_come(migration, "u", "n1", "n2");
        assert!(may(&migration("Preflight", Some("n2"), None)));
        assert!(may(&migration("Copying", None, Some("n2"))));
        assert!(!may(&migration("Preflight", None, None)));
        assert!(!may(&migration("Preflight", Some("n3"), None)));
        // The scheduler has decided otherwise.
        assert!(!may(&migration("Copying", Some("n2"), Some("n3"))));
        assert!(!may(&migration("Failed", Some("n2"), None)));
        let other = migration("Preflight", Some("n2"), None);
        assert!(!may_come(&other, "another", "n1", "n2"));
        assert!(!may_come(&other, "u", "n3", "n2"));
    }

    #[test]
    fn a_file_is_told_of_by_state_and_origin_alone() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "one").unwrap();
        let mut cache = Cache::default();
        let mut ask = |path: &str, content: Option<&str>| {
            let wanted = WantedFile {
                path: path.to_owned(),
                size: content.map_or(0, |it| it.len() as u64),
                digest: content
                    .map(|it| blake3::hash(it.as_bytes()).as_bytes().to_vec().into())
                    .unwrap_or_default(),
                symbols: vec![WantedSymbol {
                    name: "x".to_owned(),
                    version: String::new(),
                }],
            };
            one(root.path(), &wanted, &mut cache)
        };
        assert_eq!(ask("/file", Some("one")).state(), FileState::Same);
        assert_eq!(ask("/none", Some("one")).state(), FileState::Missing);
        assert_eq!(ask("/file", None).state(), FileState::Incomparable);
        let other = ask("/file", Some("another"));
        assert_eq!(
            (other.state(), other.size, other.is_elf),
            (FileState::Differs, 3, false)
        );
        assert_eq!(other.lacks, [0]);
    }
}
