//! Profile `http` held against RFC 9111, subject by subject: a real proxy, before an origin that says what a test wants it to.

mod conditions;
mod freshness;
mod head;
mod invalidation;
mod lifetime;
mod messages;
mod pairs;
mod parts;
mod range;
mod requests;
mod stale;
mod status;
mod storing;
mod targeted;
mod validation;
mod variants;
mod vary;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::sync::Semaphore;

use super::{
    message::{Message, request, response},
    origin::Origin,
    process::Proxy,
    within,
};

/// A field of a message. A value `@-60` stands for the date a minute ago; see [`written`].
type Field<'a> = (&'a str, &'a str);

const FRESH: Field<'static> = ("Cache-Control", "max-age=60");
const STRONG: Field<'static> = ("ETag", "\"a\"");

/// An answer with which the origin closes the connection, and says nothing.
const BROKEN: Vec<u8> = Vec::new();

/// A proxy, and the origin behind it.
struct Site {
    origin: Origin,
    proxy: Proxy,
}

impl Site {
    /// The origin answers by the request, and by how many it had for the same target, this one included. Stale responses stand
    /// in for no error.
    async fn new<F>(answer: F) -> Self
    where
        F: Fn(&Message, usize) -> Vec<u8> + Send + Sync + 'static,
    {
        Self::with(&["--stale-if-error", "0s"], answer).await
    }

    /// The same with other flags.
    async fn with<F>(args: &[&str], answer: F) -> Self
    where
        F: Fn(&Message, usize) -> Vec<u8> + Send + Sync + 'static,
    {
        Self::holding(args, |_, _| false, answer).await.0
    }

    /// The same; where `held` says so, the answer waits for a permit.
    async fn holding<H, F>(args: &[&str], held: H, answer: F) -> (Self, Arc<Semaphore>)
    where
        H: Fn(&Message, usize) -> bool + Send + Sync + 'static,
        F: Fn(&Message, usize) -> Vec<u8> + Send + Sync + 'static,
    {
        let gate = Arc::new(Semaphore::new(0));
        let script = Arc::new((held, answer, Mutex::new(HashMap::<String, usize>::new()), gate.clone()));
        let origin = Origin::serving(move |mut conversation| {
            let script = script.clone();
            async move {
                let (held, answer, counts, gate) = &*script;
                while let Some((request, _)) = conversation.request().await? {
                    let number = {
                        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                        let count = counts.entry(request.target().to_owned()).or_default();
                        *count += 1;
                        *count
                    };
                    if held(&request, number) {
                        within(gate.acquire()).await.expect("an open gate").forget();
                    }
                    let bytes = answer(&request, number);
                    conversation.wire.send(&bytes).await?;
                    if bytes.is_empty() || ends_by_closing(&bytes) {
                        break;
                    }
                }
                Ok(())
            }
        })
        .await;
        // Each test counts what it asks for; what a proxy does besides is not RFC 9111's.
        let args: Vec<_> = ["--profile", "http", "--retries", "0"].iter().chain(args).copied().collect();
        let proxy = Proxy::start(&origin, &args).await;
        (Self { origin, proxy }, gate)
    }

