//! Purges of much, while traffic runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use larder::{
    CacheLayer,
    store::{Redis, Store},
    tag::Selector,
};
use tokio::task::JoinHandle;
use tower::Layer as _;

use super::samples::{entry, has, hits, key, layer, paths, store, tagged, until};
use crate::support::{
    Origin, full,
    redis::{Fault, Relay, Server},
    reply,
};

const MANY: u64 = 100_000;

/// What one look-up may take, on a machine that is busy.
const LONGEST: Duration = Duration::from_secs(2);

/// Adds entries under a label and a tag, as quickly as Redis can. What is in them is of no account.
async fn fill(server: &Server) {
    let script = "
        for number = 1, ARGV[1] do
            local member = string.format('many:%064x', number)
            redis.call('SET', 'larder:default:' .. member, 'x', 'PX', 600000)
            redis.call('ZADD', KEYS[1], '9999999999999', member)
        end
        redis.call('PEXPIRE', KEYS[1], 600000)";
    server.command(&["EVAL", script, "1", "larder:default!tag:many", &MANY.to_string()]).await;
}

/// Look-ups all the time, each a hit, until it is told to end; how many there were, and how long the longest took.
fn traffic(layer: &CacheLayer<Redis>, ended: &Arc<AtomicBool>) -> JoinHandle<(u64, Duration)> {
    let (cache, ended) = (layer.layer(paths()), ended.clone());
    tokio::spawn(async move {
        let (mut count, mut longest) = (0, Duration::ZERO);
        while !ended.load(Ordering::Relaxed) {
            let begin = Instant::now();
            assert!(hits(&cache, &format!("/{}", count % 10)).await, "it is not meant");
            longest = longest.max(begin.elapsed());
            count += 1;
            tokio::task::yield_now().await;
        }
        (count, longest)
    })
}

#[tokio::test]
async fn a_hundred_thousand_entries_are_purged_while_look_ups_go_on() {
    let server = Server::start().await;
    let store = store(&server.url());
    let layer = layer(store.clone()).build();
    let cache = layer.layer(paths());
    for number in 0..10 {
        until("a hit", async || hits(&cache, &format!("/{number}")).await).await;
    }
    let real = key("real", "a");
    for selector in [tagged("many"), Selector::label("many*")] {
        fill(&server).await;
        store.put(&real, entry("real", &["many"])).await.expect("a write");
        let ended = Arc::default();
        let traffic = [traffic(&layer, &ended), traffic(&layer, &ended)];
        let begin = Instant::now();
        let count = layer.handle().purge(&selector).await.expect("a purge");
        let took = begin.elapsed();
        ended.store(true, Ordering::Relaxed);

        let by_tag = matches!(selector, Selector::Tag(_));
        assert_eq!(count, MANY + u64::from(by_tag), "{selector:?}");
        assert!(took < Duration::from_secs(20), "{selector:?} took {took:?}");
        assert_eq!(has(&store, &real).await, !by_tag);
        assert!(server.keys("larder:default:many:*").await.is_empty(), "{selector:?}");
        for traffic in traffic {
            let (count, longest) = traffic.await.expect("every look-up was a hit");
            assert!(count > 10 && longest < LONGEST, "{selector:?}: {count} look-ups, the longest took {longest:?}");
        }
    }
}

#[tokio::test]
async fn the_origins_tags_are_what_is_purged() {
    let server = Server::start().await;
    let layer = layer(store(&server.url())).build();
    let origin = Origin::by_request(|request| {
        let path = request.uri().path().to_owned();
        let own = path.trim_start_matches('/').to_owned();
        let fields = [
            ("cache-control", "max-age=600"),
            ("surrogate-key", &format!("page {own}")),
            ("cache-tag", &format!("site,other-{own}")),
        ];
        reply(200, &fields, full(path))
    });
    let cache = layer.layer(origin);
    let cases = [("page", 3, ""), ("site", 3, ""), ("a", 1, "bc"), ("other-b", 1, "ac"), ("absent", 0, "abc")];
    for (tag, count, left) in cases {
        for path in ["/a", "/b", "/c"] {
            until("a hit", async || hits(&cache, path).await).await;
        }
        assert_eq!(layer.handle().purge(&tagged(tag)).await.expect("a purge"), count, "{tag}");
        for path in ["a", "b", "c"] {
            assert_eq!(hits(&cache, &format!("/{path}")).await, left.contains(path), "{tag} and {path}");
        }
    }
}

/// While all is purged others put, and what they put is in their tags' indexes.
#[tokio::test]
async fn what_is_put_while_all_is_purged_can_still_be_purged_by_its_tag() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let (purges, puts) = (store(&relay.url()), store(&server.url()));
    puts.put(&key("label", "first"), entry("first", &["t"])).await.expect("a write");
    assert_eq!(purges.purge(&tagged("absent")).await.expect("a purge"), 0);
    // So that it takes a while.
    relay.set(Fault::Delay(Duration::from_millis(100)));
    let purging = tokio::spawn(async move { purges.purge(&Selector::All).await });
    let mut number = 0;
    while !purging.is_finished() {
        puts.put(&key("label", &number.to_string()), entry("x", &["t"])).await.expect("a write");
        number += 1;
    }
    purging.await.expect("no panic").expect("a purge");
    puts.purge(&tagged("t")).await.expect("a purge");
    let left = server.keys("larder:default:*").await.len();
    assert_eq!(left, 0, "of {number} that were put");
}
