use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::yield_now;

use super::*;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(10);
const PORTIONS: Portions = Portions { most: 100, enough: 8, parts: 2, near: SOON };

/// What has been sent, and how to answer it.
type Arrived = (Vec<u32>, oneshot::Sender<Result<(), RedisError>>);

/// A server that the test plays: it doubles numbers.
struct Server {
    gathering: Gathering<(), u32, u32>,
    owner: Arc<()>,
    portions: Portions,
    sends: UnboundedSender<Arrived>,
    arrived: UnboundedReceiver<Arrived>,
}

impl Server {
    fn new(portions: Portions) -> Self {
        let (sends, arrived) = unbounded_channel();
        Self { gathering: Gathering::new(), owner: Arc::default(), portions, sends, arrived }
    }

    fn ask(&self, number: u32) -> Answer<u32> {
        self.gathering.add(&self.owner, number, self.portions, || {
            let sends = self.sends.clone();
            move |numbers: Vec<u32>| {
                let sends = sends.clone();
                async move {
                    let (to, answered) = oneshot::channel();
                    let _ = sends.send((numbers.clone(), to));
                    answered.await.unwrap_or(Err(RedisError::Unavailable))?;
                    Ok(numbers.into_iter().map(|number| number * 2).collect())
                }
            }
        })
    }

    fn ask_all(&self, numbers: impl IntoIterator<Item = u32>) -> Vec<Answer<u32>> {
        numbers.into_iter().map(|number| self.ask(number)).collect()
    }

    /// What has arrived when everybody has done what they can.
    async fn arrived(&mut self) -> Vec<Arrived> {
        for _ in 0..10 {
            yield_now().await;
        }
        std::iter::from_fn(|| self.arrived.try_recv().ok()).collect()
    }

    /// The one portion that has arrived.
    async fn one(&mut self) -> Arrived {
        let mut arrived = self.arrived().await;
        assert_eq!(arrived.len(), 1, "{arrived:?}");
        arrived.remove(0)
    }
}

fn numbers(arrived: &[Arrived]) -> Vec<Vec<u32>> {
    arrived.iter().map(|(numbers, _)| numbers.clone()).collect()
}

fn answer(arrived: Arrived) {
    arrived.1.send(Ok(())).unwrap();
}

