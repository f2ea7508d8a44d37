use std::{
    sync::{
        Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::ready,
};

use proptest::prelude::*;
use tokio::sync::mpsc;

use super::*;

/// A body that yields what is sent to it.
struct Channel(mpsc::UnboundedReceiver<Result<Frame<Bytes>, BoxError>>);

impl Body for Channel {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(ready!(self.0.poll_recv(cx)))
    }
}

type Sender = mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>;
type Outcome = Arc<StdMutex<Vec<Ended>>>;

fn options(limit: usize) -> TeeOptions {
    TeeOptions { limit, announced: None, keep_frames: true, finish: None }
}

fn tee(options: TeeOptions) -> (Sender, Tee, Outcome) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let outcome = Outcome::default();
    let seen = outcome.clone();
    (sender, Tee::new(Channel(receiver), options, move |ended| seen.lock().expect("lock").push(ended)), outcome)
}

fn send(sender: &Sender, text: &str) {
    sender.send(Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())))).expect("the tee holds the source");
}

fn kept(outcome: &Outcome) -> Option<Bytes> {
    match &outcome.lock().expect("lock")[..] {
        [Ended::Complete(frames)] => Some(frames.data().clone()),
        _ => None,
    }
}

async fn text(tee: Tee) -> Result<String, BoxError> {
    Ok(String::from_utf8(tee.collect().await?.to_bytes().to_vec())?)
}

