//! Purges: what is meant is found and removed, and noted in a log that all processes read.

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use ::redis::{Cmd, Value};

use super::{
    PURGE, Redis, Result, SINCE, StoreError, failed,
    message::{Message, record, selector_text},
};
use crate::{
    key::Key,
    redis::Link,
    store::Fence,
    tag::{Selector, Tag},
};

/// How many purges the log keeps. A fetch that has seen more of them pass is not kept.
const KEPT: &str = "1000";

/// For how long the log is kept after the last of them, in milliseconds: a week.
const KEPT_FOR: &str = "604800000";

/// How many entries are looked at, and removed, at once.
const BATCH: usize = 500;

/// How often the masters of a Cluster are gone through again because they changed meanwhile.
const ROUNDS: usize = 3;

/// Below this no purge has a number, for the first has the time; it was in 2004.
const NUMBERS: u64 = 1 << 40;

/// How far the log of purges is known.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The number of the last purge, when the log was read first.
    first: RwLock<Option<u64>>,
    last: AtomicU64,
    /// How often it could not be read before that.
    unread: AtomicU64,
}

/// The first reading of the log, while it is under way. Unless the log is known by its end, it has failed.
pub(super) struct Reading<'a>(&'a Log);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.0.is_known() {
            self.0.unread.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Log {
    pub(super) fn is_known(&self) -> bool {
        self.first.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn read(&self) -> Reading<'_> {
        Reading(self)
    }

    /// Notes how far it is known. Before anything is, that is how often it could not be read.
    pub(super) fn fence(&self) -> Fence {
        match self.last.load(Ordering::Acquire) {
            0 => Fence::new(self.unread.load(Ordering::Acquire)),
            last => Fence::new(last),
        }
    }

    /// The last purge that a fetch with this fence began after; zero if that can't be said.
    pub(super) fn known_by(&self, fence: Fence) -> u64 {
        if fence.number() >= NUMBERS {
            return fence.number();
        }
        // Each fetch comes after a look-up, which reads the log until it is known. So if all went well since the fence was
        // noted, the log was read before the fetch began; else it may have been after, and after any purge.
        let went_well = fence.number() == self.unread.load(Ordering::Acquire);
        self.first.read().unwrap_or_else(PoisonError::into_inner).filter(|_| went_well).unwrap_or_default()
    }

    /// Hears of a purge.
    pub(super) fn hear(&self, number: u64) {
        self.last.fetch_max(number, Ordering::AcqRel);
    }

    /// Takes what the log holds as known, the first time that it is read.
    pub(super) fn begin(&self, records: &Value) {
        let last = records_of(records).map(|(number, _)| number).last().unwrap_or_default();
        self.hear(last);
        self.first.write().unwrap_or_else(PoisonError::into_inner).get_or_insert(last);
    }

    /// The purges after one that is known, if there are any.
    pub(super) fn news(&self, since: u64, records: &Value) -> Option<News> {
        let (numbers, selectors): (Vec<_>, Vec<_>) = records_of(records).unzip();
        let last = *numbers.last()?;
        self.hear(last);
        // Numbers follow on each other, unless the log was cut, or lost.
        let complete = u64::try_from(selectors.len()).is_ok_and(|count| count == last.saturating_sub(since));
        Some(News { selectors, complete, last })
    }
}

fn records_of(records: &Value) -> impl Iterator<Item = (u64, Selector)> {
    let records = if let Value::Array(records) = records { &records[..] } else { &[] };
    records.iter().filter_map(|text| if let Value::BulkString(text) = text { record(text) } else { None })
}

/// Purges that weren't known.
pub(super) struct News {
    selectors: Vec<Selector>,
    complete: bool,
    last: u64,
}

impl News {
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn may_mean(&self, key: &Key, tags: &[Tag]) -> bool {
        !self.complete || self.selectors.iter().any(|selector| selector.may_mean(key, tags))
    }
}

impl Redis {
    /// Reads the log, if that was never done.
    pub(super) async fn know_log(&self) -> Result<()> {
        if !self.0.log.is_known() {
            let _reading = self.0.log.read();
            let call = SINCE.call().key(self.0.names.log()).arg("0");
            let records = self.run(vec![call], 0).await?;
            self.0.log.begin(records.first().unwrap_or(&Value::Nil));
        }
        Ok(())
    }

    /// Notes a purge in the log, and tells the others; what the log says of it.
    pub(super) async fn note_purge(&self, selector: &Selector) -> Result<Vec<u8>> {
        let names = &self.0.names;
        let call = PURGE.call().key(names.log()).arg(selector_text(selector)).arg(KEPT).arg(KEPT_FOR);
        let call = call.arg(names.channel()).bytes(Message::purged(&self.0.origin));
        match self.run(vec![call], 0).await?.first() {
            Some(Value::BulkString(number)) => {
                let number = String::from_utf8_lossy(number);
                self.0.log.hear(number.parse().unwrap_or_default());
                Ok(format!("{number}:{}", selector_text(selector)).into_bytes())
            }
            other => Err(StoreError::corrupt(format!("the log of purges gave {other:?}"))),
        }
    }

