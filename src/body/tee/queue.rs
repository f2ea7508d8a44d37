//! What has passed, who reads it, and how it ended: a tee's state, without its source.

use std::{collections::VecDeque, error::Error, fmt, mem, sync::Arc, task::Waker, time::Duration};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use crate::{
    BoxError,
    entry::{Frames, FramesBuilder},
};

/// How a tee's body ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Cleanly, and with as many bytes as were announced.
    Complete(Frames),
    /// It was larger than the limit; it goes on, but is not kept.
    TooLarge,
    /// It broke, nobody wanted it any more, or its length was not the announced one.
    Broken,
}

pub(super) type OnEnd = Box<dyn FnOnce(Ended) + Send>;

/// How a body is to be kept.
pub(crate) struct TeeOptions {
    /// The most bytes that are kept.
    pub(crate) limit: usize,
    /// The length that the head announced.
    pub(crate) announced: Option<u64>,
    /// Whether it matters where frames end.
    pub(crate) keep_frames: bool,
    /// For how long a body that nobody reads any more is read to its end all the same; `None`: it is dropped.
    pub(crate) finish: Option<Duration>,
}

pub(super) struct Queue {
    pieces: VecDeque<Piece>,
    /// The number of the first piece that is still kept.
    first: usize,
    /// Bytes in `pieces`.
    pub(super) kept: usize,
    /// Bytes that came in all.
    pub(super) total: u64,
    pub(super) options: TeeOptions,
    pub(super) end: Option<End>,
    pub(super) readers: Vec<Option<Reader>>,
    on_end: Option<OnEnd>,
    pub(super) too_large: bool,
    /// Whether the source has been polled to "pending" since it last woke the tee: it will wake it again.
    pub(super) armed: bool,
    /// How often the source has woken the tee.
    pub(super) wakes: u64,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

#[derive(Clone)]
pub(super) enum End {
    Clean,
    Failed(Arc<BoxError>),
}

pub(super) struct Reader {
    next: usize,
    pub(super) read: u64,
    waker: Option<Waker>,
}

/// What to do once no lock is held.
pub(super) struct Finished(OnEnd, Ended);

impl Finished {
    pub(super) fn run(this: Option<Self>) {
        if let Some(Self(on_end, ended)) = this {
            on_end(ended);
        }
    }
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { next: 0, read: 0, waker: None }
    }
}

impl Queue {
    /// With one reader, at the beginning.
    pub(super) fn new(options: TeeOptions, on_end: OnEnd) -> Self {
        Self {
            pieces: VecDeque::new(),
            first: 0,
            kept: 0,
            total: 0,
            options,
            end: None,
            readers: vec![Some(Reader::new())],
            on_end: Some(on_end),
            too_large: false,
            armed: false,
            wakes: 0,
        }
    }

    /// A place for a further reader, at the beginning.
    pub(super) fn seat(&mut self) -> usize {
        match self.readers.iter().position(Option::is_none) {
            Some(free) => {
                self.readers[free] = Some(Reader::new());
                free
            }
            None => {
                self.readers.push(Some(Reader::new()));
                self.readers.len() - 1
            }
        }
    }

    pub(super) fn reader(&self, slot: usize) -> Option<&Reader> {
        self.readers[slot].as_ref()
    }

    pub(super) fn has_piece(&self, slot: usize) -> bool {
        self.reader(slot).is_some_and(|reader| reader.next < self.first + self.pieces.len())
    }

    pub(super) fn has_more(&self, slot: usize) -> bool {
        self.end.is_some() || self.has_piece(slot)
    }

    /// The next thing for a reader to see, if it need not wait for it.
    pub(super) fn next(&mut self, slot: usize) -> Option<Option<Result<Frame<Bytes>, BoxError>>> {
        let reader = self.readers[slot].as_mut()?;
        if let Some(piece) = self.pieces.get(reader.next - self.first) {
            reader.next += 1;
            return Some(Some(Ok(match piece.clone() {
                Piece::Data(data) => {
                    reader.read += data.len() as u64;
                    Frame::data(data)
                }
                Piece::Trailers(trailers) => Frame::trailers(*trailers),
            })));
        }
        Some(match self.end.as_ref()? {
            End::Clean => None,
            End::Failed(error) => Some(Err(SharedError(error.clone()).into())),
        })
    }

