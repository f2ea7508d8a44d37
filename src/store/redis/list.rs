//! Listings: the beginnings of entries, a page at a time.

use ::redis::{Cmd, Value};
use bytes::Bytes;

use super::{NAME, Redis, Result, StoreError, failed, purge::scanned};
use crate::{
    key::Key,
    redis::{Identity, Master},
    store::{Cursor, Listed, Listing, Page},
    tag::{Selector, Tag},
};

/// How many bytes of each entry are read first: enough for the fields of most.
const BEGINNING: usize = 4 << 10;

/// How many are read of those for which that isn't enough.
const MORE: usize = 64 << 10;

/// How many bytes a page may read in that way.
const BUDGET: usize = 8 << 20;

/// How many steps of a `SCAN`, or of a tag's index, a page takes at most: others may have most of the keys.
const STEPS: usize = 100;

/// How many keys a step of a scan looks at, at least, and how many a step of an index.
const LEAST: usize = 10;
const STEP: usize = 100;

impl Redis {
    pub(super) async fn list_entries(&self, listing: &Listing) -> Result<Page> {
        self.hear();
        let (names, next) = match &listing.selector {
            Selector::Key(key) => (vec![self.0.names.entry(key)], None),
            Selector::Tag(tag) => self.named_by_tag(tag, listing).await?,
            Selector::Label(pattern) => self.named_by_scan(pattern.beginning(), listing).await?,
            Selector::All => self.named_by_scan("", listing).await?,
        };
        let now = self.0.clock.now();
        let mut entries = self.look_at(names).await?;
        entries.retain(|listed| listed.is_meant(&listing.selector) && listed.is_kept(now));
        Ok(Page::new(entries, next))
    }

    /// The names of entries in a tag's index, those that expire first first, and where to go on.
    async fn named_by_tag(&self, tag: &Tag, listing: &Listing) -> Result<(Vec<String>, Option<Cursor>)> {
        let after = listing.after.as_ref().map(|cursor| Indexed::parse(cursor).ok_or_else(StoreError::bad_cursor));
        let after = after.transpose()?;
        let least = after.as_ref().map_or("-inf", |after| &after.score);
        let index = self.0.names.tag(tag);
        let (mut found, mut offset, mut more) = (Vec::new(), 0, true);
        // Many may expire at once, of which those before the cursor are passed by.
        let count = listing.limit.max(STEP);
        for _ in 0..STEPS {
            let mut range = Cmd::new();
            range.arg("ZRANGEBYSCORE").arg(&index).arg(least).arg("+inf").arg("WITHSCORES");
            range.arg("LIMIT").arg(offset).arg(count);
            let pairs = pairs_of(self.ask_for_long(range).await?)?;
            (more, offset) = (pairs.len() == count, offset + pairs.len());
            // Those that expire at once are in the order of their names.
            found.extend(pairs.into_iter().filter(|pair| after.as_ref().is_none_or(|after| pair.is_after(after))));
            if !more || found.len() >= listing.limit {
                break;
            }
        }
        more |= found.len() > listing.limit;
        found.truncate(listing.limit);
        let next = if more { found.last().or(after.as_ref()).map(Indexed::cursor) } else { None };
        let names = found.iter().filter_map(|pair| self.0.names.of_member(pair.member.as_bytes()));
        Ok((names.collect(), next))
    }

    /// The names of entries whose label begins so, of one master after the other, and where to go on.
    async fn named_by_scan(&self, beginning: &str, listing: &Listing) -> Result<(Vec<String>, Option<Cursor>)> {
        let glob = self.0.names.entries(beginning);
        let after = listing.after.as_ref().map(|cursor| Place::parse(cursor).ok_or_else(StoreError::bad_cursor));
        let mut place = after.transpose()?.unwrap_or_default();
        let masters = self.0.client.masters_by_slot().await.map_err(failed)?;
        let (mut found, mut steps): (Vec<String>, usize) = (Vec::new(), 0);
        let mut at = Master::of_slot(&masters, place.slot);
        while let Some(master) = at {
            let mut link = self.0.client.open(master).await.map_err(failed)?;
            let asked = tokio::time::timeout(self.long(), Identity::of(&mut link)).await;
            let identity = asked.map_err(|_| StoreError::timeout())?.map_err(StoreError::unavailable)?;
            if identity.run != place.run {
                // Another server, or the same anew: what the cursor said to the last one is nothing to it.
                place = Place { slot: place.slot, cursor: "0".into(), run: identity.run };
            }
            loop {
                if steps == STEPS || found.len() >= listing.limit {
                    return Ok((found, Some(place.to_cursor())));
                }
                steps += 1;
                let count = (listing.limit - found.len()).max(LEAST);
                let mut scan = Cmd::new();
                scan.arg("SCAN").arg(&place.cursor).arg("MATCH").arg(&glob).arg("COUNT").arg(count);
                let asked = tokio::time::timeout(self.long(), link.query(&scan)).await;
                let (next, names) =
                    scanned(asked.map_err(|_| StoreError::timeout())?.map_err(StoreError::unavailable)?)?;
                for name in names.into_iter().filter_map(|name| String::from_utf8(name).ok()) {
                    let Some(key) = self.0.names.key(&name) else { continue };
                    let is_meant = listing.selector.matches(&key, &[]);
                    // A scan may name a key twice.
                    if is_meant && !found.contains(&name) {
                        found.push(name);
                    }
                }
                place.cursor = String::from_utf8_lossy(&next).into_owned();
                if place.cursor == "0" {
                    break;
                }
            }
            at = masters.iter().find(|master| master.first_slot() > place.slot);
            if let Some(next) = at {
                place = Place { slot: next.first_slot(), ..Place::default() };
            }
        }
        Ok((found, None))
    }

