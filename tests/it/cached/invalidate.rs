//! What is invalidated is gone: what was kept, and what is being loaded.

use larder::{cached::Cached, store::Store as _, tag::Selector};

use super::{Db, Gate, KINDS, Kept, Place, Row, SHARED, redis, row, tag, until, version};
use crate::support::{begun, settle};

/// How a test invalidates.
#[derive(Clone, Copy, Debug)]
enum By {
    Key,
    Tag,
    Pattern,
    All,
}

const WAYS: [By; 4] = [By::Key, By::Tag, By::Pattern, By::All];

async fn invalidate(cached: &Cached<str, Row>, by: By) -> u64 {
    match by {
        By::Key => cached.invalidate("key").await.map(u64::from),
        By::Tag => cached.invalidate_tag(&tag("all")).await,
        By::Pattern => cached.invalidate_matching("k?y*").await,
        By::All => cached.invalidate_all().await,
    }
    .expect("an invalidation")
}

#[tokio::test]
async fn what_is_invalidated_is_loaded_again_and_nothing_else_is() {
    for kept in KINDS {
        let place = Place::new(kept).await;
        for by in WAYS {
            let other = |row: &Row| vec![tag(if row.version == 7 { "other" } else { "all" })];
            let cached = place.with(|builder| builder.tags(other)).await;
            let db = Db::default();
            cached.insert("other", row(7)).await.expect("kept");
            version(&cached, "key", &db).await;
            db.write();
            until("it is kept", async || cached.get("key").await.is_some()).await;
            let removed = invalidate(&cached, by).await;
            assert_eq!(version(&cached, "key", &db).await, 1, "{kept:?}, {by:?}");
            let expected = if matches!(by, By::All) { (2, None) } else { (1, Some(7)) };
            assert_eq!((removed, cached.get("other").await.map(|row| row.version)), expected, "{kept:?}, {by:?}");
            cached.invalidate_all().await.expect("an invalidation");
        }
    }
}

#[tokio::test]
async fn what_is_loaded_while_it_is_invalidated_is_not_kept() {
    for kept in KINDS {
        let place = Place::new(kept).await;
        for by in WAYS {
            let (cached, db) = (place.cached().await, Db::default());
            let gate = Gate::new();
            let asked = tokio::spawn({
                let (cached, db, gate) = (cached.clone(), db.clone(), gate.clone());
                async move { cached.get_or_try_insert("key", || db.load_behind(&gate)).await }
            });
            until("it loads", async || db.loads() == 1).await;
            db.write();
            invalidate(&cached, by).await;
            // Who comes now gets none of what was read before.
            let later = tokio::spawn({
                let (cached, db) = (cached.clone(), db.clone());
                async move { version(&cached, "key", &db).await }
            });
            settle().await;
            gate.open();
            assert_eq!(asked.await.expect("no panic").expect("a row").version, 0, "it asked before");
            assert_eq!(later.await.expect("no panic"), 1, "{kept:?}, {by:?}");
            settle().await;
            assert_eq!(version(&cached, "key", &db).await, 1, "{kept:?}, {by:?}");
            invalidate(&cached, By::All).await;
        }
    }
}

#[tokio::test]
async fn a_load_that_an_invalidation_does_not_mean_is_kept() {
    let (cached, db) = (Cached::<str, Row>::builder("rows").tags(|row| vec![tag(&row.group)]).build(), Db::default());
    let gate = Gate::new();
    let mut asked = begun(cached.get_or_try_insert("key", || db.load_behind(&gate)));
    cached.invalidate("other").await.expect("memory");
    cached.invalidate_tag(&tag("others")).await.expect("memory");
    cached.invalidate_matching("other").await.expect("memory");
    gate.open();
    assert!(crate::support::poll_once(&mut asked).is_ready());
    assert_eq!((version(&cached, "key", &db).await, db.loads(), cached.stats().outdated), (0, 1, 0));
}

