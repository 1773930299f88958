//! The logs of the pod's containers on their way to the target: most of it while the pod runs, the rest in the freeze, and what the container runtime still had in its
//! memory after the decision. Nothing here ever fails a migration: what cannot be had is left out, with a warning.

use std::{
    convert::Infallible,
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use godwit_container::{cgroup::Freezer, host::Host};
use godwit_transfer::{ObjectKind, ObjectSpec};
use tokio::task;

use super::{facts::SourcePod, images::DESCRIPTORS, stream::send_stream};
use crate::{
    failure::chain,
    logs::{LogReader, Outputs, Rest, mark_ends, read_to_ends},
    peer::{PeerError, Sender},
};

/// Bytes of a container's log that travel; kubelet rotates at 10 MiB unless told otherwise.
const LONGEST: u64 = 64 << 20;
/// What a pass may leave for the next one, if that comes at once.
const LITTLE: u64 = 256 << 10;
/// How many passes may come at once.
const PASSES: usize = 4;
/// How long the container runtime may take to write down what it has. It takes a millisecond, if it gets a processor.
const WRITTEN_WITHIN: Duration = Duration::from_millis(100);

/// The logs of a pod.
#[derive(Debug, Default)]
pub(super) struct Logs {
    containers: Vec<ContainerLog>,
    warnings: Vec<String>,
}

#[derive(Debug)]
struct ContainerLog {
    name: String,
    /// `None` once it cannot be read.
    reader: Option<LogReader>,
    /// The last pass.
    pass: u32,
    outputs: Outputs,
    descriptors: PathBuf,
    freezer: Freezer,
    first_process: i32,
}

impl Logs {
    /// Opens the log of every container.
    pub(super) fn open(host: &Host, pod: &SourcePod) -> Self {
        let mut logs = Self::default();
        for container in &pod.containers {
            let path = host.path(&container.on_node.log_path);
            let name = container.name().to_owned();
            let reader = match LogReader::open(&path, LONGEST) {
                Ok((reader, 0)) => Some(reader),
                Ok((reader, left_out)) => {
                    logs.warn(&name, &format!("its first {left_out} bytes are left out"));
                    Some(reader)
                }
                Err(error) => {
                    logs.warn(&name, &format!("it cannot be read: {error}"));
                    None
                }
            };
            logs.containers.push(ContainerLog {
                name,
                reader,
                pass: 0,
                outputs: Outputs::default(),
                descriptors: container.image_dir.join(DESCRIPTORS),
                freezer: container.freezer.clone(),
                first_process: container.on_node.pid,
            });
        }
        logs
    }

    /// What is missing at the target, for people.
    pub(super) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }

    /// Sends what is new, until little is left.
    pub(super) async fn send(&mut self, sender: &Sender) {
        for _ in 0..PASSES {
            if self.pass(sender).await <= LITTLE {
                return;
            }
        }
    }

    /// Sends what is new once; gives how many bytes that were.
    async fn pass(&mut self, sender: &Sender) -> u64 {
        let mut warnings = Vec::new();
        let mut sent = 0;
        for container in &mut self.containers {
            match container.send_new(sender).await {
                Ok(bytes) => sent += bytes,
                Err(why) => warnings.push((container.name.clone(), why)),
            }
        }
        for (name, why) in warnings {
            self.warn(&name, &why);
        }
        sent
    }

    /// In the freeze, beside the restore: sends what the container runtime has written since, and finds out where the last of it can be had.
    pub(super) async fn send_frozen(&mut self, host: &Host, sender: &Sender) {
        let wanted: Vec<_> = self
            .containers
            .iter()
            .map(|it| (it.descriptors.clone(), it.freezer.clone(), it.first_process))
            .collect();
        let host = host.clone();
        let finding = task::spawn_blocking(move || {
            let find = |(descriptors, freezer, first): (PathBuf, Freezer, i32)| {
                let others = freezer.processes().unwrap_or_default();
                let processes: Vec<i32> = std::iter::once(first).chain(others).collect();
                Outputs::find(&host, &descriptors, &processes)
            };
            wanted.into_iter().map(find).collect::<Vec<_>>()
        });
        for (container, outputs) in self.containers.iter_mut().zip(finding.await.unwrap_or_default()) {
            container.outputs = outputs;
        }
        self.pass(sender).await;
    }

    /// After the decision: the container will never write again, so the end of its streams can be marked. Sends all that comes before the marks.
    ///
    /// `note` is what those are told who are attached to the container.
    pub(super) async fn end(&mut self, sender: &Sender, note: &str) {
        let (mut containers, note) = (std::mem::take(&mut self.containers), note.to_owned());
        let ending = task::spawn_blocking(move || {
            let began = Instant::now();
            let marked: Vec<_> = containers.iter().map(|it| it.mark_ends(&note)).collect();
            let until = began + WRITTEN_WITHIN;
            let pairs = containers.iter_mut().zip(marked);
            let ends: Vec<_> = pairs.map(|(it, marked)| it.read_to_ends(marked, until)).collect();
            tracing::info!(took = ?began.elapsed(), "the logs have ended");
            (containers, ends)
        });
        let Ok((containers, ends)) = ending.await else {
            return;
        };
        self.containers = containers;
        for (at, rest) in ends.into_iter().enumerate() {
            let Some(rest) = rest else { continue };
            let name = self.containers[at].name.clone();
            if !rest.complete {
                self.warn(&name, "the container runtime had not written all of it in time");
            }
            if rest.lines.is_empty() {
                continue;
            }
            let spec = self.containers[at].next();
            if let Err(error) = send(sender, spec, rest.lines.into()).await {
                self.warn(&name, &format!("its end could not be sent: {}", chain(&error)));
            }
        }
    }

    fn warn(&mut self, container: &str, why: &str) {
        tracing::warn!(container, why, "a log is not complete at the target");
        self.warnings.push(format!(
            "container {container}: the log of before the move is not complete: {why}"
        ));
    }
}