    async fn ask(&self, method: &str, target: &str, fields: &[Field<'_>]) -> Message {
        let fields = filled(fields);
        self.proxy.ask(request(method, target, &borrowed(&fields), b"")).await
    }

    async fn get(&self, target: &str, fields: &[Field<'_>]) -> Message {
        self.ask("GET", target, fields).await
    }

    /// Asks until the answer is as wanted.
    async fn until(&self, target: &str, fields: &[Field<'_>], wanted: impl Fn(&Message) -> bool) -> Message {
        within(async {
            loop {
                let given = self.get(target, fields).await;
                if wanted(&given) {
                    return given;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    /// The request that came to the origin last.
    fn last(&self) -> Message {
        self.origin.requests().pop().expect("a request")
    }

    /// Waits until so many requests have come to the origin.
    async fn reached(&self, calls: usize) {
        within(async {
            while self.origin.calls() < calls {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// What a request finds in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Fresh,
    Stale,
    Nothing,
}

use Found::{Fresh, Nothing, Stale};

impl Found {
    fn by(given: &Message) -> Self {
        let said = given.cache();
        match said.split(';').next() {
            Some("hit") => Fresh,
            Some("fwd=stale") => Stale,
            Some("fwd=uri-miss") => Nothing,
            _ => panic!("neither fresh, nor stale, nor nothing: {said}"),
        }
    }
}

/// Gets a response with each of these statuses and fields twice, and holds what the second request finds against what it should.
/// All responses have an entity tag, so that they are of use when they are stale.
async fn finds(cases: &[(u16, &'static [Field<'static>], Found)]) {
    let responses: Vec<_> = cases.iter().map(|(status, fields, _)| (*status, *fields)).collect();
    let site = Site::new(move |request, _| {
        let (status, fields) = responses[number_in(request.target())];
        reply(status, &[fields, &[STRONG]].concat(), "hello")
    })
    .await;
    let mut wrong = Vec::new();
    for (index, (status, fields, expected)) in cases.iter().enumerate() {
        let target = format!("/{index}");
        let first = site.get(&target, &[]).await;
        assert_eq!((Found::by(&first), first.status()), (Nothing, *status), "{fields:?}");
        let found = Found::by(&site.get(&target, &[]).await);
        if found != *expected {
            wrong.push(format!("{status} {fields:?}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The same for status 200.
async fn finds_200(cases: &[(&'static [Field<'static>], Found)]) {
    let cases: Vec<_> = cases.iter().map(|(fields, found)| (200, *fields, *found)).collect();
    finds(&cases).await;
}

/// A response, its dates written out.
fn reply(status: u16, fields: &[Field<'_>], body: &str) -> Vec<u8> {
    let fields = filled(fields);
    let body = if matches!(status, 204 | 304) { "" } else { body };
    response(status, &borrowed(&fields), body)
}

/// A response to HEAD: the head of a response to GET.
fn head_of(mut response: Vec<u8>) -> Vec<u8> {
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a whole head");
    response.truncate(end + 4);
    response
}

fn filled(fields: &[Field<'_>]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), written(value))).collect()
}

fn borrowed(fields: &[(String, String)]) -> Vec<Field<'_>> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// A field's value. `@60` is the date in a minute, `@-60 asctime` that of a minute ago in another format, and `@0 CET` says that
/// it is now, in another zone.
fn written(value: &str) -> String {
    let Some(date) = value.strip_prefix('@') else { return value.to_owned() };
    let (seconds, form) = date.split_once(' ').unwrap_or((date, ""));
    let text = date_in(seconds.parse().expect("a number of seconds"));
    let words: Vec<_> = text.split([',', ' ']).filter(|word| !word.is_empty()).collect();
    let [weekday, day, month, year, time, _] = words[..] else { panic!("no date: {text}") };
    match form {
        "" => text,
        "lower" => text.to_lowercase(),
        "upper" => text.to_uppercase(),
        "asctime" => format!("{weekday} {month} {:>2} {time} {year}", day.trim_start_matches('0')),
        "rfc850" => {
            let names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
            let long = names.iter().find(|name| name.starts_with(weekday)).expect("a day of the week");
            format!("{long}, {day}-{month}-{} {time} GMT", &year[2..])
        }
        zone => text.replace("GMT", zone),
    }
}

/// The date in so many seconds.
fn date_in(seconds: i64) -> String {
    let (now, distance) = (SystemTime::now(), Duration::from_secs(seconds.unsigned_abs()));
    httpdate::fmt_http_date(if seconds < 0 { now - distance } else { now + distance })
}

/// The number that a target such as `/7` has.
fn number_in(target: &str) -> usize {
    target.trim_start_matches('/').parse().expect("a number")
}

fn ends_by_closing(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.starts_with("HTTP/1.0") || text.contains("Connection: close")
}

/// A parameter of what larder says that it did.
fn said<'a>(given: &'a Message, parameter: &str) -> Option<&'a str> {
    let mut parameters = given.cache().split("; ").filter_map(|one| one.strip_prefix(parameter));
    parameters.next().map(|rest| rest.strip_prefix('=').unwrap_or(rest))
}

fn age(given: &Message) -> u64 {
    given.field("age").expect("an age").parse().expect("a number of seconds")
}
