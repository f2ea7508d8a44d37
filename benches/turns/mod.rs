//! Contestants that take turns, and how fast each is.

use std::time::{Duration, Instant};

use tokio::{runtime::Runtime, task::JoinSet};

/// How long each of those that are compared has its turn, and how many turns.
pub(crate) const TURN: Duration = Duration::from_millis(200);
pub(crate) const TURNS: usize = 15;

/// How often `call` came to its end within a turn, from so many callers at once, in calls a second.
pub(crate) async fn rate<F, Fut>(callers: usize, call: F) -> f64
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let mut calling = JoinSet::new();
    let begun = Instant::now();
    for caller in 0..callers {
        let call = call.clone();
        calling.spawn(async move {
            let mut done = 0;
            while begun.elapsed() < TURN {
                call(caller * 7 + done).await;
                done += 1;
            }
            done
        });
    }
    let done: usize = calling.join_all().await.into_iter().sum();
    done as f64 / begun.elapsed().as_secs_f64()
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(crate) fn runtimes() -> [(&'static str, Runtime); 2] {
    use tokio::runtime::Builder;
    let one = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let two = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    [("1", one), ("2", two)]
}
