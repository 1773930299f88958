//! Claims of a pod: whether two nodes can have what is behind one at the same time, and which nodes can have it at all.

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec};

use crate::node_selector;

/// What is behind a volume of the pod that is a claim.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// Name of the claim.
    pub name: String,
    /// The claim, unless it is gone.
    pub object: Option<PersistentVolumeClaim>,
    /// The volume that it is bound to, unless there is none.
    pub volume: Option<PersistentVolume>,
}

impl Claim {
    /// Why source and target cannot both have it mounted, and what would cure it; `None` if they can. `writer` is a container that may write to it.
    ///
    /// The access modes are the claim's, as far as its volume has them too: that is what was asked for, and what the volume's driver has agreed to.
    pub fn obstacle(&self, writer: Option<&str>) -> Option<String> {
        let name = &self.name;
        let (Some(claim), Some(volume)) = (
            self.object.as_ref().and_then(|claim| claim.spec.as_ref()),
            self.volume.as_ref().and_then(|volume| volume.spec.as_ref()),
        ) else {
            return Some(format!("claim {name}, which is gone or has no volume"));
        };
        let source = Source::of(volume);
        let what = format!("claim {name} of {source}");
        if [&claim.volume_mode, &volume.volume_mode]
            .iter()
            .any(|mode| mode.as_deref() == Some("Block"))
        {
            return Some(format!("{what}, a raw block device; use volumeMode Filesystem"));
        }
        match source {
            Source::OfNode(_) => {
                return Some(format!(
                    "{what}, which is data of one node; use a storage class whose volumes every node can mount"
                ));
            }
            Source::Unknown => {
                return Some(format!(
                    "{what}, which Godwit does not know to be mountable by two nodes; use a volume of a CSI driver or NFS"
                ));
            }
            Source::Driver(_) | Source::Shared(_) => {}
        }
        let offered = volume.access_modes.as_deref().unwrap_or_default();
        let modes: Vec<&str> = claim
            .access_modes
            .iter()
            .flatten()
            .filter(|mode| offered.contains(mode))
            .map(String::as_str)
            .collect();
        if modes.contains(&"ReadWriteMany") {
            return None;
        }
        if modes.contains(&"ReadOnlyMany") {
            let writer = writer?;
            return Some(format!(
                "{what}, ReadOnlyMany, to which container {writer} may write; mount it readOnly or use ReadWriteMany"
            ));
        }
        let modes = if modes.is_empty() {
            "no access mode".to_owned()
        } else {
            modes.join(", ")
        };
        Some(format!(
            "{what}, {modes}: one node at a time can have it; use a ReadWriteMany claim"
        ))
    }

    /// True if the node may mount it, by the node affinity of its volume.
    pub fn is_for(&self, node: &Node) -> bool {
        let spec = self.volume.as_ref().and_then(|volume| volume.spec.as_ref());
        let affinity = spec.and_then(|spec| spec.node_affinity.as_ref());
        let required = affinity.and_then(|affinity| affinity.required.as_ref());
        required.is_none_or(|selector| node_selector::selects(selector, node))
    }
}

