//! The servers that hold keys, each by itself.

use std::sync::Arc;

use ::redis::{Cmd, RedisResult, Value};
use tokio::time::timeout;

use super::{Client, Failure, Link, keeper};

/// Which server of a Cluster has which keys.
#[derive(Debug, PartialEq)]
pub(crate) struct Layout {
    slots: Value,
    is_moving: bool,
}

impl Layout {
    /// Whether no slot is on its way from one master to another.
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_moving
    }
}

/// A server that holds keys.
pub(crate) struct Master {
    /// Where the ranges of its slots begin, the first first; zero without a Cluster.
    ranges: Vec<u16>,
    /// Where it is; `None` without a Cluster.
    address: Option<(String, u16)>,
}

impl Master {
    /// The first of its slots.
    pub(crate) fn first_slot(&self) -> u16 {
        self.ranges.first().copied().unwrap_or_default()
    }

    /// Which of them has a slot, if any has.
    pub(crate) fn of_slot(masters: &[Self], slot: u16) -> Option<&Self> {
        let begins = |master: &Self| master.ranges.iter().copied().filter(|begin| *begin <= slot).max();
        masters.iter().max_by_key(|master| begins(master))
    }
}

/// Who a server is, by its own words.
#[derive(Default)]
pub(crate) struct Identity {
    /// Another each time that it is started.
    pub(crate) run: String,
    /// Such as `7.2.4`, or `valkey 8.0.1`.
    pub(crate) version: String,
}

impl Client {
    /// Which server has which keys.
    pub(crate) async fn layout(&self) -> Result<Layout, Failure> {
        if !self.is_cluster() {
            return Ok(Layout { slots: Value::Nil, is_moving: false });
        }
        let (slots, mut is_moving) = (self.slots().await?, false);
        let mut nodes = ::redis::cmd("CLUSTER");
        nodes.arg("NODES");
        for mut master in self.masters_in(&slots).await? {
            let asked = timeout(self.0.dial.connect_timeout, master.query(&nodes)).await;
            let view = asked.map_err(|_| Failure::Late)?.map_err(|error| Failure::Failed(Arc::new(error)))?;
            // Each says of itself alone which slots are on their way, in brackets.
            is_moving |= matches!(view, Value::BulkString(view) if view.windows(2).any(|signs| signs == b" ["));
        }
        Ok(Layout { slots, is_moving })
    }

    async fn slots(&self) -> Result<Value, Failure> {
        let mut slots = ::redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        self.call(self.0.dial.connect_timeout, async move |mut link| link.query(&slots).await).await
    }

    /// A connection of its own to each server that may hold a key.
    pub(crate) async fn masters(&self) -> Result<Vec<Link>, Failure> {
        if !self.is_cluster() {
            return Ok(vec![self.call(self.0.dial.connect_timeout, async |link| Ok(link)).await?]);
        }
        self.masters_in(&self.slots().await?).await
    }

    async fn masters_in(&self, slots: &Value) -> Result<Vec<Link>, Failure> {
        let Self(inner) = self;
        let within = inner.dial.connect_timeout;
        let mut masters = Vec::new();
        for (host, port) in keeper::masters_of(slots) {
            match timeout(within, inner.dial.open_node(host, port)).await {
                Ok(Ok(link)) => masters.push(link),
                Ok(Err(error)) => return Err(Failure::Failed(Arc::new(error))),
                Err(_) => return Err(Failure::Late),
            }
        }
        Ok(masters)
    }

    /// The servers that hold keys, by the first of their slots.
    pub(crate) async fn masters_by_slot(&self) -> Result<Vec<Master>, Failure> {
        if !self.is_cluster() {
            return Ok(vec![Master { ranges: vec![0], address: None }]);
        }
        let mut ranges = keeper::ranges_of(&self.slots().await?);
        ranges.sort_unstable();
        let mut masters: Vec<Master> = Vec::new();
        for (slot, host, port) in ranges {
            let address = Some((host, port));
            match masters.iter_mut().find(|master| master.address == address) {
                Some(master) => master.ranges.push(slot),
                None => masters.push(Master { ranges: vec![slot], address }),
            }
        }
        Ok(masters)
    }

    /// A connection to one of them.
    pub(crate) async fn open(&self, master: &Master) -> Result<Link, Failure> {
        let within = self.0.dial.connect_timeout;
        let Some((host, port)) = master.address.clone() else {
            return self.call(within, async |link| Ok(link)).await;
        };
        match timeout(within, self.0.dial.open_node(host, port)).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => Err(Failure::Failed(Arc::new(error))),
            Err(_) => Err(Failure::Late),
        }
    }
}

impl Identity {
    /// Asks a server who it is.
    pub(crate) async fn of(link: &mut Link) -> RedisResult<Self> {
        let mut info = Cmd::new();
        info.arg("INFO").arg("server");
        let Value::BulkString(text) = link.query(&info).await? else { return Ok(Self::default()) };
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    fn parse(info: &str) -> Self {
        let value = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        // Valkey calls itself a Redis of the version that it began from.
        let valkey = value("valkey_version").map(|version| format!("valkey {version}"));
        Self {
            run: value("run_id").unwrap_or_default(),
            version: valkey.or_else(|| value("redis_version")).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_called_what_it_calls_itself() {
        let redis = Identity::parse("# Server\r\nredis_version:7.2.4\r\nrun_id:abc\r\n");
        assert_eq!((&*redis.version, &*redis.run), ("7.2.4", "abc"));
        let valkey = Identity::parse("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n");
        assert_eq!((&*valkey.version, &*valkey.run), ("valkey 8.0.1", ""));
        assert_eq!(Identity::parse("nothing").version, "");
    }

    #[test]
    fn a_slot_is_its_master_s_whose_range_begins_last_before_it() {
        let masters = [(vec![0, 9000], 1), (vec![5000], 2)];
        let masters = masters.map(|(ranges, port)| Master { ranges, address: Some(("h".into(), port)) });
        for (slot, port) in [(0, 1), (4999, 1), (5000, 2), (8999, 2), (9000, 1), (16_383, 1)] {
            let master = Master::of_slot(&masters, slot).expect("a master");
            assert_eq!(master.address.as_ref().map(|(_, port)| *port), Some(port), "{slot}");
        }
        assert_eq!((masters[0].first_slot(), masters[1].first_slot()), (0, 5000));
    }
}
