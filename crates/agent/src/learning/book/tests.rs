use super::*;
use std::net::Ipv4Addr;
use topology::PortId;
use uuid::Uuid;
use wire::Mac;

const NET: BridgeId = BridgeId(Uuid::nil());

fn tag(n: u8) -> Tag {
    Tag::Mac(NET, Mac([2, 0, 0, 0, 0, n]))
}

fn question(n: u32) -> Question {
    Question {
        bridge: NET,
        ip: Ipv4Addr::from(n).into(),
        frame: Vec::new(),
        ports: vec![PortId(Uuid::nil())],
    }
}

/// What is done at which times, in ms, until nothing is due before `end`.
fn history(book: &mut Book, end: u64) -> Vec<(u64, Due)> {
    let mut history = Vec::new();
    while let Some(now) = book.next().filter(|at| *at <= end) {
        history.extend(book.due(now).into_iter().map(|due| (now / MS, due)));
    }
    history
}

#[test]
fn news_are_repeated_then_refreshed_and_silence_ends() {
    let mut book = Book::new(0);
    book.claim(&tag(1), 0);
    assert!(book.has_news());
    let tell = |at| (at, Due::Tell(tag(1)));
    let wake = |at| (at, Due::Wake(tag(1)));
    let mut wanted = vec![tell(0), tell(100), tell(1_000), tell(61_000)];
    for at in [121_000, 181_000, 241_000] {
        wanted.extend([tell(at), wake(at)]);
    }
    wanted.push((301_000, Due::Forget(tag(1))));
    assert_eq!(history(&mut book, u64::MAX), wanted);
    assert_eq!((book.version(&tag(1)), book.next()), (0, None));
}

#[test]
fn one_that_speaks_stays_and_is_not_woken() {
    let mut book = Book::new(0);
    book.claim(&tag(1), 0);
    for minute in 0..30 {
        let now = minute * 60 * SECOND;
        book.seen(&tag(1), now);
        for (_, due) in history(&mut book, now) {
            assert_eq!(due, Due::Tell(tag(1)));
        }
    }
}

#[test]
fn a_station_of_another_host_is_forgotten_when_its_host_is_silent() {
    let mut book = Book::new(0);
    book.heard(&tag(1), 7, 0);
    book.seen(&tag(1), 60 * SECOND);
    assert_eq!(history(&mut book, 259 * SECOND), []);
    let gone = (260_000, Due::Forget(tag(1)));
    assert_eq!(history(&mut book, 260 * SECOND), [gone]);
}

#[test]
fn versions_grow_whatever_the_clock_says() {
    let mut book = Book::new(1_000);
    book.claim(&tag(1), 5);
    assert_eq!(book.version(&tag(1)), 1_005);
    // another host's clock is ahead
    book.heard(&tag(1), 9_000, 6);
    book.claim(&tag(1), 7);
    assert_eq!(book.version(&tag(1)), 9_001);
    assert!(book.is_here(&tag(1)) && book.is_fresh(&tag(1), 8));
    assert!(!book.is_fresh(&tag(1), 7 + HOLD));
    assert_eq!(book.forget(&tag(1)), Some(9_001));
    assert_eq!(book.next(), None);
}

#[test]
fn a_host_that_missed_the_news_is_told_again_soon_and_not_at_once() {
    let mut book = Book::new(0);
    book.claim(&tag(1), 0);
    history(&mut book, SECOND);
    for now in [2 * SECOND, 2 * SECOND + 1] {
        book.insist(&tag(1), now);
    }
    let told = (2_100, Due::Tell(tag(1)));
    assert_eq!(history(&mut book, 10 * SECOND), [told]);
    book.heard(&tag(1), u64::MAX, 11 * SECOND);
    book.insist(&tag(1), 12 * SECOND);
    assert_eq!(history(&mut book, 20 * SECOND), []);
}

#[test]
fn questions_are_rationed() {
    let mut book = Book::new(0);
    for now in [0, 1, ASK_AGAIN - 1, ASK_AGAIN] {
        book.wonder(question(1), now);
    }
    assert_eq!(book.questions.len(), 2);
    for n in 2..2 * ASKED_MAX as u32 {
        book.wonder(question(n), ASK_AGAIN);
        book.questions.truncate(QUESTIONS_MAX - 1);
    }
    assert_eq!(book.asked.len(), ASKED_MAX);
    book.wonder(question(0), 2 * ASK_AGAIN);
    assert_eq!(book.asked.len(), 1);
}

#[test]
fn hosts_of_a_new_network_are_asked_a_few_times() {
    let mut book = Book::new(0);
    book.enter(NET, 10 * SECOND);
    let mut asked = Vec::new();
    while let Some(now) = book.next() {
        book.networks_due(now)
            .iter()
            .for_each(|_| asked.push(now / SECOND));
    }
    assert_eq!(asked, [10, 11, 15]);
}