/// Where a volume's data is, as its one source says (`PersistentVolumeSource` in `core/v1/types.go`).
enum Source<'a> {
    /// A CSI driver, which says by the access modes what it can do.
    Driver(&'a str),
    /// A file server.
    Shared(&'static str),
    /// A directory or disk of one node.
    OfNode(&'static str),
    Unknown,
}

impl<'a> Source<'a> {
    fn of(volume: &'a PersistentVolumeSpec) -> Self {
        if let Some(csi) = &volume.csi {
            return Self::Driver(&csi.driver);
        }
        let kinds = [
            (volume.nfs.is_some(), Self::Shared("nfs")),
            (volume.cephfs.is_some(), Self::Shared("cephfs")),
            (volume.azure_file.is_some(), Self::Shared("azureFile")),
            (volume.glusterfs.is_some(), Self::Shared("glusterfs")),
            (volume.host_path.is_some(), Self::OfNode("hostPath")),
            (volume.local.is_some(), Self::OfNode("local")),
        ];
        let mut found = kinds
            .into_iter()
            .filter_map(|(is_it, kind)| is_it.then_some(kind));
        found.next().unwrap_or(Self::Unknown)
    }
}

impl std::fmt::Display for Source<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Driver(driver) => write!(formatter, "driver {driver}"),
            Self::Shared(kind) | Self::OfNode(kind) => formatter.write_str(kind),
            Self::Unknown => formatter.write_str("a kind of volume"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claim(modes: &Value, mut volume: Value) -> Claim {
        if volume.get("accessModes").is_none() {
            volume["accessModes"] = modes.clone();
        }
        Claim {
            name: "data".to_owned(),
            object: Some(serde_json::from_value(json!({"spec": {"accessModes": modes}})).unwrap()),
            volume: Some(serde_json::from_value(json!({"spec": volume})).unwrap()),
        }
    }

    fn csi() -> Value {
        json!({"csi": {"driver": "x.csi", "volumeHandle": "h"}})
    }

    #[test]
    fn what_two_nodes_can_mount_is_shared() {
        let nfs = json!({"nfs": {"server": "s", "path": "/"}});
        for source in [csi(), nfs] {
            assert_eq!(
                claim(&json!(["ReadWriteMany"]), source.clone()).obstacle(Some("main")),
                None
            );
            let both = claim(&json!(["ReadWriteOnce", "ReadWriteMany"]), source.clone());
            assert_eq!(both.obstacle(Some("main")), None);
            assert_eq!(claim(&json!(["ReadOnlyMany"]), source).obstacle(None), None);
        }
    }

    #[test]
    fn what_one_node_has_is_named_with_its_driver_and_a_cure() {
        let mut block = csi();
        block["volumeMode"] = json!("Block");
        let mut other = csi();
        other["accessModes"] = json!(["ReadWriteOnce"]);
        for (modes, volume, words) in [
            (
                json!(["ReadWriteOnce"]),
                csi(),
                "claim data of driver x.csi, ReadWriteOnce: one node",
            ),
            (json!(["ReadWriteOncePod"]), csi(), "ReadWriteOncePod: one node"),
            (
                json!(["ReadOnlyMany"]),
                csi(),
                "to which container main may write",
            ),
            (json!(["ReadWriteMany"]), block, "a raw block device"),
            (json!(["ReadWriteMany"]), other, "no access mode: one node"),
            (
                json!(["ReadWriteMany"]),
                json!({"hostPath": {"path": "/x"}}),
                "claim data of hostPath, which is data of one node",
            ),
            (
                json!(["ReadWriteMany"]),
                json!({"local": {"path": "/x"}}),
                "claim data of local, which is data of one node",
            ),
            (
                json!(["ReadWriteMany"]),
                json!({"rbd": {"image": "i", "monitors": []}}),
                "does not know",
            ),
        ] {
            let found = claim(&modes, volume).obstacle(Some("main")).unwrap();
            assert!(found.contains(words), "{found}");
        }
        let gone = Claim {
            name: "data".to_owned(),
            ..Claim::default()
        };
        assert!(gone.obstacle(None).unwrap().contains("is gone"));
    }

    #[test]
    fn a_volume_says_which_nodes_can_have_it() {
        let node = |zone: &str| -> Node {
            serde_json::from_value(json!({"metadata": {"name": "n", "labels": {"zone": zone}}})).unwrap()
        };
        let mut volume = csi();
        volume["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
        ]}});
        let tied = claim(&json!(["ReadWriteMany"]), volume);
        assert!(tied.is_for(&node("a")) && !tied.is_for(&node("b")));
        assert!(claim(&json!(["ReadWriteMany"]), csi()).is_for(&node("b")));
    }
}
