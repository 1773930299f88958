//! Filling a Redis with data, and a checksum of it.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;

use crate::suite::address_of;
use crate::suite::{Lab, node_of};

/// Keys for one call of the script; Redis does nothing else meanwhile.
const BATCH: u32 = 8192;
/// The bytes of one value.
const VALUE: u32 = 1024;

const FILL: &str = "for i = ARGV[1], ARGV[2] do \
    redis.call('set', 'd:' .. i, string.rep(redis.sha1hex(i), 26):sub(1, 1024)) end return 'OK'";
const SUM: &str = "local sum = '' for i = ARGV[1], ARGV[2] do \
    sum = redis.sha1hex(sum .. (redis.call('get', 'd:' .. i) or 'absent')) end return sum";

/// The Redis in a pod, spoken to from the pod's node.
#[derive(Debug, Clone)]
pub struct Redis {
    keys: u32,
}

impl Redis {
    /// Put `mebibytes` of data in, of which no two values are alike.
    pub async fn fill(lab: &Lab, pod: &Pod, mebibytes: u32) -> Result<Self> {
        let data = Self {
            keys: mebibytes * (1 << 20) / VALUE,
        };
        data.script(lab, pod, FILL).await?;
        Ok(data)
    }

    /// A checksum of all data, as it is in `pod` now.
    pub async fn sum(&self, lab: &Lab, pod: &Pod) -> Result<String> {
        self.script(lab, pod, SUM).await
    }

    async fn script(&self, lab: &Lab, pod: &Pod, script: &str) -> Result<String> {
        let address = address_of(pod)?;
        let mut answers = String::new();
        for first in (1..=self.keys).step_by(BATCH as usize) {
            let last = (first + BATCH - 1).min(self.keys);
            let (first, last) = (first.to_string(), last.to_string());
            let host = address.to_string();
            let words = ["redis-cli", "-e", "-h", &host, "eval", script, "0", &first, &last];
            let answer = lab
                .on_node(node_of(pod)?, &words, Duration::from_mins(1))
                .await
                .context("ask Redis")?;
            answers.push_str(answer.trim());
            answers.push(' ');
        }
        Ok(answers)
    }
}
