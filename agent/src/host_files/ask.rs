//! Asking the destination's agent.

use std::net::IpAddr;
use std::time::Duration;

use godwit_preflight::Finding;
use godwit_preflight::files::{Found, HostFile, compare};
use godwit_transfer::{Event, FoundFile, Hello, Message, Role};
use tokio::time::timeout;

use super::HostFilesError;
use super::questions::{self, Question};
use crate::node::Node;
use crate::peer::{self, Receiver, Sender};

/// The node that would take the pod.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    /// Its name.
    pub(crate) name: String,
    /// Its `InternalIP`.
    pub(crate) address: IpAddr,
}

/// What stands against having the destination's files in the place of these, each with its file. Does not connect if there are none. Fails if the
/// destination's agent does not answer within `limit`.
pub(crate) async fn compared<'a>(
    node: &Node,
    migration_uid: &str,
    destination: &Destination,
    files: &'a [HostFile],
    limit: Duration,
) -> Result<Vec<(&'a HostFile, Finding)>, HostFilesError> {
    let mut found = vec![Found::Incomparable; files.len()];
    let asked = questions::first(files);
    if !asked.is_empty() {
        let talk = talk(node, migration_uid, destination, files, asked, &mut found);
        timeout(limit, talk).await.map_err(|_| HostFilesError::Silent {
            node: destination.name.clone(),
            limit,
        })??;
    }
    let findings = files.iter().zip(&found).flat_map(|(file, found)| {
        let findings = compare(file, &destination.name, found);
        findings.into_iter().map(move |finding| (file, finding))
    });
    Ok(findings.collect())
}

async fn talk(
    node: &Node,
    migration_uid: &str,
    destination: &Destination,
    files: &[HostFile],
    asked: Vec<Question>,
    found: &mut [Found],
) -> Result<(), HostFilesError> {
    let hello = Hello::new(Role::HostFiles, migration_uid, &node.name);
    let address = (destination.address, node.port).into();
    let (sender, mut receiver) = peer::greet(address, &destination.name, &node.identity, hello)
        .await
        .map_err(HostFilesError::Peer)?;
    ask_all((&sender, &mut receiver), &destination.name, files, asked, found).await
}

/// Which files are the same, then what those lack that are not.
async fn ask_all(
    (sender, receiver): (&Sender, &mut Receiver),
    name: &str,
    files: &[HostFile],
    asked: Vec<Question>,
    found: &mut [Found],
) -> Result<(), HostFilesError> {
    ask(sender, receiver, name, asked, found).await?;
    let more = questions::symbols(files, found);
    ask(sender, receiver, name, more, found).await
}

async fn ask(
    sender: &Sender,
    receiver: &mut Receiver,
    name: &str,
    asked: Vec<Question>,
    found: &mut [Found],
) -> Result<(), HostFilesError> {
    for question in asked {
        let message = Message::WantedFiles(question.wanted.clone());
        sender.send(message).await.map_err(HostFilesError::Peer)?;
        let answer = answer(receiver, name).await?;
        if !question.learn(&answer, found) {
            return Err(HostFilesError::Answer {
                node: name.to_owned(),
            });
        }
    }
    Ok(())
}

async fn answer(receiver: &mut Receiver, name: &str) -> Result<Vec<FoundFile>, HostFilesError> {
    loop {
        match receiver.recv().await.map_err(HostFilesError::Peer)? {
            Event::Message(Message::FoundFiles(found)) => return Ok(found.files),
            Event::Message(Message::Refuse(refuse)) => {
                return Err(HostFilesError::Refused {
                    node: name.to_owned(),
                    message: refuse.message,
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use godwit_preflight::files::Content;
    use godwit_transfer::Limits;

    use super::*;
    use crate::host_files::{HostFileCache, answer};
    use crate::peer::{PeerListener, Timing, tests::authority::Authority};

    const UID: &str = "5f0c7c0e-0000-4000-8000-000000000001";

    fn file(path: &str, content: &str) -> HostFile {
        HostFile {
            path: format!("/in{path}"),
            on_node: path.to_owned(),
            content: Some(Content {
                size: content.len() as u64,
                digest: *blake3::hash(content.as_bytes()).as_bytes(),
                build_id: None,
            }),
            users: Vec::new(),
            needs: Vec::new(),
        }
    }

    #[tokio::test]
    async fn the_other_node_says_which_files_it_has() {
        let root = tempfile::tempdir().unwrap();
        for name in ["same", "other"] {
            std::fs::write(root.path().join(name), name).unwrap();
        }
        let authority = Authority::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let theirs = Arc::new(authority.identity("n2"));
        let mut listener = PeerListener::bind(any, theirs, Timing::default(), Limits::default())
            .await
            .unwrap();
        let own = authority.identity("n1");
        let files = [
            file("/same", "same"),
            file("/other", "another"),
            file("/none", "x"),
        ];
        let mut found = vec![Found::Incomparable; files.len()];
        let cache = HostFileCache::default();
        let address = listener.address();
        let asking = async {
            let hello = Hello::new(Role::HostFiles, UID, "n1");
            let (sender, mut receiver) = peer::greet(address, "n2", &own, hello).await.unwrap();
            let asked = questions::first(&files);
            ask_all((&sender, &mut receiver), "n2", &files, asked, &mut found).await
        };
        let answering = async {
            let caller = listener.accept().await.unwrap();
            answer(root.path(), &cache, caller).await
        };
        let (asked, answered) = tokio::join!(asking, answering);
        asked.unwrap();
        answered.unwrap();
        assert_eq!((&found[0], &found[2]), (&Found::Same, &Found::Missing));
        assert!(
            matches!(&found[1], Found::Differs(other) if other.size == 5),
            "{found:?}"
        );
    }
}
