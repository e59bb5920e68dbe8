use super::super::ledger::Numbers;
use super::*;
use crate::api::{self, Api};
use crate::ring;

const ROUTES: &str = r#"
    [rate_limit.ten]
    requests = 10
    per = "31d"
    [[route]]
    name = "one"
    method = "GET"
    path = "/"
    result = "one"
    rate_limit = "ten"
    sql = "select 1 as one"
"#;

/// Runs a test on a ring, with the mailboxes of two cores and what makes their ends.
fn on_a_ring<F: Future<Output = ()> + 'static>(
    test: impl FnOnce(Rc<Ring>, Vec<Post>, Box<dyn Fn() -> Rc<Ledger>>) -> F + Send + 'static,
) {
    let api: Arc<Api> = Arc::new(api::load("routes.toml", ROUTES).expect("a routes file"));
    let options = ring::Options::default();
    let run = ring::run(None, &options, |ring| {
        let beginning = Instant::now();
        let made = ring.clone();
        let ledger = move || {
            let ledger = Rc::new(Ledger::new(&made, beginning));
            let rules = &api.guards.rate_limits;
            ledger.take_on(rules, &Numbers::default().of_next(rules));
            ledger
        };
        test(ring, posts(2).expect("mailboxes"), Box::new(ledger))
    });
    run.expect("a ring");
}

/// How many of `count` requests are admitted that are asked for at once.
async fn admitted(owners: &Rc<Owners>, key: u128, count: usize) -> usize {
    let answers: Vec<Answer> = (0..count).map(|_| owners.ask(1, 0, key)).collect();
    let mut admitted = 0;
    for answer in answers {
        let decision = answer.await.expect("an answer");
        admitted += usize::from(decision.admitted);
    }
    admitted
}

#[test]
fn the_owner_decides_and_nobody_else() {
    on_a_ring(|ring, mut posts, ledger| async move {
        let second = Owners::start(&ring, 1, posts.pop().expect("two"), ledger());
        let first = Owners::start(&ring, 0, posts.pop().expect("two"), ledger());
        assert_eq!(admitted(&first, 7, 4).await, 4);
        // Its own requests count alike.
        let own = (0..4).filter(|_| second.ledger.decide(0, 7).is_some_and(|d| d.admitted));
        assert_eq!(own.count(), 4);
        assert_eq!(admitted(&first, 7, 1000).await, 2);
        assert_eq!(admitted(&first, 8, 1000).await, 10);
        let untouched = first.ledger.decide(0, 7).expect("a decision");
        assert_eq!(untouched.remaining, 9);
    });
}

#[test]
fn questions_gather_while_one_message_is_there() {
    on_a_ring(|ring, mut posts, ledger| async move {
        let owner = posts.pop().expect("two");
        let first = Owners::start(&ring, 0, posts.pop().expect("two"), ledger());
        let mut answers: Vec<Answer> = (0..3).map(|_| first.ask(1, 0, 7)).collect();
        ring.sleep(Duration::from_millis(20)).await;
        answers.extend((0..5).map(|_| first.ask(1, 0, 7)));
        ring.sleep(Duration::from_millis(20)).await;
        let ledger = ledger();
        for expected in [3, 5] {
            let mut message = owner.inbox.try_recv().expect("a message");
            assert_eq!(message.questions.len(), expected);
            assert!(owner.inbox.try_recv().is_err(), "one at a time");
            for question in &mut message.questions {
                question.outcome = ledger.decide(question.rule, question.key);
            }
            (message.from, message.answered) = (1, true);
            assert!(owner.peers[0].mailbox.try_send(message).is_ok());
            owner.peers[0].waker.wake();
            ring.sleep(Duration::from_millis(50)).await;
        }
        for (index, answer) in answers.into_iter().enumerate() {
            let decision = answer.await.expect("an answer");
            assert_eq!(decision.remaining, 9 - index as u64);
        }
    });
}

#[test]
fn a_core_that_does_not_answer_is_given_up_until_it_does() {
    on_a_ring(|ring, mut posts, ledger| async move {
        let stuck = posts.pop().expect("two");
        let first = Owners::start(&ring, 0, posts.pop().expect("two"), ledger());
        let start = ring.now();
        let answers: Vec<Answer> = (0..3).map(|_| first.ask(1, 0, 7)).collect();
        for answer in answers {
            assert_eq!(answer.await, None);
        }
        assert!(ring.now() - start >= limits::RATE_PATIENCE);
        // From now on nobody waits, and nothing more is sent.
        let place = first.ask(1, 0, 7).0;
        assert!(matches!(place.outcome.get(), Some(None)));
        assert_eq!(stuck.inbox.try_iter().count(), 1);
        // It goes on. The late answer is for nobody.
        let late = Message {
            from: 1,
            answered: true,
            questions: Vec::new(),
        };
        assert!(stuck.peers[0].mailbox.try_send(late).is_ok());
        let second = Owners::start(&ring, 1, stuck, ledger());
        second.peers[0].waker.wake();
        ring.sleep(Duration::from_millis(50)).await;
        assert_eq!(admitted(&first, 7, 20).await, 10);
    });
}

#[test]
fn a_core_goes_home_when_nobody_can_ask_it_any_more() {
    on_a_ring(|ring, mut posts, ledger| async move {
        let second = Owners::start(&ring, 1, posts.pop().expect("two"), ledger());
        let first = Owners::start(&ring, 0, posts.pop().expect("two"), ledger());
        let home = Rc::new(Cell::new(false));
        let (gone, far) = (home.clone(), ring.now() + Duration::from_secs(3600));
        ring.spawn(async move {
            second.finish(far).await;
            gone.set(true);
        });
        ring.sleep(Duration::from_millis(50)).await;
        assert!(!home.get());
        assert_eq!(admitted(&first, 7, 20).await, 10);
        first.finish(far).await;
        ring.sleep(Duration::from_millis(50)).await;
        assert!(home.get());
    });
}

#[test]
fn nobody_is_waited_for_past_the_end() {
    on_a_ring(|ring, mut posts, ledger| async move {
        let first = Owners::start(&ring, 0, posts.swap_remove(0), ledger());
        first.finish(ring.now() + Duration::from_millis(20)).await;
    });
}

#[test]
fn a_core_that_has_gone_home_is_not_waited_for() {
    on_a_ring(|ring, mut posts, ledger| async move {
        drop(posts.pop());
        let first = Owners::start(&ring, 0, posts.pop().expect("two"), ledger());
        let start = ring.now();
        assert_eq!(first.ask(1, 0, 7).await, None);
        assert!(
            !first.lines[1]
                .borrow()
                .is_silent(start + 2 * limits::RATE_PATIENCE)
        );
    });
}