    /// What lies under these names, by its beginning; what isn't there, or can't be read, is left out.
    async fn look_at(&self, names: Vec<String>) -> Result<Vec<Listed>> {
        let keys: Vec<_> = names.into_iter().filter_map(|name| Some((self.0.names.key(&name)?, name))).collect();
        let beginnings = self.read(keys.iter().map(|(_, name)| (name, BEGINNING))).await?;
        let (mut listed, mut short, mut budget) = (Vec::new(), Vec::new(), BUDGET);
        for ((key, name), (size, beginning)) in keys.into_iter().zip(beginnings) {
            let Some(one) = self.glance(&key, &name, size, &beginning) else { continue };
            let bytes = size.min(MORE);
            if one.lifetime.is_none() && beginning.len() < bytes && bytes <= budget {
                budget -= bytes;
                short.push((listed.len(), name));
            }
            listed.push(one);
        }
        let longer = self.read(short.iter().map(|(_, name)| (name, MORE))).await?;
        for ((place, name), (size, beginning)) in short.into_iter().zip(longer) {
            let one: Option<&mut Listed> = listed.get_mut(place);
            if let Some(one) = one
                && let Some(known) = self.glance(&one.key, &name, size, &beginning)
            {
                *one = known;
            }
        }
        Ok(listed)
    }

    /// How long what lies under each name is, and so many bytes of it.
    async fn read<'a>(&self, names: impl Iterator<Item = (&'a String, usize)>) -> Result<Vec<(usize, Bytes)>> {
        let mut cmds = Vec::new();
        for (name, bytes) in names {
            let (mut length, mut range) = (Cmd::new(), Cmd::new());
            length.arg("STRLEN").arg(name);
            range.arg("GETRANGE").arg(name).arg(0).arg(bytes - 1);
            cmds.extend([length, range]);
        }
        if cmds.is_empty() {
            return Ok(Vec::new());
        }
        let asked = self.0.client.call(self.long(), async move |mut link| link.query_all(cmds).await);
        let answers = asked.await.map_err(failed)?;
        let pair = |pair: &[::redis::RedisResult<Value>]| match pair {
            [Ok(Value::Int(length)), Ok(Value::BulkString(bytes))] => {
                (usize::try_from(*length).unwrap_or_default(), Bytes::copy_from_slice(bytes))
            }
            // Somebody else's, which is no text.
            _ => (0, Bytes::new()),
        };
        Ok(answers.chunks(2).map(pair).collect())
    }

    /// What the beginning of an entry says.
    fn glance(&self, key: &Key, name: &str, size: usize, beginning: &Bytes) -> Option<Listed> {
        let glance = self.0.codec.glance(beginning).ok()?;
        let listed = |status, lifetime, tags| Listed {
            key: key.clone(),
            status,
            received_at: glance.received_at,
            lifetime,
            size: size as u64,
            hits: None,
            tags,
            tiers: vec![NAME],
        };
        if glance.is_sealed && beginning.len() == size {
            let entry = self.0.codec.decode(name.as_bytes(), beginning.clone()).ok()?;
            let head = entry.head();
            return Some(listed(Some(head.status()), Some(head.lifetime().clone()), head.tag_list().to_vec()));
        }
        let Some((status, lifetime, tags)) = glance.head else { return Some(listed(None, None, Vec::new())) };
        Some(listed(Some(status), Some(lifetime), tags))
    }
}

/// How far a scan has come.
#[derive(Debug, PartialEq)]
struct Place {
    /// The first slot of the master when its scan began.
    slot: u16,
    cursor: String,
    /// Which start of which server gave the cursor.
    run: String,
}

impl Default for Place {
    fn default() -> Self {
        Self { slot: 0, cursor: "0".into(), run: String::new() }
    }
}

impl Place {
    fn parse(cursor: &Cursor) -> Option<Self> {
        let mut parts = cursor.as_str().strip_prefix("scan/")?.split('/');
        let slot = parts.next()?.parse().ok()?;
        let scan: u64 = parts.next()?.parse().ok()?;
        let run = parts.next()?.to_owned();
        parts.next().is_none().then_some(Self { slot, cursor: scan.to_string(), run })
    }

    fn to_cursor(&self) -> Cursor {
        Cursor::new(format!("scan/{}/{}/{}", self.slot, self.cursor, self.run))
    }
}

/// An entry in a tag's index.
#[derive(Debug, PartialEq)]
struct Indexed {
    /// When it expires, as Redis writes the number.
    score: String,
    member: String,
}

impl Indexed {
    fn parse(cursor: &Cursor) -> Option<Self> {
        let (score, member) = cursor.as_str().strip_prefix("tag/")?.split_once('/')?;
        // Nothing that Redis would take for another kind of bound.
        score.parse::<f64>().ok().filter(|score| score.is_finite())?;
        Some(Self { score: score.to_owned(), member: member.to_owned() })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(format!("tag/{}/{}", self.score, self.member))
    }

    fn is_after(&self, other: &Self) -> bool {
        self.score != other.score || self.member.as_bytes() > other.member.as_bytes()
    }
}

/// Members and their scores take turns.
fn pairs_of(answer: Value) -> Result<Vec<Indexed>> {
    let Value::Array(texts) = answer else { return Err(StoreError::corrupt("a tag's index is no index")) };
    let text = |value: &Value| {
        if let Value::BulkString(text) = value { String::from_utf8_lossy(text).into_owned() } else { String::new() }
    };
    Ok(texts.chunks_exact(2).map(|pair| Indexed { member: text(&pair[0]), score: text(&pair[1]) }).collect())
}
