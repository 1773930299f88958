//! A pod whose processes write one number after the other to files of its volumes (`workload journal`).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::suite::failures::subject::{Identity, gone, other};
use crate::suite::{Lab, node_of, workload_container};
use crate::traffic::ask;

/// How long writers may take until each has written more.
const GOES_ON: Duration = Duration::from_secs(30);

/// The pod, and the ports of its containers.
pub(super) struct Writers<'a> {
    pub(super) lab: &'a Lab,
    pub(super) pod: Pod,
    ports: Vec<u16>,
    counts: Vec<u64>,
}

/// A container that writes to these files, with these mounts (name, path, sub-path).
pub(super) fn container(name: &str, port: u16, words: &[&str], mounts: &[(&str, &str, &str)]) -> Value {
    let port = port.to_string();
    let mut all = vec!["journal", port.as_str()];
    all.extend(words);
    let mut container = workload_container(name, &all);
    let mounts = mounts.iter().map(|(volume, path, sub)| {
        if sub.is_empty() {
            json!({"name": volume, "mountPath": path})
        } else {
            json!({"name": volume, "mountPath": path, "subPath": sub})
        }
    });
    container["volumeMounts"] = mounts.collect();
    container
}

impl<'a> Writers<'a> {
    /// Starts it on `n1` and waits until all of its processes write.
    pub(super) async fn start(lab: &'a Lab, spec: Value, ports: &[u16]) -> Result<Self> {
        let pod = lab.pod("writers", Some("n1"), spec).await?;
        let mut this = Self {
            lab,
            pod,
            ports: ports.to_vec(),
            counts: Vec::new(),
        };
        let mut why = None;
        let there = this.lab.until("the writers to be there", GOES_ON, async || {
            Ok(this
                .counted()
                .await
                .inspect_err(|error| why = Some(format!("{error:#}")))
                .ok())
        });
        there.await.with_context(|| why.unwrap_or_default())?;
        this.go_on().await?;
        Ok(this)
    }

    /// How far each process is. Fails if a file does not hold each number once and in order.
    pub(super) async fn counted(&self) -> Result<Vec<u64>> {
        let mut counts = Vec::new();
        for port in &self.ports {
            let answer = ask(self.lab, &self.pod, *port, "count").await?;
            let words = answer
                .strip_prefix("ok ")
                .with_context(|| format!("port {port}: {answer}"))?;
            for word in words.split(' ') {
                let (_, count) = word.split_once('=').context("no count")?;
                counts.push(count.parse()?);
            }
        }
        Ok(counts)
    }

    /// Waits until every process has written more; fails if anything is missing or twice.
    pub(super) async fn go_on(&mut self) -> Result<()> {
        let before = self.counted().await?;
        let behind = before.iter().zip(&self.counts).any(|(now, last)| now < last);
        ensure!(!behind, "{:?} was written, {before:?} is there", self.counts);
        self.counts = self
            .lab
            .until("every writer to go on", GOES_ON, async || {
                let now = self.counted().await?;
                let all = now.iter().zip(&before).all(|(now, before)| now > before);
                Ok(all.then_some(now))
            })
            .await?;
        Ok(())
    }

    /// Moves it to the next node.
    pub(super) async fn moves(&mut self) -> Result<()> {
        let destination = other(node_of(&self.pod)?, 1);
        let source = self.pod.name_any();
        self.pod = self.lab.moved(&source, &destination).await?;
        gone(self.lab, &source).await.context("the source is still there")
    }

    /// What stays the same while nothing touches it.
    pub(super) fn identity(&self) -> Identity {
        Identity::of(&self.pod)
    }
}
