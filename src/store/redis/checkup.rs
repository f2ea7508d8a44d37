//! How the servers are, and what they hold.

use ::redis::Value;

use super::{Redis, Result, StoreError, failed};
use crate::{
    redis::Identity,
    store::{Checkup, Usage},
};

impl Redis {
    /// Health and usage as any store has them, and the version of the servers.
    pub(super) async fn checkup_of_servers(&self) -> Checkup {
        let mut checkup = Checkup::of(super::NAME, self).await;
        if checkup.health.is_up() {
            checkup.version = self.versions().await.ok().filter(|version| !version.is_empty());
        }
        checkup
    }

    /// The versions of the servers, each once.
    async fn versions(&self) -> Result<String> {
        let mut versions = Vec::new();
        for mut master in self.0.client.masters().await.map_err(failed)? {
            let asked = tokio::time::timeout(self.long(), Identity::of(&mut master)).await;
            let identity = asked.map_err(|_| StoreError::timeout())?.map_err(StoreError::unavailable)?;
            versions.push(identity.version);
        }
        versions.sort_unstable();
        versions.dedup();
        Ok(versions.join(", "))
    }

    pub(super) async fn usage_of_servers(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for mut master in self.0.client.masters().await.map_err(failed)? {
            let mut cmds = vec![::redis::cmd("DBSIZE")];
            for section in ["memory", "stats"] {
                cmds.push(::redis::cmd("INFO").arg(section).to_owned());
            }
            let asked = tokio::time::timeout(self.long(), master.query_all(cmds)).await;
            for answer in asked.map_err(|_| StoreError::timeout())?.map_err(StoreError::unavailable)? {
                let answer = answer.map_err(StoreError::unavailable)?;
                if let Value::Int(keys) = answer {
                    usage.entries += u64::try_from(keys).unwrap_or_default();
                } else {
                    add_info(&mut usage, &answer);
                }
            }
        }
        Ok(usage)
    }
}

fn add_info(usage: &mut Usage, info: &Value) {
    let Value::BulkString(text) = info else { return };
    for line in String::from_utf8_lossy(text).lines() {
        let Some((name, Ok(number))) = line.split_once(':').map(|(name, value)| (name, value.trim().parse::<u64>()))
        else {
            continue;
        };
        match name {
            "used_memory" => usage.bytes += number,
            "maxmemory" => usage.capacity += number,
            "evicted_keys" => usage.evictions += number,
            _ => {}
        }
    }
}