#[tokio::test]
async fn what_is_inserted_takes_the_place_of_what_is_being_loaded() {
    for kept in KINDS {
        let place = Place::new(kept).await;
        let (cached, db) = (place.cached().await, Db::default());
        let gate = Gate::new();
        let asked = tokio::spawn({
            let (cached, db, gate) = (cached.clone(), db.clone(), gate.clone());
            async move { cached.get_or_try_insert("key", || db.load_behind(&gate)).await }
        });
        until("it loads", async || db.loads() == 1).await;
        cached.insert("key", row(5)).await.expect("kept");
        gate.open();
        asked.await.expect("no panic").expect("a row");
        settle().await;
        assert_eq!(cached.get("key").await.map(|row| row.version), Some(5), "{kept:?}");
        assert_eq!(version(&cached, "key", &db).await, 5, "{kept:?}");
    }
}

#[tokio::test]
async fn a_thousand_keys_written_meanwhile_do_not_keep_a_load_from_being_kept() {
    for kept in KINDS {
        let place = Place::new(kept).await;
        let (cached, db) = (place.with(|builder| builder.label(|_| String::new())).await, Db::default());
        // The first that a Redis notes is taken to mean all that is being loaded.
        cached.invalidate("first").await.expect("an invalidation");
        cached.get("first").await;
        let gate = Gate::new();
        let asked = tokio::spawn({
            let (cached, db, gate) = (cached.clone(), db.clone(), gate.clone());
            async move { cached.get_or_try_insert("key", || db.load_behind(&gate)).await }
        });
        until("it loads", async || db.loads() == 1).await;
        let most = if kept == Kept::Memory { 2000 } else { 200 };
        for number in 0..most {
            cached.invalidate(&number.to_string()).await.expect("an invalidation");
        }
        gate.open();
        asked.await.expect("no panic").expect("a row");
        until("it is kept", async || cached.get("key").await.is_some()).await;
        assert_eq!((version(&cached, "key", &db).await, db.loads()), (0, 1), "{kept:?}");
    }
}

#[tokio::test]
async fn a_tag_means_other_spaces_and_a_space_means_itself() {
    for kept in SHARED {
        let place = Place::new(kept).await;
        let users = place.cached().await;
        let store = redis(&place.server().url());
        super::hears(&store).await;
        let plans: Cached<str, Row> =
            Cached::builder("plans").tags(|row: &Row| vec![tag(&row.group)]).store(store.clone()).build();
        for cached in [&users, &plans] {
            cached.insert("key", row(1)).await.expect("kept");
        }
        assert_eq!(users.invalidate_all().await.expect("an invalidation"), 1);
        assert!(plans.get("key").await.is_some() && users.get("key").await.is_none());
        users.insert("key", row(1)).await.expect("kept");
        assert_eq!(users.invalidate_tag(&tag("all")).await.expect("an invalidation"), 2);
        until("it is told", async || plans.get("key").await.is_none()).await;
        plans.insert("key", row(1)).await.expect("kept");
        until("it is told", async || plans.get("key").await.is_some()).await;
        // Who empties the store empties it for all.
        store.purge(&Selector::All).await.expect("a purge");
        until("it is told", async || plans.get("key").await.is_none()).await;
    }
}

#[tokio::test]
async fn a_key_that_is_known_to_have_no_value_is_asked_for_again_after_an_invalidation() {
    for kept in KINDS {
        let place = Place::new(kept).await;
        let cached = place.cached().await;
        let none = || async { Ok::<Option<Row>, &str>(None) };
        assert_eq!(cached.get_or_try_find("key", none).await, Ok(None));
        cached.invalidate("key").await.expect("an invalidation");
        let some = || async { Ok::<_, &str>(Some(row(3))) };
        assert_eq!(cached.get_or_try_find("key", some).await.expect("loaded").expect("a row").version, 3, "{kept:?}");
    }
}