async fn values(answers: Vec<Answer<u32>>) -> Vec<u32> {
    join_all(answers).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn what_comes_up_in_a_turn_goes_out_at_its_end_and_waits_for_nobody_while_few_are_on_their_way() {
    let mut server = Server::new(PORTIONS);
    let mut answers = server.ask_all(0..3);
    let first = server.one().await;
    answers.extend(server.ask_all(3..7));
    let second = server.one().await;
    assert_eq!((&first.0, &second.0), (&vec![0, 1, 2], &vec![3, 4, 5, 6]));
    answer(second);
    answer(first);
    assert_eq!(values(answers).await, [0, 2, 4, 6, 8, 10, 12]);
}

#[tokio::test]
async fn with_enough_on_their_way_the_rest_wait_for_an_answer_and_go_by_halves() {
    let mut server = Server::new(PORTIONS);
    let mut answers = server.ask_all(0..40);
    let first = server.one().await;
    assert_eq!(first.0, (0..20).collect::<Vec<_>>(), "half of forty");
    answers.extend(server.ask_all(40..50));
    assert!(server.arrived().await.is_empty(), "nothing goes out before an answer comes");
    answer(first);
    let second = server.one().await;
    assert_eq!(second.0, (20..45).collect::<Vec<_>>(), "half of the fifty that are there");
    answer(second);
    let third = server.one().await;
    assert_eq!(third.0, (45..50).collect::<Vec<_>>());
    answer(third);
    assert_eq!(values(answers).await, (0..50).map(|number| number * 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_next_are_off_before_those_who_have_their_answers_go_on() {
    let (mut server, happened) = (Server::new(PORTIONS), Arc::new(Mutex::new(Vec::new())));
    for asked in server.ask_all(0..16) {
        let happened = happened.clone();
        tokio::spawn(async move { asked.await.map(|_| happened.lock().unwrap().push("answered")) });
    }
    let first = server.one().await;
    // What the connection does when it is told of the next.
    let connection = tokio::spawn({
        let happened = happened.clone();
        async move {
            let next = server.arrived.recv().await;
            happened.lock().unwrap().push("sent");
            next
        }
    });
    yield_now().await;
    answer(first);
    assert_eq!(connection.await.unwrap().unwrap().0, (8..16).collect::<Vec<_>>());
    assert_eq!(happened.lock().unwrap().first(), Some(&"sent"));
}

#[tokio::test]
async fn in_thirds_a_second_portion_goes_before_the_first_is_answered() {
    let mut server = Server::new(Portions { parts: 3, ..PORTIONS });
    let few = server.ask_all(0..10);
    let arrived = server.arrived().await;
    assert_eq!(numbers(&arrived), [(0..8).collect::<Vec<_>>(), vec![8, 9]], "no fewer than enough together");
    arrived.into_iter().for_each(answer);
    assert_eq!(values(few).await.len(), 10);
    let mut answers = server.ask_all(10..70);
    let mut arrived = server.arrived().await;
    assert_eq!(numbers(&arrived), [(10..30).collect::<Vec<_>>(), (30..50).collect()]);
    // Those who have their answers ask again, and the third goes before they do.
    answer(arrived.remove(0));
    assert_eq!(values(answers.drain(..20).collect()).await.len(), 20);
    answers.extend(server.ask_all(70..90));
    arrived.extend(server.arrived().await);
    assert_eq!(numbers(&arrived), [(30..50).collect::<Vec<_>>(), (50..70).collect()]);
    arrived.into_iter().for_each(answer);
    let last = server.one().await;
    assert_eq!(last.0, (70..90).collect::<Vec<_>>());
    answer(last);
    assert_eq!(values(answers).await, (30..90).map(|number| number * 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_more_than_the_most_are_sent_together_and_as_many_portions_as_that_takes() {
    let mut server = Server::new(Portions { most: 10, enough: usize::MAX, ..PORTIONS });
    let answers = server.ask_all(0..35);
    let arrived = server.arrived().await;
    assert_eq!(numbers(&arrived).iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 10, 5]);
    arrived.into_iter().for_each(answer);
    assert_eq!(values(answers).await, (0..35).map(|number| number * 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_waited_for_a_slow_server_is_sent_at_once_when_that_has_failed() {
    let mut server = Server::new(Portions { most: 10, near: Duration::ZERO, ..PORTIONS });
    let mut answers = server.ask_all(0..50);
    let (first, to) = server.one().await;
    assert_eq!(first.len(), 10);
    to.send(Err(RedisError::Timeout)).unwrap();
    let others = server.arrived().await;
    assert_eq!(numbers(&others).concat(), (10..50).collect::<Vec<_>>());
    assert!(others.iter().all(|(numbers, _)| numbers.len() == 10), "no more together than ever");
    let failed = answers.drain(..10).collect::<Vec<_>>();
    assert!(join_all(failed).await.into_iter().all(|outcome| outcome.unwrap_err().is_outage()));
    others.into_iter().for_each(answer);
    assert_eq!(values(answers).await, (10..50).map(|number| number * 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn nobody_waits_for_anothers_answer_where_the_server_is_slow() {
    let mut server = Server::new(Portions { near: Duration::ZERO, ..PORTIONS });
    let mut answers = server.ask_all(0..40);
    let first = server.one().await;
    assert_eq!(first.0.len(), 20, "it was not known to be slow");
    answers.push(server.ask(40));
    let second = server.one().await;
    assert_eq!(second.0, (20..41).collect::<Vec<_>>(), "what had waited goes with what comes up next");
    answer(first);
    assert_eq!(values(answers.drain(..20).collect()).await.len(), 20);
    answers.extend(server.ask_all(41..150));
    let third = server.arrived().await;
    assert_eq!(
        numbers(&third),
        [(41..141).collect::<Vec<_>>(), (141..150).collect()],
        "as many portions as that takes"
    );
    answer(second);
    third.into_iter().for_each(answer);
    assert_eq!(values(answers).await.len(), 130);
}

#[tokio::test]
async fn all_that_waits_for_a_silent_server_goes_with_what_comes_up_next() {
    let mut server = Server::new(Portions { most: 10, near: Duration::ZERO, ..PORTIONS });
    let mut answers = server.ask_all(0..50);
    let first = server.one().await;
    assert_eq!(first.0.len(), 10);
    answers.push(server.ask(50));
    let others = server.arrived().await;
    assert_eq!(numbers(&others).concat(), (10..51).collect::<Vec<_>>());
    assert_eq!(others.iter().map(|(numbers, _)| numbers.len()).max(), Some(10));
    answer(first);
    others.into_iter().for_each(answer);
    assert_eq!(values(answers).await.len(), 51);
}

#[tokio::test]
async fn an_error_that_is_about_the_questions_is_theirs_alone() {
    let mut server = Server::new(Portions { most: 10, ..PORTIONS });
    let mut answers = server.ask_all(0..20);
    let (_, to) = server.one().await;
    to.send(Err(RedisError::InvalidUrl(String::new()))).unwrap();
    let second = server.one().await;
    assert_eq!(second.0, (10..20).collect::<Vec<_>>());
    answer(second);
    let others = answers.split_off(10);
    assert!(join_all(answers).await.into_iter().all(|outcome| outcome.is_err()));
    assert_eq!(values(others).await.len(), 10);
}

#[tokio::test]
async fn who_leaves_takes_nothing_from_the_others() {
    let mut server = Server::new(PORTIONS);
    let mut answers = server.ask_all(0..4);
    drop(answers.remove(1));
    let arrived = server.one().await;
    assert_eq!(arrived.0, [0, 1, 2, 3]);
    drop(answers.remove(0));
    answer(arrived);
    assert_eq!(values(answers).await, [4, 6]);
}

#[tokio::test]
async fn the_questions_of_another_owner_are_sent_apart() {
    let mut server = Server::new(PORTIONS);
    let one = server.ask(1);
    server.owner = Arc::default();
    let other = server.ask(2);
    let arrived = server.arrived().await;
    assert_eq!(numbers(&arrived), [[1], [2]]);
    arrived.into_iter().for_each(answer);
    assert_eq!(values(vec![one, other]).await, [2, 4]);
}

#[test]
fn when_the_runtime_ends_nobody_answers_and_the_next_begins_anew() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut server, first) = (Server::new(PORTIONS), runtime());
    // Some are on their way, some wait, and some have only just been asked.
    let mut answers = first.block_on(async {
        let mut answers = server.ask_all(0..20);
        server.one().await;
        answers.extend(server.ask_all(20..30));
        answers
    });
    {
        let _inside = first.enter();
        server.owner = Arc::default();
        answers.push(server.ask(30));
    }
    drop(first);
    runtime().block_on(async {
        for outcome in join_all(answers).await {
            assert!(matches!(*outcome.unwrap_err(), RedisError::Unavailable));
        }
        let answers = server.ask_all(0..8);
        let arrived = server.one().await;
        answer(arrived);
        assert_eq!(values(answers).await.len(), 8);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// However many ask, in whatever portions, and whichever answer comes first: each gets the answer to what it asked, no more
    /// are on their way than may be, and nothing is left.
    #[test]
    fn each_gets_its_own_answer(
        most in 1..40_usize,
        enough in 1..40_usize,
        parts in 1..5_usize,
        near in prop::sample::select(vec![Duration::ZERO, SOON]),
        turns in prop::collection::vec((0..60_u32, any::<prop::sample::Index>(), any::<bool>()), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let played = async {
            let (mut server, mut answers, mut asked) = (Server::new(Portions { most, enough, parts, near }), Vec::new(), 0);
            let mut open: Vec<Arrived> = Vec::new();
            for (count, which, is_answered) in turns {
                answers.extend(server.ask_all(asked..asked + count));
                asked += count;
                open.extend(server.arrived().await);
                if near == SOON {
                    assert!(open.iter().all(|(numbers, _)| numbers.len() <= most));
                    let on_the_way: usize = open.iter().map(|(numbers, _)| numbers.len()).sum();
                    assert!(on_the_way < enough + most || on_the_way <= parts.saturating_sub(1) * most, "{on_the_way}");
                }
                if is_answered && !open.is_empty() {
                    answer(open.remove(which.index(open.len())));
                }
            }
            loop {
                open.extend(server.arrived().await);
                let Some(next) = open.pop() else { break };
                answer(next);
            }
            assert_eq!(values(answers).await, (0..asked).map(|number| number * 2).collect::<Vec<_>>());
        };
        let outcome = runtime.block_on(async { tokio::time::timeout(SOON, played).await });
        prop_assert!(outcome.is_ok(), "somebody waits in vain");
    }
}
