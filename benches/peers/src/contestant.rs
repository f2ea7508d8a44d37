//! One caching layer around the origin, driven as a server would drive it.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::{Empty, Full};
use peers::{allocations::Allocated, origin};
use std::{
    convert::Infallible,
    fmt::Debug,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, task::yield_now};
use tower::{Service, ServiceExt};

pub const BODY: usize = 64 << 10;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// The same URI, again and again.
    Hit,
    /// Every time a URI that nobody has asked for.
    Miss,
}

/// A layer to measure, whatever its types are.
pub trait Contestant {
    fn name(&self) -> &'static str;

    /// How long so many requests take: made, called, and their bodies drained frame by frame.
    fn time(&mut self, runtime: &Runtime, work: Work, requests: u64) -> Duration;

    /// What so many requests allocate, from the call to the end of the body; making the request is left out.
    fn allocations(&mut self, runtime: &Runtime, work: Work, requests: u64) -> Allocated;

    /// How often the origin was called until now.
    fn origin_calls(&self) -> u64;
}

/// The origin, counted: what every layer wraps.
#[derive(Clone, Debug)]
pub struct Origin(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    headers: HeaderMap,
    body: Bytes,
    calls: AtomicU64,
}

impl Origin {
    pub fn new() -> Self {
        let mut headers = origin::headers(BODY);
        headers.insert(header::DATE, origin::date());
        Self(Arc::new(Shared { headers, body: origin::body(BODY), calls: AtomicU64::new(0) }))
    }
}

impl<Q> Service<Request<Q>> for Origin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Q>) -> Answer {
        Answer(self.clone())
    }
}

/// Counts when it is polled: one of the layers calls its inner service on a hit too, and drops what it got.
#[derive(Debug)]
pub struct Answer(Origin);

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let Origin(shared) = &self.0;
        shared.calls.fetch_add(1, Relaxed);
        let mut response = Response::new(Full::new(shared.body.clone()));
        *response.headers_mut() = shared.headers.clone();
        Poll::Ready(Ok(response))
    }
}

/// A service, and how the bodies of its requests are made.
pub struct Layered<S, Q> {
    name: &'static str,
    service: S,
    body: fn() -> Q,
    origin: Origin,
    uris: Uris,
}

impl<S> Layered<S, Empty<Bytes>> {
    pub fn new(name: &'static str, origin: &Origin, service: S) -> Self {
        Self::with_body(name, origin, service, Empty::new)
    }
}

impl<S, Q> Layered<S, Q> {
    pub fn with_body(name: &'static str, origin: &Origin, service: S, body: fn() -> Q) -> Self {
        Self { name, service, body, origin: origin.clone(), uris: Uris::new() }
    }
}

impl<S, Q, R> Contestant for Layered<S, Q>
where
    S: Service<Request<Q>, Response = Response<R>, Error: Debug>,
    R: Body<Data = Bytes, Error: Debug>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn time(&mut self, runtime: &Runtime, work: Work, requests: u64) -> Duration {
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..requests {
                let request = request(self.uris.next(work), (self.body)());
                exchange(&mut self.service, request, work).await;
            }
            start.elapsed()
        })
    }

    fn allocations(&mut self, runtime: &Runtime, work: Work, requests: u64) -> Allocated {
        runtime.block_on(async {
            let mut sum = Allocated::default();
            for _ in 0..requests {
                let request = request(self.uris.next(work), (self.body)());
                let before = Allocated::now();
                exchange(&mut self.service, request, work).await;
                let made = Allocated::now() - before;
                sum = Allocated { calls: sum.calls + made.calls, bytes: sum.bytes + made.bytes };
            }
            Allocated::stop();
            sum
        })
    }

    fn origin_calls(&self) -> u64 {
        self.origin.0.calls.load(Relaxed)
    }
}

struct Uris {
    hit: Uri,
    misses: u64,
}

impl Uris {
    fn new() -> Self {
        Self { hit: Uri::try_from(String::from("http://origin.test/v1/hit")).expect("a URI"), misses: 0 }
    }

    fn next(&mut self, work: Work) -> Uri {
        match work {
            Work::Hit => self.hit.clone(),
            Work::Miss => {
                self.misses += 1;
                Uri::try_from(format!("http://origin.test/v1/miss/{}", self.misses)).expect("a URI")
            }
        }
    }
}

fn request<Q>(uri: Uri, body: Q) -> Request<Q> {
    Request::get(uri)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "peers")
        .body(body)
        .expect("a request of constants")
}

async fn exchange<S, Q, R>(service: &mut S, request: Request<Q>, work: Work)
where
    S: Service<Request<Q>, Response = Response<R>, Error: Debug>,
    R: Body<Data = Bytes, Error: Debug>,
{
    let response = service.ready().await.expect("readiness").call(request).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    {
        let mut body = pin!(response.into_body());
        let mut len = 0;
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            len += frame.expect("a whole body").data_ref().map_or(0, Bytes::len);
        }
        assert_eq!(len, BODY);
    }
    if let Work::Miss = work {
        // What a layer does behind the response counts as well.
        yield_now().await;
    }
}
