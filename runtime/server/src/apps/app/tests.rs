//! Seats and the queue, without a process.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;

use pilotlight_config::manifest::{Launch, Listens};

use super::*;
use crate::apps::launch::tests::settings;

fn app() -> Arc<App> {
    let argv = vec!["a".into(), "{port}".into()];
    let launch = Launch::Command { argv, env: Vec::new(), dir: PathBuf::from("/") };
    let settings = settings(launch, Listens::Port);
    App::new("app".into(), settings, Clock::new())
}

fn open(app: &Arc<App>, id: u64) {
    let endpoint = settings(Launch::Unit("a".into()), Listens::Endpoint).endpoint.unwrap();
    app.open(id, Arc::new(endpoint));
}

type Entering = Pin<Box<dyn Future<Output = Result<Seat, UpstreamError>>>>;

fn enter(app: &Arc<App>) -> Entering {
    let app = app.clone();
    Box::pin(async move { app.enter().await })
}

/// `None`: it waits.
async fn look(entering: &mut Entering) -> Option<Result<Seat, UpstreamError>> {
    poll_fn(|cx| match entering.as_mut().poll(cx) {
        Poll::Ready(seat) => Poll::Ready(Some(seat)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(test);
}

#[test]
fn who_came_first_sits_first() {
    run(async {
        let app = app();
        let mut waiting = Vec::new();
        // The queue has ten places.
        for _ in 0..10 {
            let mut entering = enter(&app);
            assert!(look(&mut entering).await.is_none());
            waiting.push(entering);
        }
        let refused = enter(&app).await.err();
        assert_eq!(refused, Some(UpstreamError::Limit));
        // One leaves, and another takes the last place.
        drop(waiting.remove(3));
        let mut last = enter(&app);
        assert!(look(&mut last).await.is_none());
        waiting.push(last);
        // Ten seats an instance: the first ten of these are those who waited.
        open(&app, 1);
        let mut late = enter(&app);
        assert!(look(&mut late).await.is_none());
        let mut seats = Vec::new();
        for entering in &mut waiting {
            seats.push(look(entering).await.unwrap().unwrap());
        }
        assert!(look(&mut late).await.is_none());
        assert_eq!(app.sample().queued, 1);
        seats.pop();
        assert_eq!(look(&mut late).await.unwrap().unwrap().instance, 1);
    });
}

#[test]
fn a_seat_for_one_who_has_left_goes_to_the_next() {
    run(async {
        let app = app();
        let (mut one, mut other) = (enter(&app), enter(&app));
        assert!(look(&mut one).await.is_none() && look(&mut other).await.is_none());
        open(&app, 1);
        // It was given a seat, and does not look.
        drop(one);
        assert_eq!(app.sample().in_flight, 1);
        let seat = look(&mut other).await.unwrap().unwrap();
        drop(seat);
        assert_eq!(app.sample().in_flight, 0);
    });
}

#[test]
fn one_that_refuses_or_is_silent_gets_no_more_until_it_was_looked_at() {
    run(async {
        let app = app();
        open(&app, 1);
        open(&app, 2);
        drop(enter(&app).await.unwrap());
        app.tell(1, Did::Silence);
        app.tell(1, Did::Answer);
        app.tell(1, Did::Silence);
        app.tell(1, Did::Silence);
        assert!(app.suspects().is_empty());
        app.tell(1, Did::Silence);
        assert_eq!((app.suspects(), app.suspects()), (vec![1], vec![]));
        assert_eq!(enter(&app).await.unwrap().instance, 2);
        app.tell(2, Did::Refuse);
        assert_eq!(app.suspects(), [2]);
        let mut waits = enter(&app);
        assert!(look(&mut waits).await.is_none());
        app.reopen(1);
        assert_eq!(look(&mut waits).await.unwrap().unwrap().instance, 1);
    });
}

#[test]
fn while_it_rests_nobody_waits() {
    run(async {
        let app = app();
        let mut waits = enter(&app);
        assert!(look(&mut waits).await.is_none());
        let until = app.clock.elapsed() + Duration::from_millis(1500);
        app.rest(until, UpstreamError::Resting(0));
        assert_eq!(look(&mut waits).await.unwrap().err(), Some(UpstreamError::Resting(2)));
        assert_eq!(enter(&app).await.err(), Some(UpstreamError::Resting(2)));
        assert_eq!(app.facts().rests, Some(2));
        app.rest(app.clock.elapsed(), UpstreamError::Resting(0));
        // It is over, whether its keeper has seen that or not.
        assert!(look(&mut enter(&app)).await.is_none());
        app.close();
        assert_eq!(enter(&app).await.err(), Some(UpstreamError::NoEndpoint));
    });
}
