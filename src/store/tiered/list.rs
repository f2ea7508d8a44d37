//! Listings of both stores as one.
//!
//! What the far store has comes first, each entry with what the near one knows of it. Then comes what only the near one has, for
//! the far one lost it, or never took it: there the far store is asked for each entry, so that these pages cost more.

use super::Tiers;
use crate::{
    key::Key,
    store::{Cursor, Listed, Listing, Page, Result, Store, StoreError},
    tag::Selector,
};

/// Which store a page is of.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Far,
    /// What the far store doesn't have.
    Near,
    /// All that the near store has: the far one can't be asked.
    NearAlone,
}

impl Part {
    fn sign(self) -> char {
        match self {
            Self::Far => 'f',
            Self::Near => 'n',
            Self::NearAlone => 'a',
        }
    }

    fn cursor(self, of_store: Option<&Cursor>) -> Cursor {
        let of_store = of_store.map_or("", Cursor::as_str);
        Cursor::new(format!("{}{of_store}", self.sign()))
    }

    fn parse(cursor: &Cursor) -> Option<(Self, Option<Cursor>)> {
        let part = [Self::Far, Self::Near, Self::NearAlone]
            .into_iter()
            .find_map(|part| Some((part, cursor.as_str().strip_prefix(part.sign())?)));
        part.map(|(part, rest)| (part, Some(rest).filter(|rest| !rest.is_empty()).map(Cursor::new)))
    }
}

impl<N: Store, F: Store> Tiers<N, F> {
    pub(super) async fn list(&self, listing: &Listing) -> Result<Page> {
        if let Selector::Key(key) = &listing.selector {
            return self.list_one(key).await;
        }
        let (part, after) = match &listing.after {
            Some(cursor) => Part::parse(cursor).ok_or_else(StoreError::bad_cursor)?,
            None => (Part::Far, None),
        };
        let own = Listing { after, ..listing.clone() };
        match part {
            Part::Far => self.list_far(&own).await,
            Part::Near => self.list_near(&own).await,
            Part::NearAlone => self.list_near_alone(&own).await,
        }
    }

    async fn list_far(&self, listing: &Listing) -> Result<Page> {
        let page = match self.far.list(listing).await {
            Ok(page) => page,
            // In the middle of it, what was listed already would come again.
            Err(error) if listing.after.is_some() || error.is_bad_cursor() => return Err(error),
            Err(error) => return self.list_near_alone(listing).await.map_err(|_| error),
        };
        let mut merged = Page { is_partial: page.is_partial, ..Page::new(Vec::new(), None) };
        for far in page.entries {
            let near = self.near.list(&Listing::new(Selector::Key(far.key.clone()))).await;
            let near = near.ok().and_then(|mut page| page.entries.pop());
            let one = self.merged(near, Some(far));
            merged.entries.extend(one.filter(|one| one.is_meant(&listing.selector)));
        }
        merged.next = match page.next {
            Some(next) => Some(Part::Far.cursor(Some(&next))),
            // The page has room for some of the near store's.
            None if merged.entries.len() < listing.limit => {
                let limit = listing.limit - merged.entries.len();
                let near = self.list_near(&Listing { after: None, limit, ..listing.clone() }).await?;
                merged.entries.extend(near.entries);
                merged.is_partial |= near.is_partial;
                near.next
            }
            None => Some(Part::Near.cursor(None)),
        };
        Ok(merged)
    }

    /// What only the near store has.
    async fn list_near(&self, listing: &Listing) -> Result<Page> {
        // What isn't trusted isn't served while the far store answers.
        if !self.is_trusted() {
            return Ok(Page::new(Vec::new(), None));
        }
        let page = match self.near.list(listing).await {
            Ok(page) => page,
            Err(error) if error.is_unsupported() => {
                return Ok(Page { is_partial: true, ..Page::new(Vec::new(), None) });
            }
            Err(error) => return Err(error),
        };
        let mut own = Page { entries: Vec::new(), next: page.next.map(|next| Part::Near.cursor(Some(&next))), ..page };
        for near in page.entries {
            let far = self.far.list(&Listing::new(Selector::Key(near.key.clone()))).await;
            own.is_partial |= far.is_err();
            if far.is_ok_and(|page| !page.entries.is_empty()) {
                continue;
            }
            own.entries.push(near);
        }
        Ok(own)
    }

    async fn list_near_alone(&self, listing: &Listing) -> Result<Page> {
        let page = self.near.list(listing).await?;
        let next = page.next.map(|next| Part::NearAlone.cursor(Some(&next)));
        Ok(Page { next, is_partial: true, ..page })
    }

    async fn list_one(&self, key: &Key) -> Result<Page> {
        let listing = Listing::new(Selector::Key(key.clone()));
        let (near, far) = match (self.near.list(&listing).await, self.far.list(&listing).await) {
            (Err(_), Err(error)) => return Err(error),
            answers => answers,
        };
        let is_partial = near.is_err() || far.is_err();
        let one = |page: Result<Page>| page.ok().and_then(|mut page| page.entries.pop());
        // What isn't trusted is served only while the far store doesn't answer.
        let (near, far) = match (one(near), one(far)) {
            (Some(_), None) if !is_partial && !self.is_trusted() => (None, None),
            both => both,
        };
        Ok(Page { is_partial, ..Page::new(self.merged(near, far).into_iter().collect(), None) })
    }

    /// An entry as it would be served: the near one, unless it may be outdated.
    fn merged(&self, near: Option<Listed>, far: Option<Listed>) -> Option<Listed> {
        match (near, far) {
            (Some(near), Some(far)) => {
                let tiers = [near.tiers.clone(), far.tiers.clone()].concat();
                let served = if self.is_trusted() { near } else { Listed { hits: near.hits, ..far } };
                Some(Listed { tiers, ..served })
            }
            (near, far) => near.or(far),
        }
    }
}
