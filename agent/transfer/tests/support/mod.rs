//! Two ends of a session without a wire, and messages to say.
#![allow(dead_code)] // Each test file uses its own part of this.

use bytes::Bytes;
use godwit_transfer::{
    Abort, Committed, ContainerEntry, ContainerName, Empty, Event, Frame, Hello, Inbound, Limits, Manifest,
    Message, ObjectId, ObjectKind, ObjectSpec, Outbound, Party, Pass, PodAddress, Restored, Role, Running,
    Session, SessionError, Welcome,
};

pub const MIGRATION: &str = "5f0c7c0e-0000-4000-8000-000000000001";

/// The volume of the manifest.
pub const VOLUME: &str = "scratch";

pub fn hello(role: Role) -> Message {
    Message::Hello(Hello::new(role, MIGRATION, "n1"))
}

pub fn welcome() -> Message {
    Message::Welcome(Welcome { version: 1 })
}

pub fn manifest(names: &[&str]) -> Message {
    let entry = |name: &&str| ContainerEntry {
        name: (*name).to_owned(),
        image_id: "sha256:00".to_owned(),
        runtime: "runc 1.3".to_owned(),
        image: "i".into(),
        owns_sysv: true,
        lazy: true,
    };
    Message::Manifest(Manifest {
        source_pod_uid: "a-1".to_owned(),
        target_pod_uid: "b-2".to_owned(),
        hostname: "redis-0".to_owned(),
        addresses: ["10.0.0.7", "fd00::7"].map(address).to_vec(),
        host_paths: vec![],
        other_files: vec![],
        containers: names.iter().map(entry).collect(),
        volumes: vec![VOLUME.to_owned()],
        memory_bytes: 0,
    })
}

fn address(address: &str) -> PodAddress {
    PodAddress {
        address: address.to_owned(),
        home_node: "n1".to_owned(),
        home_address: "192.0.2.1".to_owned(),
    }
}

pub fn container(name: &str) -> ContainerName {
    ContainerName::new(name)
}

pub fn restored(name: &str) -> Message {
    Message::Restored(Restored {
        container: name.to_owned(),
        pid: 77,
    })
}

pub fn committed() -> Message {
    Message::Committed(Committed {
        addresses: vec!["10.0.0.7".to_owned()],
    })
}

pub fn running() -> Message {
    Message::Running(Running {
        carried: vec!["10.0.0.7".to_owned()],
    })
}

pub fn abort() -> Message {
    Message::Abort(Abort::new("Dump", "DumpFailed", "no"))
}

pub const EMPTY: Empty = Empty {};

pub fn image(container: &str, name: &str) -> ObjectSpec {
    ObjectSpec::new(ObjectKind::CriuImage {
        container: container.to_owned(),
        name: name.to_owned(),
    })
}

pub fn log(container: &str, pass: u32) -> ObjectSpec {
    ObjectSpec::new(ObjectKind::Log {
        container: container.to_owned(),
        pass,
    })
}

pub fn files(container: Option<&str>, pass: Pass) -> ObjectSpec {
    ObjectSpec::new(ObjectKind::FileStream {
        container: container.map(str::to_owned),
        pass,
    })
}

pub fn volume(name: &str, pass: Pass) -> ObjectSpec {
    ObjectSpec::new(ObjectKind::Volume {
        volume: name.to_owned(),
        pass,
    })
}

pub struct End {
    pub out: Outbound,
    pub inb: Inbound,
}

impl End {
    pub fn new(party: Party) -> Self {
        let (out, inb) = Session::new(party, Limits::default()).split();
        Self { out, inb }
    }
}

/// Source (dialer) and target (acceptor) of a migration.
pub struct Pair {
    pub source: End,
    pub target: End,
}

impl Pair {
    pub fn new() -> Self {
        Self {
            source: End::new(Party::Dialer),
            target: End::new(Party::Acceptor),
        }
    }

    /// The source says it, the target hears it.
    pub fn source_says(&mut self, message: &Message) -> Result<Event, SessionError> {
        let frame = self.source.out.send(message)?;
        self.target.inb.receive(frame)
    }

    /// The target says it, the source hears it.
    pub fn target_says(&mut self, message: &Message) -> Result<Event, SessionError> {
        let frame = self.target.out.send(message)?;
        self.source.inb.receive(frame)
    }

    pub fn object(&mut self, spec: &ObjectSpec, data: &[u8]) -> Result<(), SessionError> {
        let (id, frame) = self.source.out.begin_object(spec)?;
        self.target.inb.receive(frame)?;
        for chunk in data.chunks(1000) {
            let frame = self.source.out.chunk(id, Bytes::copy_from_slice(chunk))?;
            self.target.inb.receive(frame)?;
        }
        let frame = self.source.out.end_object(id)?;
        let event = self.target.inb.receive(frame)?;
        assert_eq!(
            event,
            Event::ObjectEnd {
                id,
                len: data.len() as u64
            }
        );
        Ok(())
    }

    /// Up to the answer to the manifest.
    pub fn agreed(names: &[&str]) -> Self {
        let mut pair = Self::new();
        pair.source_says(&hello(Role::Migrate)).unwrap();
        pair.target_says(&welcome()).unwrap();
        pair.source_says(&manifest(names)).unwrap();
        pair.target_says(&Message::ManifestOk(godwit_transfer::Agreed::default()))
            .unwrap();
        pair
    }

    /// Up to Frozen.
    pub fn frozen(names: &[&str]) -> Self {
        let mut pair = Self::agreed(names);
        pair.object(&files(Some(names[0]), Pass::Base), b"base").unwrap();
        pair.source_says(&Message::EndParking(EMPTY)).unwrap();
        pair.target_says(&Message::Parked(container(names[0]))).unwrap();
        pair.source_says(&Message::Frozen(EMPTY)).unwrap();
        pair
    }

    /// Up to Prepared.
    pub fn prepared(names: &[&str]) -> Self {
        let mut pair = Self::frozen(names);
        for name in names {
            if *name != names[0] {
                pair.target_says(&Message::Parked(container(name))).unwrap();
            }
            pair.object(&image(name, "pages-1.img"), &[7; 5000]).unwrap();
            pair.source_says(&Message::ImagesComplete(container(name)))
                .unwrap();
            pair.object(&files(Some(name), Pass::Delta), b"delta").unwrap();
            pair.source_says(&Message::FilesComplete(container(name)))
                .unwrap();
            pair.target_says(&restored(name)).unwrap();
        }
        pair.target_says(&Message::Prepared(EMPTY)).unwrap();
        pair
    }
}

/// The object of a frame that begins one.
pub fn begin(pair: &mut Pair, spec: &ObjectSpec) -> ObjectId {
    let (id, frame) = pair.source.out.begin_object(spec).unwrap();
    pair.target.inb.receive(frame).unwrap();
    id
}

/// A frame as it comes off the wire.
pub fn data(stream: u32, payload: &[u8]) -> Frame {
    let payload = Bytes::copy_from_slice(payload);
    Frame::new(godwit_transfer::FrameKind::Data, stream, payload)
}
