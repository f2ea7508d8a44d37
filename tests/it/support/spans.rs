//! Spans as they are recorded, with all that is said in them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex, MutexGuard},
};

use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer,
    filter::LevelFilter,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

/// A span of larder's.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: &'static str,
    /// Of the span that it is in, if that is larder's too.
    pub(crate) parent: Option<usize>,
    pub(crate) fields: BTreeMap<&'static str, String>,
    pub(crate) is_over: bool,
}

/// All that larder tells this thread's subscriber at any level, until it is dropped.
pub(crate) struct Spans {
    recorded: Recorded,
    _guard: DefaultGuard,
    _second: Dispatch,
}

impl Spans {
    pub(crate) fn new() -> Self {
        Self::up_to(LevelFilter::TRACE)
    }

    /// What is told at these levels.
    pub(crate) fn up_to(level: LevelFilter) -> Self {
        // See `Log`.
        let second = Dispatch::new(tracing_subscriber::registry());
        let recorded = Recorded::default();
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(level).with(recorded.clone()));
        Self { recorded, _guard: guard, _second: second }
    }

    /// In the order in which they began.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.recorded.lock().spans.clone()
    }

    /// Their names, each after those that it is in, and what some of their fields say.
    pub(crate) fn shown(&self, fields: &[&str]) -> Vec<String> {
        let spans = self.all();
        let path = |span: &Seen| {
            let (mut names, mut parent) = (vec![span.name], span.parent);
            while let Some(at) = parent {
                names.push(spans[at].name);
                parent = spans[at].parent;
            }
            names.reverse();
            names.join(" > ")
        };
        let said = |span: &Seen| {
            let said = fields.iter().filter_map(|name| Some(format!(" {}", span.fields.get(name)?)));
            said.collect::<String>()
        };
        spans.iter().map(|span| path(span) + &said(span)).collect()
    }

    /// All that was said, events included.
    pub(crate) fn text(&self) -> String {
        self.recorded.lock().text.clone()
    }
}

#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    spans: Vec<Seen>,
    places: HashMap<Id, usize>,
    text: String,
}

impl Recorded {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().expect("no panic")
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("larder")
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorded {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !is_ours(attributes.metadata()) {
            return;
        }
        let parent = context.span(id).and_then(|span| span.parent()).map(|parent| parent.id());
        let mut all = self.lock();
        let parent = parent.and_then(|parent| all.places.get(&parent).copied());
        let mut said = Said::default();
        attributes.record(&mut said);
        let _ = writeln!(all.text, "{} {:?}", attributes.metadata().name(), said.0);
        let place = all.spans.len();
        all.places.insert(id.clone(), place);
        all.spans.push(Seen { name: attributes.metadata().name(), parent, fields: said.0, is_over: false });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut all = self.lock();
        let Some(place) = all.places.get(id).copied() else { return };
        let mut said = Said::default();
        values.record(&mut said);
        let _ = writeln!(all.text, "{:?}", said.0);
        all.spans[place].fields.append(&mut said.0);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if is_ours(event.metadata()) {
            let mut said = Said::default();
            event.record(&mut said);
            let _ = writeln!(self.lock().text, "{:?}", said.0);
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let mut all = self.lock();
        if let Some(place) = all.places.remove(&id) {
            all.spans[place].is_over = true;
        }
    }
}

#[derive(Default)]
struct Said(BTreeMap<&'static str, String>);

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.insert(field.name(), format!("{value} {value:?} {:?}", value.source()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
