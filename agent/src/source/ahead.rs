//! Memory, while the pod runs: tracked, copied, and copied on while kubelet starts the target's containers.

use godwit_transfer::{Empty, Message};
use tokio::sync::watch;

use super::{
    attempt::Attempt,
    connect::not_connected,
    facts::SourcePod,
    keeping::Keeping,
    memory::{Choice, Dial, Memory, budget_of_stop_and_copy},
};
use crate::{
    failure::{AtStep, Failure},
    step::SourceStep,
    talk,
};

impl Attempt {
    /// Begins to track what is written.
    pub(super) async fn track_memory(&mut self, pod: &SourcePod) -> Result<(), Failure> {
        match Memory::begin(&self.node, pod, self.wish).await? {
            Choice::PreCopy(memory) => self.memory = Some(*memory),
            Choice::StopAndCopy(report) => {
                budget_of_stop_and_copy(&self.node, pod, &self.wish)?;
                self.status.say(|status| status.memory = Some(report));
            }
        }
        Ok(())
    }

    /// Rounds until the rest is small enough for the freeze. Nothing else is under way: should the connection break, it is dialled again.
    pub(super) async fn copy_memory(&mut self) -> Result<(), Failure> {
        let step = SourceStep::CopyMemory;
        let target = self.target_at()?;
        let dial = Dial::new(
            ((target.address, self.node.port).into(), &target.name),
            (self.node.identity.clone(), &self.node.name),
            &self.migration_uid,
        );
        let Self {
            link,
            manifest,
            memory: Some(memory),
            journal,
            status,
            deadline,
            node,
            ..
        } = self
        else {
            return Ok(());
        };
        let (Some(link), Some(manifest)) = (link.as_mut(), manifest.as_ref()) else {
            return Err(not_connected(step));
        };
        memory.open_lanes(dial.clone());
        let (tell, mut connected) = watch::channel(true);
        let keeping = Keeping::new(link, dial, manifest, *deadline);
        let copying = async {
            let (_tell, ready) = watch::channel(true);
            memory.copy(journal, status, *deadline, ready).await?;
            // The other end is the wait beside this.
            let _ = connected.wait_for(|connected| *connected).await;
            Ok(())
        };
        tokio::select! {
            copied = copying => copied,
            failure = keeping.run(&tell) => Err(failure),
        }?;
        if let Some((bytes, took)) = memory.first_round() {
            node.copy_rate.learn(bytes, took);
        }
        Ok(())
    }

    /// Has the target's containers started, and waits for the first of them.
    pub(super) async fn end_parking(&mut self, pod: &SourcePod) -> Result<(), Failure> {
        let step = SourceStep::EndParking;
        let first = pod
            .containers
            .first()
            .map(|container| container.name().to_owned());
        let (tell, mut parked) = watch::channel(false);
        let Self {
            link,
            memory,
            journal,
            status,
            deadline,
            ..
        } = self;
        let (sender, receiver) = link.as_mut().ok_or_else(|| not_connected(step))?;
        sender.send(Message::EndParking(Empty {})).await.at(step)?;
        let listening = async {
            talk::expect(
                receiver,
                step,
                |message| matches!(message, Message::Parked(parked) if Some(&parked.container) == first.as_ref()),
            )
            .await?;
            tell.send_replace(true);
            // Memory has its own connections: that the target gives up, or is gone, is heard only here.
            talk::expect(receiver, step, |_| false).await
        };
        // Until kubelet has started the target's containers the pod goes on writing.
        let copying = async {
            if let Some(memory) = memory {
                return memory.copy(journal, status, *deadline, parked).await;
            }
            // What is told comes from beside this.
            let _ = parked.wait_for(|parked| *parked).await;
            Ok(())
        };
        tokio::select! {
            heard = listening => heard?,
            copied = copying => copied?,
        }
        if let Some(memory) = memory {
            memory.end_lanes();
        }
        Ok(())
    }
}
