//! Once, twice and five times what Postgres can do.

use std::time::Duration;

use crate::fixture::{
    HEADING, ROUTES, alone, expect_answers_and_refusals, load, postgres, row, succeeds,
};
use crate::support::Server;

const TIME: Duration = Duration::from_secs(3);

/// What each load begins with: nobody can tell an overload from a burst before it has lasted.
const BEGINNING: Duration = Duration::from_secs(1);

#[test]
fn single_statements_are_answered_at_five_times_the_saturation() {
    keeps_its_goodput("single", 400.0);
}

#[test]
fn batches_are_answered_at_five_times_the_saturation() {
    keeps_its_goodput("batched", 250.0);
}

/// `ideal` is what the path could answer in a second if sleeping were exact.
fn keeps_its_goodput(path: &str, ideal: f64) {
    let _alone = alone();
    let postgres = postgres();
    let mut server = Server::start(ROUTES, &postgres.url(), &[]).ready();
    println!("{HEADING}");
    half_of_it_is_answered(&server, path, ideal);
    for times in [1.0, 2.0, 5.0] {
        succeeds(|| try_times(&server, path, ideal, times));
    }
    // The overloads are over, and so are their bounds.
    std::thread::sleep(Duration::from_millis(500));
    half_of_it_is_answered(&server, path, ideal);
    let told = server.log().iter();
    let told: Vec<_> = told.filter(|it| it.contains("too many requests")).collect();
    assert!((1..=12).contains(&told.len()), "once in an interval");
    assert!(told[0].contains("past the queue target"), "with the cause");
}

fn half_of_it_is_answered(server: &Server, path: &str, ideal: f64) {
    let outcome = load(server.address, path, 0.5 * ideal, TIME / 2);
    println!("{}", row("half", 0.5 * ideal, &outcome));
    expect_answers_and_refusals(&outcome);
    // Few at the most, where the machine stands still.
    assert!(outcome.of(200).count() > 9 * outcome.of(503).count());
}

/// One load of so many times the saturation, and what is wrong with it.
fn try_times(server: &Server, path: &str, ideal: f64, times: f64) -> Result<(), String> {
    // What is answered of a little too much is the saturation.
    let full = load(server.address, path, 1.3 * ideal, TIME).during(BEGINNING..TIME);
    println!("{}", row("saturated", 1.3 * ideal, &full));
    let saturation = full.goodput();
    let rate = times * saturation;
    let outcome = load(server.address, path, rate, TIME);
    expect_answers_and_refusals(&outcome);
    let beginning = outcome.during(Duration::ZERO..BEGINNING);
    println!("{}", row("  its beginning", rate, &beginning));
    let outcome = outcome.during(BEGINNING..TIME);
    println!("{}", row(&format!("{times:.1}x"), rate, &outcome));
    let goodput = outcome.goodput();
    let (good, refused) = (outcome.of(200), outcome.of(503));
    if goodput < 0.9 * saturation {
        return Err(format!("{goodput} answers a second of {saturation}"));
    }
    // Without a bound on time it is a second.
    if good.quantile(0.99) > Duration::from_millis(250) {
        return Err("those who were let in wait for too long".to_owned());
    }
    if refused.quantile(0.5) > Duration::from_millis(20) {
        return Err("the others are not refused at once".to_owned());
    }
    if times > 2.0 && refused.count() < 2 * good.count() {
        return Err("nobody is refused".to_owned());
    }
    Ok(())
}
