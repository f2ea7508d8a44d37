//! All ways in which readers, wake-ups and departures can interleave, tried one by one with loom:
//!
//! ```text
//! RUSTFLAGS="--cfg larder_loom" cargo test --release --lib tee::model
//! ```
//!
//! A lost wake-up shows as a deadlock, a lost frame as a failed assertion.

use std::{collections::VecDeque, future::poll_fn};

use loom::{future::block_on, model::Builder, sync::Mutex as LoomMutex, thread};

use super::*;

/// What one thread sends and the tee's readers poll for.
#[derive(Default)]
struct Channel {
    frames: VecDeque<u8>,
    closed: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Default)]
struct Source(Arc<LoomMutex<Channel>>);

impl Source {
    fn change(&self, change: impl FnOnce(&mut Channel)) {
        let waker = {
            let mut channel = lock(&self.0);
            change(&mut channel);
            channel.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut channel = lock(&self.0);
        match channel.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![frame]))))),
            None if channel.closed => Poll::Ready(None),
            None => {
                channel.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn next(tee: &mut Tee) -> Option<u8> {
    let frame = block_on(poll_fn(|cx| Pin::new(&mut *tee).poll_frame(cx)))?;
    Some(frame.expect("no error").into_data().expect("data")[0])
}

fn rest(mut tee: Tee) -> Vec<u8> {
    std::iter::from_fn(|| next(&mut tee)).collect()
}

fn tee(source: &Source, limit: usize) -> Tee {
    Tee::new(source.clone(), TeeOptions { limit, announced: None, keep_frames: false, finish: None }, |_| {})
}

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

#[test]
fn two_readers_get_every_frame() {
    model(|| {
        let source = Source::default();
        let first = tee(&source, 10);
        let second = first.joiner().join().expect("live");
        let other = thread::spawn(move || rest(second));
        let sender = thread::spawn(move || {
            source.change(|channel| channel.frames.push_back(1));
            source.change(|channel| {
                channel.frames.push_back(2);
                channel.closed = true;
            });
        });
        assert_eq!(rest(first), [1, 2]);
        assert_eq!(other.join().expect("joined"), [1, 2]);
        sender.join().expect("joined");
    });
}

#[test]
fn a_reader_that_leaves_takes_no_wake_up_with_it() {
    model(|| {
        let source = Source::default();
        let stays = tee(&source, 10);
        let mut leaves = stays.joiner().join().expect("live");
        let other = thread::spawn(move || {
            let _ = Pin::new(&mut leaves).poll_frame(&mut Context::from_waker(Waker::noop()));
            drop(leaves);
        });
        let sender = thread::spawn(move || {
            source.change(|channel| {
                channel.frames.push_back(1);
                channel.closed = true;
            });
        });
        assert_eq!(rest(stays), [1]);
        other.join().expect("joined");
        sender.join().expect("joined");
    });
}

#[test]
fn over_the_limit_the_slow_reader_lets_the_fast_one_on() {
    model(|| {
        let source = Source::default();
        source.change(|channel| {
            channel.frames.extend([1, 2, 3]);
            channel.closed = true;
        });
        let fast = tee(&source, 1);
        let slow = fast.joiner().join().expect("live");
        let other = thread::spawn(move || rest(slow));
        assert_eq!(rest(fast), [1, 2, 3]);
        assert_eq!(other.join().expect("joined"), [1, 2, 3]);
    });
}