impl ContainerLog {
    fn next(&mut self) -> ObjectSpec {
        self.pass += 1;
        ObjectSpec::new(ObjectKind::Log {
            container: self.name.clone(),
            pass: self.pass,
        })
    }

    /// Sends what is new as the next pass; gives how many bytes that were, or why there will be no more.
    async fn send_new(&mut self, sender: &Sender) -> Result<u64, String> {
        let Some(mut reader) = self.reader.take_if(|reader| reader.has_news()) else {
            return Ok(0);
        };
        let spec = self.next();
        // An error to read is no error of the stream: an object that was begun has to be ended.
        let sent = send_stream(sender, spec, move |writer| {
            let copied = reader.copy(writer, LONGEST);
            Ok::<_, Infallible>((reader, copied))
        });
        let (reader, copied) = sent
            .await
            .map_err(|error| format!("it could not be sent: {}", chain(&error)))?;
        let copied = copied.map_err(|error| format!("it cannot be read: {error}"))?;
        self.reader = Some(reader);
        Ok(copied)
    }

    fn mark_ends(&self, note: &str) -> [bool; 2] {
        match self.reader {
            Some(_) => mark_ends(&self.outputs, note),
            None => [false; 2],
        }
    }

    /// `None` if it could not be read before, which has been said.
    fn read_to_ends(&mut self, marked: [bool; 2], until: Instant) -> Option<Rest> {
        let reader = self.reader.as_mut()?;
        Some(read_to_ends(reader, &self.outputs, marked, until))
    }
}

async fn send(sender: &Sender, spec: ObjectSpec, bytes: Bytes) -> Result<(), PeerError> {
    let id = sender.begin_object(spec).await?;
    sender.send_chunk(id, bytes).await?;
    sender.end_object(id).await
}