    /// Whether the slowest reader has to catch up first.
    pub(super) fn is_ahead(&self) -> bool {
        self.too_large && self.end.is_none() && self.kept > self.options.limit
    }

    pub(super) fn register(&mut self, slot: usize, waker: &Waker) {
        if let Some(reader) = &mut self.readers[slot] {
            match &mut reader.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        self.readers.iter_mut().flatten().filter_map(|reader| reader.waker.take()).collect()
    }

    pub(super) fn push(&mut self, frame: Option<Result<Frame<Bytes>, BoxError>>, over: bool) -> Option<Finished> {
        match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.total += data.len() as u64;
                    self.kept += data.len();
                    self.pieces.push_back(Piece::Data(data));
                }
                Err(frame) => {
                    self.pieces.extend(frame.into_trailers().ok().map(Box::new).map(Piece::Trailers));
                    // Nothing comes after trailers, and hyper's server doesn't ask.
                    return self.finish(End::Clean);
                }
            },
            Some(Err(error)) => return self.finish(End::Failed(Arc::new(error))),
            None => return self.finish(End::Clean),
        }
        if over {
            return self.finish(End::Clean);
        }
        if self.is_too_large() && !self.too_large {
            self.too_large = true;
            return self.on_end.take().map(|on_end| Finished(on_end, Ended::TooLarge));
        }
        None
    }

    /// Small pieces take more than their bytes: so many of them are too large as well.
    fn is_too_large(&self) -> bool {
        self.kept > self.options.limit || self.pieces.len() > self.options.limit / 16 + 4096
    }

    pub(super) fn finish(&mut self, end: End) -> Option<Finished> {
        let whole = self.options.announced.is_none_or(|announced| announced == self.total);
        let clean = matches!(end, End::Clean) && whole;
        self.end = Some(end);
        let on_end = self.on_end.take()?;
        let ended = match clean {
            true if self.is_too_large() => Ended::TooLarge,
            true => Ended::Complete(self.frames()),
            false => Ended::Broken,
        };
        Some(Finished(on_end, ended))
    }

    fn frames(&self) -> Frames {
        let mut frames = FramesBuilder::new(self.kept, self.options.keep_frames);
        for piece in &self.pieces {
            match piece {
                Piece::Data(data) => frames.push(data),
                Piece::Trailers(trailers) => frames.trailers((**trailers).clone()),
            }
        }
        frames.finish()
    }

    /// Lets go of what every reader has seen, once the body is not kept any more; the readers to wake are those that waited
    /// for the slowest.
    pub(super) fn trim(&mut self) -> Vec<Waker> {
        if !self.too_large {
            return Vec::new();
        }
        let was_ahead = self.is_ahead();
        let slowest = self.readers.iter().flatten().map(|reader| reader.next).min();
        let slowest = slowest.unwrap_or(self.first + self.pieces.len());
        while self.first < slowest {
            if let Some(Piece::Data(data)) = self.pieces.pop_front() {
                self.kept -= data.len();
            }
            self.first += 1;
        }
        if was_ahead && !self.is_ahead() { self.take_wakers() } else { Vec::new() }
    }

    /// The time that is left for a body without readers, once.
    pub(super) fn wants_draining(&mut self) -> Option<Duration> {
        self.on_end.as_ref()?;
        mem::take(&mut self.options.finish)
    }

    pub(super) fn reader_at_tail(&self) -> Reader {
        Reader { next: self.first + self.pieces.len(), read: self.total, waker: None }
    }
}

/// One failure of the source, told to each reader.
#[derive(Debug)]
struct SharedError(Arc<BoxError>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.0)
    }
}
