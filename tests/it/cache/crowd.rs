//! Whatever order requests come, read and leave in: who reads to the end gets all of it.

use std::{future::Future, pin::Pin, task::Poll};

use larder::clock::ManualClock;
use proptest::prelude::*;
use tower::Layer as _;

use super::minute;
use crate::support::{Feed, Held, Origin, Reply, Wakes, ask, channel, get, poll_once, reply, settle};

#[derive(Clone, Debug)]
enum Act {
    Join,
    Leave(usize),
    Read(usize),
    Head,
    Frame,
    End,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Join),
        3 => (0..8usize).prop_map(Act::Leave),
        6 => (0..8usize).prop_map(Act::Read),
        2 => Just(Act::Head),
        4 => Just(Act::Frame),
        1 => Just(Act::End),
    ]
}

type Pending = Pin<Box<dyn Future<Output = Reply>>>;

enum Client {
    Waiting(Pending),
    Reading(Reply, String),
    Done(String),
}

/// What a fetch has sent so far, and whether it is over. Each call's body says which call it is.
struct Fetch {
    feed: Option<Feed>,
    sent: usize,
}

#[derive(Default)]
struct World {
    clients: Vec<Client>,
    held: Vec<Held>,
    fetches: Vec<Fetch>,
}

const FRAMES: usize = 4;

fn piece(fetch: usize, frame: usize) -> String {
    format!("[{fetch}.{frame}]")
}

impl World {
    fn head(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let (feed, body) = channel();
        self.held.remove(0).answer(reply(200, &[], body));
        self.fetches.push(Fetch { feed: Some(feed), sent: 0 });
    }

    fn frame(&mut self, end: bool) {
        let Some(at) = self.fetches.iter().position(|fetch| fetch.feed.is_some()) else { return };
        let fetch = &mut self.fetches[at];
        if let Some(feed) = &fetch.feed {
            if fetch.sent < FRAMES {
                feed.data(piece(at, fetch.sent));
                fetch.sent += 1;
            }
            if end && fetch.sent == FRAMES {
                fetch.feed = None;
            }
        }
    }

    fn read(&mut self, index: usize) -> bool {
        let Some(client) = self.clients.get_mut(index) else { return false };
        match client {
            Client::Waiting(request) => {
                if let Poll::Ready(answer) = poll_once(request) {
                    *client = Client::Reading(answer, String::new());
                    return true;
                }
                false
            }
            Client::Reading(answer, read) => match Wakes::new().poll(answer.body_mut()) {
                Poll::Pending => false,
                Poll::Ready(Some(frame)) => {
                    let data = frame.expect("nothing breaks").into_data().expect("data");
                    read.push_str(str::from_utf8(&data).expect("text"));
                    true
                }
                Poll::Ready(None) => {
                    *client = Client::Done(std::mem::take(read));
                    true
                }
            },
            Client::Done(_) => false,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_reads_to_the_end_gets_all(acts in prop::collection::vec(act(), 1..60), finish: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let clock = ManualClock::default();
            let (origin, mut calls) = Origin::held();
            let builder = minute(&clock);
            let layer = if finish { builder.finish_fetches(super::MINUTE) } else { builder }.build();
            let cache = layer.layer(origin.clone());
            let mut world = World::default();
            for act in acts {
                match act {
                    Act::Join => {
                        let service = cache.clone();
                        let mut request: Pending =
                            Box::pin(async move { ask(&service, get("http://a/", &[])).await });
                        world.clients.push(match poll_once(&mut request) {
                            Poll::Ready(answer) => Client::Reading(answer, String::new()),
                            Poll::Pending => Client::Waiting(request),
                        });
                    }
                    Act::Leave(index) if index < world.clients.len() => drop(world.clients.remove(index)),
                    Act::Leave(_) => {}
                    Act::Read(index) => { world.read(index); }
                    Act::Head => world.head(),
                    Act::Frame => world.frame(false),
                    Act::End => world.frame(true),
                }
                settle_some().await;
                world.held.extend(std::iter::from_fn(|| calls.try_next()));
                world.held.retain(|held| !held.is_cancelled());
            }
            // Now everything that is under way goes to its end.
            for _ in 0..400 {
                let mut moved = false;
                for index in 0..world.clients.len() {
                    moved |= world.read(index);
                }
                settle_some().await;
                world.held.extend(std::iter::from_fn(|| calls.try_next()));
                if !moved {
                    world.head();
                    world.frame(true);
                }
            }
            settle().await;
            for (index, client) in world.clients.iter().enumerate() {
                let Client::Done(read) = client else { panic!("client {index} never got to the end") };
                let whole = (0..world.fetches.len()).any(|fetch| {
                    *read == (0..FRAMES).map(|frame| piece(fetch, frame)).collect::<String>()
                });
                prop_assert!(whole, "client {} read {:?}", index, read);
            }
            Ok(())
        })?;
    }
}

async fn settle_some() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}