async fn frame(tee: &mut Tee) -> Bytes {
    tee.frame().await.expect("more").expect("no error").into_data().expect("data")
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(tee: &mut Tee, count: &Arc<Count>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    Pin::new(tee).poll_frame(&mut Context::from_waker(&count.clone().into()))
}

#[tokio::test]
async fn a_clean_end_keeps_all_frames() {
    let (sender, mut tee, outcome) = tee(options(100));
    send(&sender, "ab");
    assert_eq!(frame(&mut tee).await, "ab");
    send(&sender, "c");
    drop(sender);
    assert_eq!(text(tee).await.expect("clean"), "c");
    let outcome = outcome.lock().expect("lock");
    let [Ended::Complete(frames)] = &outcome[..] else { panic!("{outcome:?}") };
    assert_eq!((frames.count(), &frames.data()[..]), (2, &b"abc"[..]));
}

#[tokio::test]
async fn a_broken_or_short_or_long_body_is_not_kept() {
    for (announced, error) in [(None, true), (Some(4), false), (Some(2), false)] {
        let (sender, tee, outcome) = tee(TeeOptions { announced, ..options(100) });
        send(&sender, "abc");
        if error {
            sender.send(Err("cut".into())).expect("open");
        }
        drop(sender);
        assert_eq!(text(tee).await.is_err(), error);
        assert!(matches!(outcome.lock().expect("lock")[..], [Ended::Broken]), "{announced:?}");
    }
}

#[tokio::test]
async fn a_reader_that_stops_at_the_announced_length_completes_the_body() {
    let (sender, mut tee, outcome) = tee(TeeOptions { announced: Some(3), ..options(100) });
    send(&sender, "abc");
    assert_eq!(tee.size_hint().exact(), Some(3));
    frame(&mut tee).await;
    drop(tee);
    assert_eq!(kept(&outcome).as_deref(), Some(&b"abc"[..]));
    assert!(sender.is_closed());
}

#[tokio::test]
async fn dropping_every_reader_cancels_the_source() {
    let (sender, tee, outcome) = tee(options(100));
    let joiner = tee.joiner();
    let second = joiner.join().expect("live");
    drop(tee);
    assert!(!sender.is_closed(), "one reader is left");
    drop(second);
    assert!(sender.is_closed());
    assert!(matches!(outcome.lock().expect("lock")[..], [Ended::Broken]));
    assert!(joiner.join().is_none(), "nothing is left to join");
}

#[tokio::test]
async fn a_body_that_was_paid_for_is_read_to_its_end() {
    let (sender, tee, outcome) = tee(TeeOptions { finish: Some(Duration::from_secs(60)), ..options(100) });
    send(&sender, "ab");
    drop(tee);
    send(&sender, "c");
    drop(sender);
    while outcome.lock().expect("lock").is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept(&outcome).as_deref(), Some(&b"abc"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_and_that_never_ends_is_dropped_in_time() {
    let (sender, tee, outcome) = tee(TeeOptions { finish: Some(Duration::from_secs(60)), ..options(100) });
    drop(tee);
    sender.closed().await;
    assert!(matches!(outcome.lock().expect("lock")[..], [Ended::Broken]));
}

#[tokio::test]
async fn over_the_limit_the_reader_notices_nothing_and_memory_is_let_go() {
    let (sender, mut tee, outcome) = tee(options(4));
    for _ in 0..100 {
        send(&sender, "abc");
        assert_eq!(frame(&mut tee).await, "abc");
        assert!(lock(&tee.shared.queue).kept <= 6);
    }
    assert!(matches!(outcome.lock().expect("lock")[..], [Ended::TooLarge]));
    assert!(tee.joiner().join().is_none());
    drop(sender);
    assert_eq!(text(tee).await.expect("clean"), "");
}

#[tokio::test]
async fn over_the_limit_a_slow_reader_misses_nothing() {
    let (sender, mut fast, _) = tee(options(4));
    let slow = fast.joiner().join().expect("live");
    let count = Arc::new(Count::default());
    for part in ["ab", "cd", "ef", "gh"] {
        send(&sender, part);
    }
    for _ in 0..3 {
        assert!(poll(&mut fast, &count).is_ready());
    }
    assert!(poll(&mut fast, &count).is_pending(), "as far ahead as the limit allows");
    drop(sender);
    let slow = tokio::spawn(text(slow));
    assert_eq!(text(fast).await.expect("clean"), "gh");
    assert_eq!(slow.await.expect("joined").expect("clean"), "abcdefgh");
}

#[tokio::test]
async fn a_stalled_reader_does_not_stop_the_others() {
    let (sender, stalled, outcome) = tee(options(100));
    let mut live = stalled.joiner().join().expect("live");
    for part in ["a", "b", "c"] {
        send(&sender, part);
        assert_eq!(frame(&mut live).await, part);
    }
    drop(sender);
    assert_eq!(text(live).await.expect("clean"), "");
    assert_eq!(kept(&outcome).as_deref(), Some(&b"abc"[..]));
    assert_eq!(text(stalled).await.expect("clean"), "abc");
}

#[tokio::test]
async fn a_reader_is_woken_only_when_there_is_something_to_read() {
    let (sender, first, _) = tee(options(100));
    let joiner = first.joiner();
    let mut readers = vec![first];
    readers.extend((0..9).map(|_| joiner.join().expect("live")));
    let count = Arc::new(Count::default());
    for _ in 0..5 {
        assert!(readers.iter_mut().all(|reader| poll(reader, &count).is_pending()));
    }
    assert_eq!(count.0.load(Ordering::SeqCst), 0, "waiting wakes nobody");
    for round in 1..=3 {
        send(&sender, "x");
        assert_eq!(count.0.load(Ordering::SeqCst), round * readers.len());
        assert!(readers.iter_mut().all(|reader| poll(reader, &count).is_ready()));
        assert!(readers.iter_mut().all(|reader| poll(reader, &count).is_pending()));
    }
}

#[tokio::test]
async fn the_reader_that_was_to_poll_next_may_go_away() {
    let (sender, mut first, _) = tee(options(100));
    let mut second = first.joiner().join().expect("live");
    let count = Arc::new(Count::default());
    assert!(poll(&mut first, &count).is_pending());
    send(&sender, "x");
    drop(first);
    assert_eq!(frame(&mut second).await, "x");
}

#[tokio::test]
async fn every_reader_hears_of_a_failure() {
    let (sender, first, _) = tee(options(100));
    let second = first.joiner().join().expect("live");
    send(&sender, "x");
    sender.send(Err("cut".into())).expect("open");
    for reader in [first, second] {
        assert_eq!(text(reader).await.expect_err("cut").to_string(), "cut");
    }
}

/// A body that gives way before each frame, as one does whose task's budget is spent.
struct GivesWay(u8, bool);

impl Body for GivesWay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.1 = !self.1;
        if self.1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.0 -= 1;
        Poll::Ready((self.0 > 0).then(|| Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

#[tokio::test]
async fn a_source_that_gives_way_is_not_asked_for_ever() {
    let mut tee = Tee::new(GivesWay(3, false), options(100), |_| {});
    let count = Arc::new(Count::default());
    assert!(poll(&mut tee, &count).is_pending(), "its reader gives way too");
    assert_eq!(count.0.load(Ordering::SeqCst), 1, "and asks again later");
    assert_eq!(text(tee).await.expect("clean"), "xx");
}

#[tokio::test]
async fn over_the_limit_the_last_reader_lets_go_of_the_source() {
    for finish in [None, Some(Duration::from_secs(60))] {
        let (sender, mut tee, _) = tee(TeeOptions { finish, ..options(1) });
        send(&sender, "abc");
        frame(&mut tee).await;
        assert!(poll(&mut tee, &Arc::default()).is_pending());
        drop(tee);
        assert!(sender.is_closed(), "nothing is read that can't be kept");
    }
}

#[tokio::test]
async fn a_body_that_grows_too_large_behind_its_readers_is_let_go() {
    let (sender, tee, outcome) = tee(TeeOptions { finish: Some(Duration::from_secs(60)), ..options(4) });
    drop(tee);
    send(&sender, "abc");
    send(&sender, "def");
    sender.closed().await;
    assert!(matches!(outcome.lock().expect("lock")[..], [Ended::TooLarge]));
}

#[tokio::test]
async fn a_body_in_crumbs_takes_no_more_memory_than_its_limit_allows() {
    let (sender, mut tee, outcome) = tee(options(16));
    for _ in 0..5000 {
        send(&sender, "");
    }
    send(&sender, "x");
    assert_eq!(frame(&mut tee).await, "x");
    assert_eq!(lock(&tee.shared.queue).total, 1);
    assert!(outcome.lock().expect("lock").is_empty());
}

proptest! {
    /// Readers join, read, stall and leave at random; whoever reads to the end has read everything.
    #[test]
    fn readers_that_come_and_go_lose_nothing(steps in prop::collection::vec((0u8..5, 0usize..8), 0..120), limit in 0usize..200) {
        let (sender, first, outcome) = tee(options(limit));
        let joiner = first.joiner();
        let mut readers = vec![(first, Vec::new())];
        let mut sent = Vec::new();
        let count = Arc::new(Count::default());
        for (step, which) in steps {
            match step {
                0 => {
                    let byte = sent.len() as u8;
                    if sender.send(Ok(Frame::data(Bytes::from(vec![byte])))).is_ok() {
                        sent.push(byte);
                    }
                }
                1 => readers.extend(joiner.join().map(|reader| (reader, Vec::new()))),
                2 if readers.len() > 1 => drop(readers.swap_remove(which % readers.len())),
                _ => {
                    let at = which % readers.len();
                    let (reader, read) = &mut readers[at];
                    if let Poll::Ready(Some(Ok(frame))) = poll(reader, &count) {
                        read.extend_from_slice(&frame.into_data().expect("data"));
                    }
                }
            }
        }
        drop(sender);
        let mut open = readers.len();
        for _ in 0..=(sent.len() * open) {
            for (reader, read) in &mut readers {
                match poll(reader, &count) {
                    Poll::Ready(Some(Ok(frame))) => read.extend_from_slice(&frame.into_data().expect("data")),
                    Poll::Ready(Some(Err(error))) => prop_assert!(false, "{error}"),
                    Poll::Ready(None) => open -= usize::from(open > 0),
                    Poll::Pending => {}
                }
            }
        }
        for (_, read) in &readers {
            prop_assert_eq!(read, &sent);
        }
        let ended = outcome.lock().expect("lock");
        match &ended[..] {
            [Ended::Complete(frames)] => prop_assert!(sent.len() <= limit && frames.data()[..] == sent[..]),
            [Ended::TooLarge] => prop_assert!(sent.len() > limit),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
