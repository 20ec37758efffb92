//! What the engine's code logs as a warning or an error, for the log of Python: each goes to one of the servers that run, as an
//! event.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Once, Weak},
};

use parking_lot::Mutex;
use tracing::{
    Event as Logged, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use crate::{queue::Queue, runtime};

/// The queues of servers, and the generation of processes that each belongs to.
static QUEUES: Mutex<Vec<(u64, Weak<Queue>)>> = Mutex::new(Vec::new());

/// Gives a queue what is logged from now on.
pub(crate) fn give_to(queue: &Arc<Queue>) {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| {
        // Nobody else can have set one: a module of Python has its own code of all crates.
        let _ = tracing::subscriber::set_global_default(Notices);
    });
    let mut queues = QUEUES.lock();
    queues.retain(|(_, queue)| queue.strong_count() > 0);
    queues.push((runtime::generation(), Arc::downgrade(queue)));
}

struct Notices;

impl Subscriber for Notices {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Logged<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let is_error = *event.metadata().level() == Level::ERROR;
        // Queues are dropped after the lock, as the end of one may be logged.
        let queues: Vec<_> = QUEUES.lock().clone();
        for (generation, queue) in queues {
            let queue = queue.upgrade().filter(|queue| !queue.is_closed());
            if let Some(queue) = queue
                && generation == runtime::generation()
            {
                queue.notice(is_error, line.text + &line.fields);
                return;
            }
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A line of a log: the message, and after it the fields as ` name=value`.
#[derive(Default)]
struct Line {
    text: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // A `String` takes everything.
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
