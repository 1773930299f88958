//! A pod that has its addresses already but does not run yet, as it is written down.
//!
//! An agent that is killed between the two must still know what to route to the pod: the source may have committed, and
//! sends the pod's addresses only after those that this side says it carries.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    entry::{CarryError, Entry},
    files,
};

/// Suffix of the files of arrivals; addresses that are carried have another one.
const SUFFIX: &str = "arrival";

/// A pod that came here, until its addresses are routed to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Arrival {
    /// UID of the pod.
    pub(super) pod_uid: String,
    /// Its network namespace, as a path on the node.
    pub(super) netns: PathBuf,
    /// What is prepared for it.
    pub(super) entries: Vec<Entry>,
}

impl Arrival {
    /// Writes it down, so that it is there whole or as it was.
    pub(super) fn save(&self, directory: &Path) -> Result<(), CarryError> {
        files::write(&file(directory, &self.pod_uid)?, self)
    }

    /// Removes what is written down of a pod, readable or not. Idempotent.
    pub(super) fn forget(directory: &Path, pod_uid: &str) -> Result<(), CarryError> {
        files::remove(&file(directory, pod_uid)?)
    }

    /// Every arrival that is written down. One that cannot be understood is removed with a warning: nothing can be done
    /// for that pod any more, and a file that stays would stand in the way of uninstalling.
    pub(super) fn load_all(directory: &Path) -> Result<Vec<Self>, CarryError> {
        let mut arrivals = Vec::new();
        for (path, content) in files::read_all(directory, SUFFIX)? {
            match content {
                Ok(arrival) => arrivals.push(arrival),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a pod that was coming here will lose its connections");
                    if !error.is_io() {
                        files::remove(&path)?;
                    }
                }
            }
        }
        Ok(arrivals)
    }
}

/// The UID comes from the API: it must not lead anywhere else.
fn file(directory: &Path, pod_uid: &str) -> Result<PathBuf, CarryError> {
    let mut parts = Path::new(pod_uid).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) if name == pod_uid => {
            Ok(directory.join(format!("{pod_uid}.{SUFFIX}")))
        }
        _ => {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the pod UID is no file name");
            Err(CarryError::Record {
                path: directory.join(pod_uid),
                source,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, net::Ipv4Addr, slice};

    use godwit_network::carry::{CarryRecord, Part};

    use super::*;
    use crate::carry::NodeAt;

    const UID: &str = "6f1e0c2a-0000-4000-8000-000000000001";

    fn arrival(pod_uid: &str) -> Arrival {
        let pod_address = Ipv4Addr::new(10, 244, 2, 5);
        let node = |name: &str, last| NodeAt {
            name: name.to_owned(),
            address: Ipv4Addr::new(192, 0, 2, last),
        };
        let netns = PathBuf::from("/var/run/netns/cni-1");
        let record = CarryRecord {
            version: 1,
            address: Ipv4Addr::new(10, 244, 1, 7),
            part: Part::Own {
                pod_address,
                device: "cni0".to_owned(),
                uplink: "eth0".to_owned(),
                old_pod: None,
                return_by: Some((Ipv4Addr::new(192, 0, 2, 1), "eth0".to_owned())),
            },
            relaxed: None,
        };
        let entry = Entry {
            record,
            home: node("n1", 1),
            holder: node("n2", 2),
            pod_uid: pod_uid.to_owned(),
            pod_address,
            netns: netns.clone(),
            until_pod_gone: false,
            from_pod: None,
        };
        Arrival {
            pod_uid: pod_uid.to_owned(),
            netns,
            entries: vec![entry],
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_restarted_agent_knows_of_arrivals_and_takes_them_for_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let saved = arrival(UID);
        saved.save(directory.path()).unwrap();
        saved.save(directory.path()).unwrap();
        assert_eq!(Arrival::load_all(directory.path()).unwrap(), [saved]);
        assert_eq!(Entry::load_all(directory.path()).unwrap(), []);
        assert_eq!(names(directory.path()), [format!("{UID}.arrival")]);
    }

    #[test]
    fn carried_addresses_are_no_arrivals() {
        let directory = tempfile::tempdir().unwrap();
        let Arrival { entries, .. } = arrival(UID);
        entries[0].save(directory.path()).unwrap();
        assert_eq!(Arrival::load_all(directory.path()).unwrap(), []);
        assert_eq!(Entry::load_all(directory.path()).unwrap(), entries);
    }

    #[test]
    fn a_torn_file_harms_no_other_and_does_not_stay() {
        let directory = tempfile::tempdir().unwrap();
        let (whole, torn) = (arrival(UID), arrival("torn"));
        whole.save(directory.path()).unwrap();
        torn.save(directory.path()).unwrap();
        let path = directory.path().join("torn.arrival");
        let text = fs::read(&path).unwrap();
        for length in [0, text.len() / 2, text.len() - 1] {
            fs::write(&path, &text[..length]).unwrap();
            assert_eq!(
                Arrival::load_all(directory.path()).unwrap(),
                slice::from_ref(&whole),
                "{length}"
            );
            assert!(!path.exists(), "{length}");
        }
    }

    #[test]
    fn forgetting_removes_one_and_may_be_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let other = arrival("other");
        arrival(UID).save(directory.path()).unwrap();
        other.save(directory.path()).unwrap();
        Arrival::forget(directory.path(), UID).unwrap();
        Arrival::forget(directory.path(), UID).unwrap();
        assert_eq!(Arrival::load_all(directory.path()).unwrap(), [other]);
    }

    #[test]
    fn what_was_not_finished_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        arrival(UID).save(directory.path()).unwrap();
        fs::write(directory.path().join("10.244.1.7.new"), "{").unwrap();
        files::remove_unfinished(directory.path()).unwrap();
        assert_eq!(names(directory.path()), [format!("{UID}.arrival")]);
    }

    #[test]
    fn a_uid_that_is_a_path_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for uid in ["", ".", "..", "../a", "a/b", "/a", "a/"] {
            let refused = arrival(uid).save(directory.path()).unwrap_err();
            assert_eq!(refused.reason(), "CarryRecordUnusable", "{uid}");
        }
        assert_eq!(names(directory.path()), Vec::<String>::new());
    }
}