    /// Removes the entries that are meant.
    pub(super) async fn purge_entries(&self, selector: &Selector) -> Result<u64> {
        let names = &self.0.names;
        match selector {
            Selector::Key(key) => self.unlink(vec![names.entry(key)]).await,
            Selector::Tag(tag) => self.purge_index(&names.tag(tag)).await,
            Selector::Label(pattern) => {
                let meant = |name: &str| names.label(name).is_some_and(|label| pattern.matches(label));
                self.sweep(&names.entries(pattern.beginning()), meant).await
            }
            // The tags' indexes stay, and end by themselves: what is put meanwhile must be found by the next purge.
            Selector::All => self.sweep(&names.entries(""), |name| names.label(name).is_some()).await,
        }
    }

    /// Removes the entries in a tag's index. The index stays: what is put while it is gone through must be found by the next purge.
    async fn purge_index(&self, index: &str) -> Result<u64> {
        let (mut cursor, mut purged) = (b"0".to_vec(), 0);
        loop {
            let mut scan = Cmd::new();
            scan.arg("ZSCAN").arg(index).arg(&cursor).arg("COUNT").arg(BATCH);
            let (next, members) = scanned(self.ask_for_long(scan).await?)?;
            // Members and their scores take turns.
            let entries = members.iter().step_by(2).filter_map(|member| self.0.names.of_member(member));
            purged += self.unlink(entries.collect()).await?;
            if next == b"0" {
                return Ok(purged);
            }
            cursor = next;
        }
    }

    /// Removes what every master has under names that a glob matches, and that are meant.
    async fn sweep(&self, glob: &str, meant: impl Fn(&str) -> bool) -> Result<u64> {
        let mut purged = 0;
        let mut before = self.0.client.layout().await.map_err(failed)?;
        for _ in 0..ROUNDS {
            for master in self.0.client.masters().await.map_err(failed)? {
                purged += self.sweep_one(master, glob, &meant).await?;
            }
            // Keys that moved meanwhile may have been missed.
            let after = self.0.client.layout().await.map_err(failed)?;
            if after.is_settled() && after == before {
                break;
            }
            before = after;
        }
        Ok(purged)
    }

    async fn sweep_one(&self, mut master: Link, glob: &str, meant: impl Fn(&str) -> bool) -> Result<u64> {
        let (mut cursor, mut purged) = (b"0".to_vec(), 0);
        loop {
            let mut scan = Cmd::new();
            scan.arg("SCAN").arg(&cursor).arg("MATCH").arg(glob).arg("COUNT").arg(BATCH * 2);
            let asked = tokio::time::timeout(self.long(), master.query(&scan)).await;
            let answer = asked.map_err(|_| StoreError::timeout())?.map_err(StoreError::unavailable)?;
            let (next, names) = scanned(answer)?;
            let names = names.into_iter().filter_map(|name| String::from_utf8(name).ok());
            purged += self.unlink(names.filter(|name| meant(name)).collect()).await?;
            if next == b"0" {
                return Ok(purged);
            }
            cursor = next;
        }
    }

    async fn unlink(&self, names: Vec<String>) -> Result<u64> {
        if names.is_empty() {
            return Ok(0);
        }
        let unlink = |names: &[String]| {
            let mut unlink = Cmd::new();
            unlink.arg("UNLINK").arg(names);
            unlink
        };
        // A Cluster refuses to touch several keys at once that lie with two masters, as they do while their slot moves.
        let at_once = if self.0.client.is_cluster() { 1 } else { names.len() };
        let unlinks = names.chunks(at_once).map(unlink).collect();
        let unlinked = self.0.client.call(self.long(), async move |mut link| {
            let counts = link.query_all(unlinks).await?;
            counts.into_iter().collect::<::redis::RedisResult<Vec<_>>>()
        });
        let counts = unlinked.await.map_err(failed)?.into_iter();
        Ok(counts
            .filter_map(|count| if let Value::Int(count) = count { u64::try_from(count).ok() } else { None })
            .sum())
    }

    /// No request waits for it.
    pub(super) async fn ask_for_long(&self, cmd: Cmd) -> Result<Value> {
        self.0.client.call(self.long(), async move |mut link| link.query(&cmd).await).await.map_err(failed)
    }

    pub(super) fn long(&self) -> std::time::Duration {
        self.0.client.response_timeout() * 20
    }
}

/// The next cursor, and what was found.
pub(super) fn scanned(answer: Value) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let unread = || StoreError::corrupt("a scan gave something else than a cursor and a list");
    let Value::Array(answer) = answer else { return Err(unread()) };
    let Ok([Value::BulkString(cursor), Value::Array(found)]) = <[Value; 2]>::try_from(answer) else {
        return Err(unread());
    };
    let found = found.into_iter().filter_map(|one| if let Value::BulkString(text) = one { Some(text) } else { None });
    Ok((cursor, found.collect()))
}
