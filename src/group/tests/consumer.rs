//! Consumer groups (KIP-848): what members are told, and what is refused.

use super::*;
use crate::limits::{GROUP_ENTRY_BYTES_MAX, GROUP_PATTERNS_MAX};

const T: TopicId = TopicId([1; 16]);
const U: TopicId = TopicId([2; 16]);

fn host() -> Host {
    let mut host = Host::new();
    host.set_topics(&[("t", 1, 4), ("u", 2, 2)]);
    host
}

fn member(id: &str) -> MemberClaim {
    MemberClaim { id: id.into(), instance: None }
}

fn beat(id: &str, epoch: i32) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        group: GROUP.into(),
        member: member(id),
        epoch,
        rebalance_timeout_ms: -1,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        ..Default::default()
    }
}

fn first(id: &str, topics: &[&str]) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        rebalance_timeout_ms: 30_000,
        topics: Some(topics.iter().map(|topic| (*topic).into()).collect()),
        owned: Some(Vec::new()),
        ..beat(id, 0)
    }
}

fn owning(id: &str, epoch: i32, owned: &[(TopicId, &[i32])]) -> ConsumerHeartbeatRequest {
    let owned = owned.iter().map(|(topic, partitions)| (*topic, partitions.to_vec()));
    ConsumerHeartbeatRequest { owned: Some(owned.collect()), ..beat(id, epoch) }
}

fn of_instance(instance: &str, request: ConsumerHeartbeatRequest) -> ConsumerHeartbeatRequest {
    let member = MemberClaim { instance: Some(instance.into()), ..request.member };
    ConsumerHeartbeatRequest { member, ..request }
}

fn by_pattern(id: &str, pattern: &str) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest { topics: None, pattern: Some(pattern.into()), ..first(id, &[]) }
}

/// Partitions by topic, as a member is told of them.
type Told = Vec<(TopicId, Vec<i32>)>;

fn told(partitions: &Partitions) -> Told {
    let each = partitions.iter();
    each.map(|(topic, indexes)| (*topic, indexes.iter().copied().collect())).collect()
}

impl Host {
    fn beat(&mut self, request: ConsumerHeartbeatRequest) -> Result<(i32, Option<Told>), Refusal> {
        match self.call(Request::ConsumerHeartbeat(request)) {
            Reply::ConsumerHeartbeat(stands) => {
                stands.map(|stands| (stands.epoch, stands.assignment.as_ref().map(told)))
            }
            other => panic!("not an answer to a consumer's heartbeat: {other:?}"),
        }
    }

    fn consumers(&mut self) -> Result<DescribedConsumerGroup, Refusal> {
        match self.call(Request::DescribeConsumers(GROUP.into())) {
            Reply::ConsumersDescribed(described) => described,
            other => panic!("not an answer to a description: {other:?}"),
        }
    }

    fn consumer_state(&mut self) -> ConsumerState {
        self.consumers().unwrap().state
    }

    /// One member with all partitions of `t`.
    fn alone() -> Host {
        let mut host = host();
        let all = Some(vec![(T, vec![0, 1, 2, 3])]);
        assert_eq!(host.beat(first("a", &["t"])), Ok((1, all)));
        host
    }
}

#[test]
fn the_first_member_gets_all_at_once() {
    let mut host = Host::alone();
    assert_eq!(host.consumer_state(), ConsumerState::Stable);
    assert_eq!(host.beat(beat("a", 1)), Ok((1, None)), "nothing is new");
    let entries = host.log.len();
    assert_eq!(host.beat(owning("a", 1, &[(T, &[0, 1, 2, 3])])), Ok((1, None)));
    assert_eq!(host.log.len(), entries, "and nothing is written");
    let full = ConsumerHeartbeatRequest {
        epoch: 1,
        owned: Some(vec![(T, vec![0, 1, 2, 3])]),
        ..first("a", &["t"])
    };
    assert_eq!(
        host.beat(full),
        Ok((1, Some(vec![(T, vec![0, 1, 2, 3])]))),
        "who tells all is told all"
    );
}

#[test]
fn a_partition_changes_hands_when_it_is_given_up() {
    let mut host = Host::alone();
    assert_eq!(host.beat(first("b", &["t"])), Ok((2, Some(vec![]))), "all of its target is taken");
    assert_eq!(host.consumer_state(), ConsumerState::Reconciling);
    let less = Some(vec![(T, vec![0, 1])]);
    assert_eq!(host.beat(beat("a", 1)), Ok((1, less)), "it stays in its epoch until it has");
    assert_eq!(host.beat(beat("b", 2)), Ok((2, None)));
    assert_eq!(host.beat(owning("a", 1, &[(T, &[0, 1, 2])])), Ok((1, None)), "not all yet");
    assert_eq!(host.beat(beat("b", 2)), Ok((2, None)));
    assert_eq!(host.beat(owning("a", 1, &[(T, &[0, 1])])), Ok((2, None)));
    assert_eq!(host.beat(beat("b", 2)), Ok((2, Some(vec![(T, vec![2, 3])]))));
    assert_eq!(host.consumer_state(), ConsumerState::Stable);
    host.crash();
    assert_eq!(host.consumer_state(), ConsumerState::Stable);
    assert_eq!(host.beat(beat("a", 2)), Ok((2, None)));
    assert_eq!(host.beat(beat("b", 2)), Ok((2, None)));
}

#[test]
fn a_member_that_leaves_sets_its_partitions_free() {
    let mut host = Host::alone();
    host.beat(first("b", &["t"])).unwrap();
    assert_eq!(host.beat(beat("a", -1)), Ok((-1, None)));
    assert_eq!(host.consumer_state(), ConsumerState::Assigning);
    assert_eq!(host.beat(beat("b", 2)), Ok((3, Some(vec![(T, vec![0, 1, 2, 3])]))));
    assert_eq!(host.beat(beat("b", -1)), Ok((-1, None)));
    assert_eq!(host.consumer_state(), ConsumerState::Empty);
    assert_eq!(host.beat(beat("b", -1)), Err(Refusal::UnknownMember));
    assert_eq!(host.beat(first("c", &["t"])).unwrap().0, 5, "epochs only rise");
}

#[test]
fn a_lost_reply_is_no_loss() {
    let mut host = Host::alone();
    host.beat(first("b", &["u"])).unwrap();
    // It reaches epoch 2, and does not hear of it.
    host.beat(beat("a", 1)).unwrap();
    assert_eq!(
        host.beat(beat("a", 1)),
        Err(Refusal::FencedMemberEpoch),
        "it does not say what it owns"
    );
    let owned = owning("a", 1, &[(T, &[0, 1, 2, 3])]);
    assert_eq!(host.beat(owned), Ok((2, None)));
    let more = owning("a", 1, &[(T, &[0]), (U, &[0])]);
    assert_eq!(host.beat(more), Err(Refusal::FencedMemberEpoch), "it owns what it may not");
    let again = host.beat(first("a", &["t"]));
    assert_eq!(again, Ok((2, Some(vec![(T, vec![0, 1, 2, 3])]))), "it may always join again");
}

/// Each of these is refused, and changes nothing.
#[test]
fn refusals() {
    let mut options = options();
    options.consumer.size_max = 2;
    let mut host = Host::with(options);
    host.set_topics(&[("t", 1, 4), ("u", 2, 2)]);
    host.beat(first("a", &["t"])).unwrap();
    host.beat(of_instance("i", first("s", &["t"]))).unwrap();
    let assignor =
        |name: &str| ConsumerHeartbeatRequest { assignor: Some(name.into()), ..beat("a", 1) };
    let large = "x".repeat(GROUP_ENTRY_BYTES_MAX);
    let other = |request| ConsumerHeartbeatRequest { group: "other".into(), ..request };
    let entries = host.log.len();
    for (request, refusal) in [
        (first("c", &["t"]), Refusal::GroupFull),
        (beat("c", 1), Refusal::UnknownMember),
        (beat("c", -1), Refusal::UnknownMember),
        (beat("a", 2), Refusal::FencedMemberEpoch),
        (beat("s", 1), Refusal::FencedMemberEpoch),
        (assignor("sticky"), Refusal::UnsupportedAssignor),
        (of_instance("i", first("c", &["t"])), Refusal::UnreleasedInstance),
        (of_instance("i", beat("a", 1)), Refusal::FencedInstance),
        (of_instance("i", beat("a", -1)), Refusal::FencedInstance),
        (of_instance("i", beat("a", -2)), Refusal::FencedInstance),
        (of_instance("j", beat("a", 1)), Refusal::UnknownMember),
        (of_instance("j", beat("a", -2)), Refusal::UnknownMember),
        (by_pattern("a", "("), Refusal::InvalidPattern),
        (first("a", &[&large]), Refusal::StateTooLarge),
        (other(beat("a", 1)), Refusal::GroupNotFound),
        (other(beat("a", -1)), Refusal::GroupNotFound),
        (other(by_pattern("a", "(")), Refusal::InvalidPattern),
    ] {
        assert_eq!(host.beat(request.clone()), Err(refusal), "{request:?}");
        assert_eq!(host.log.len(), entries, "{request:?}");
    }
    let listed: Vec<_> = host.coordinator.list().map(|listed| listed.group).collect();
    assert_eq!(listed, [GROUP.into()]);

    host.set_topics(&[("t", 1, 4), ("u", 2, 500_000)]);
    assert_eq!(host.beat(first("a", &["u"])), Err(Refusal::StateTooLarge), "no record holds it");
}

#[test]
fn switched_off_it_is_not_served() {
    let mut options = options();
    options.consumer.enabled = false;
    let mut host = Host::with(options);
    assert_eq!(host.beat(first("a", &["t"])), Err(Refusal::Disabled));
    assert_eq!(host.consumers().err(), Some(Refusal::Disabled));
}

#[test]
fn members_without_an_id_are_given_one() {
    let mut host = host();
    let Reply::ConsumerHeartbeat(Ok(stands)) =
        host.call(Request::ConsumerHeartbeat(first("", &["t"])))
    else {
        panic!("it is let in")
    };
    assert_eq!(stands.member.len(), 22);
    assert_eq!(stands.interval, Duration::from_secs(5));
    assert_eq!(host.beat(beat(&stands.member, 1)), Ok((1, None)));
}

#[test]
fn silence_ends_a_session() {
    let mut host = Host::alone();
    host.beat(first("b", &["t"])).unwrap();
    host.pass(Duration::from_secs(44));
    host.beat(beat("b", 2)).unwrap();
    host.pass(Duration::from_secs(2));
    assert_eq!(host.beat(beat("a", 1)), Err(Refusal::UnknownMember));
    assert_eq!(host.beat(beat("b", 2)), Ok((3, Some(vec![(T, vec![0, 1, 2, 3])]))));
    host.crash();
    host.pass(Duration::from_secs(44));
    assert_eq!(host.consumers().unwrap().members.len(), 1, "a start begins sessions anew");
    host.pass(Duration::from_secs(2));
    assert_eq!(host.consumer_state(), ConsumerState::Empty);
}

#[test]
fn who_gives_nothing_up_is_out() {
    let mut host = Host::alone();
    host.beat(first("b", &["t"])).unwrap();
    host.beat(beat("a", 1)).unwrap();
    for _ in 0..2 {
        host.pass(Duration::from_secs(14));
        assert_eq!(host.beat(beat("a", 1)), Ok((1, None)), "its heart beats, but it keeps all");
        host.beat(beat("b", 2)).unwrap();
    }
    host.pass(Duration::from_secs(3));
    assert_eq!(host.beat(beat("a", 1)), Err(Refusal::UnknownMember));
    assert_eq!(host.beat(beat("b", 2)), Ok((3, Some(vec![(T, vec![0, 1, 2, 3])]))));
}

#[test]
fn static_members_come_back() {
    let mut host = host();
    host.beat(of_instance("i", first("a", &["t"]))).unwrap();
    host.beat(first("b", &["t"])).unwrap();
    host.beat(of_instance("i", owning("a", 1, &[(T, &[0, 1])]))).unwrap();
    let before = host.beat(beat("b", 2)).unwrap();
    assert_eq!(before, (2, Some(vec![(T, vec![2, 3])])));
    assert_eq!(host.beat(of_instance("i", beat("a", -2))), Ok((-2, None)));
    host.crash();
    assert_eq!(host.beat(beat("b", 2)), Ok((2, None)), "what it had is kept for it");
    let back = host.beat(of_instance("i", first("c", &["t"])));
    assert_eq!(back, Ok((2, Some(vec![(T, vec![0, 1])]))), "under another id, in the same epoch");
    assert_eq!(host.beat(beat("a", 2)), Err(Refusal::UnknownMember));
    assert_eq!(host.beat(beat("b", 2)), Ok((2, None)));
    assert_eq!(host.consumer_state(), ConsumerState::Stable);

    host.beat(of_instance("i", beat("c", -2))).unwrap();
    for _ in 0..5 {
        host.pass(Duration::from_secs(10));
        host.beat(beat("b", 2)).ok();
    }
    assert_eq!(host.beat(beat("b", 3)).unwrap().0, 3, "it stayed away for too long");
    assert_eq!(host.consumers().unwrap().members.len(), 1);
}

#[test]
fn static_members_are_sent_away_by_tools() {
    let mut host = host();
    host.beat(of_instance("i", first("a", &["t"]))).unwrap();
    host.beat(first("b", &["t"])).unwrap();
    let Reply::Leave(left) = host.call(leave(&[("", Some("i")), ("b", None), ("", Some("j"))]))
    else {
        panic!("a leave is answered")
    };
    let unknown = Err(Refusal::UnknownMember);
    assert_eq!(left, Ok(vec![Ok(()), unknown, unknown]));
    assert_eq!(host.consumers().unwrap().members.len(), 1);
}

#[test]
fn topics_come_grow_and_go() {
    let mut host = Host::alone();
    host.set_topics(&[("t", 1, 6)]);
    let more = Some(vec![(T, vec![0, 1, 2, 3, 4, 5])]);
    assert_eq!(host.beat(beat("a", 1)), Ok((2, more)));
    host.set_topics(&[("t", 1, 6), ("new", 3, 1)]);
    assert_eq!(host.beat(beat("a", 2)), Ok((2, None)), "that does not concern it");
    let resubscribed =
        ConsumerHeartbeatRequest { topics: Some(vec!["t".into(), "late".into()]), ..beat("a", 2) };
    assert_eq!(host.beat(resubscribed), Ok((3, None)));
    host.set_topics(&[("late", 4, 1)]);
    assert_eq!(host.beat(beat("a", 3)), Ok((3, Some(vec![]))), "what is no more is taken");
    let late = vec![(TopicId([4; 16]), vec![0])];
    assert_eq!(host.beat(owning("a", 3, &[])), Ok((4, Some(late))));
}

#[test]
fn patterns_follow_the_topics() {
    let mut host = host();
    let both = vec![(T, vec![0, 1, 2, 3]), (U, vec![0, 1])];
    assert_eq!(host.beat(by_pattern("a", "[tu]")), Ok((1, Some(both))));
    host.crash();
    assert_eq!(host.beat(beat("a", 1)), Ok((1, None)));
    host.set_topics(&[("t", 1, 4), ("tt", 5, 1)]);
    host.pass(Duration::from_secs(10));
    let less = vec![(T, vec![0, 1, 2, 3])];
    assert_eq!(host.beat(beat("a", 1)), Ok((1, Some(less))));
    assert_eq!(host.beat(owning("a", 1, &[(T, &[0, 1, 2, 3])])), Ok((2, None)));
    assert_eq!(
        host.beat(by_pattern("b", "tt|x")).unwrap().1,
        Some(vec![(TopicId([5; 16]), vec![0])])
    );
    let plain = ConsumerHeartbeatRequest {
        topics: Some(vec!["t".into()]),
        pattern: Some("".into()),
        ..beat("b", 3)
    };
    assert_eq!(host.beat(plain), Ok((3, Some(vec![]))), "an empty pattern is none");
    let patterns = host.log.iter().rev().find_map(|entry| match entry {
        LogEntry::Consumer { entry: ConsumerEntry::Pattern(pattern, value), .. } => {
            Some((&**pattern, value.is_some()))
        }
        _ => None,
    });
    assert_eq!(patterns, Some(("tt|x", false)), "what nobody asks for is forgotten");
}

#[test]
fn the_assignor_that_most_ask_for() {
    let mut host = host();
    let by = |assignor: &str, id: &str| ConsumerHeartbeatRequest {
        assignor: Some(assignor.into()),
        ..first(id, &["t", "u"])
    };
    host.beat(by("range", "a")).unwrap();
    host.beat(by("range", "b")).unwrap();
    host.beat(by("uniform", "c")).unwrap();
    let described = host.consumers().unwrap();
    assert_eq!(described.assignor, Assignor::Range);
    let shares: Vec<_> = described.members.iter().map(|member| told(&member.target)).collect();
    assert_eq!(shares[2], [(T, vec![3])]);
    assert_eq!((described.epoch, described.target_epoch), (3, 3));
}

#[test]
fn commits_and_fetches_by_epoch() {
    let mut host = Host::alone();
    let committed = |host: &mut Host, id: &str, epoch, partition| match host
        .call(Request::Commit(commit(id, epoch, &[("t", partition, 7)])))
    {
        Reply::Commit(reply) => reply.map(|each| each.len()),
        other => panic!("not an answer to a commit: {other:?}"),
    };
    assert_eq!(committed(&mut host, "a", 1, 0), Ok(1));
    assert_eq!(committed(&mut host, "a", 2, 0), Err(Refusal::StaleMemberEpoch), "of the future");
    assert_eq!(committed(&mut host, "a", 0, 0), Err(Refusal::StaleMemberEpoch), "before it had it");
    assert_eq!(committed(&mut host, "b", 1, 0), Err(Refusal::UnknownMember));
    assert_eq!(committed(&mut host, "", -1, 0), Err(Refusal::UnknownMember), "it has members");
    let old = CommitRequest { knows_epochs: false, ..commit("a", 1, &[("t", 0, 7)]) };
    let refused = Reply::Commit(Err(Refusal::StaleMemberEpoch));
    assert_eq!(host.call(Request::Commit(old)), refused, "by a version without epochs");
    host.beat(first("b", &["t"])).unwrap();
    host.beat(owning("a", 1, &[(T, &[0, 1])])).unwrap();
    assert_eq!(committed(&mut host, "a", 1, 0), Ok(1), "it has had it ever since");
    assert_eq!(committed(&mut host, "a", 1, 3), Err(Refusal::StaleMemberEpoch), "it is another's");

    let fetched = |host: &mut Host, member: Option<(&str, i32)>| {
        let member = member.map(|(id, epoch)| (id.into(), epoch));
        let fetch = FetchOffsetsRequest { group: GROUP.into(), member, topics: None };
        match host.call(Request::FetchOffsets(fetch)) {
            Reply::Offsets(offsets) => offsets.map(|topics| topics.len()),
            other => panic!("not an answer to a fetch of offsets: {other:?}"),
        }
    };
    assert_eq!(fetched(&mut host, None), Ok(1));
    assert_eq!(fetched(&mut host, Some(("a", 2))), Ok(1));
    assert_eq!(fetched(&mut host, Some(("a", 1))), Err(Refusal::StaleMemberEpoch));
    assert_eq!(fetched(&mut host, Some(("x", 1))), Err(Refusal::UnknownMember));

    host.beat(beat("a", -1)).unwrap();
    host.beat(beat("b", -1)).unwrap();
    assert_eq!(committed(&mut host, "", -1, 0), Ok(1), "nobody is in it");
}

#[test]
fn groups_change_their_protocol_when_nobody_is_in_them() {
    let mut host = host();
    let joined = host.stable();
    host.call(Request::Commit(commit(&joined.member, 1, &[("t", 0, 5)])));
    assert_eq!(host.beat(first("a", &["t"])), Err(Refusal::OtherProtocol), "it has members");
    assert_eq!(host.beat(beat("a", 1)), Err(Refusal::OtherProtocol));
    assert_eq!(host.beat(beat("a", -1)), Err(Refusal::OtherProtocol));
    assert_eq!(host.consumers().err(), Some(Refusal::OtherProtocol));
    host.call(leave(&[(&joined.member, None)]));
    assert_eq!(host.beat(first("a", &["t"])).unwrap().0, 1);
    host.crash();
    assert_eq!(host.describe().err(), Some(Refusal::OtherProtocol));
    let listed: Vec<_> = host.coordinator.list().collect();
    assert_eq!(listed[0].group_type, GroupType::Consumer);
    assert_eq!((&*listed[0].protocol_type, listed[0].state), (PROTOCOL_TYPE, "Stable"));
    let offsets = FetchOffsetsRequest { group: GROUP.into(), member: None, topics: None };
    let Reply::Offsets(Ok(offsets)) = host.call(Request::FetchOffsets(offsets)) else { panic!() };
    assert_eq!(offsets.len(), 1, "offsets stay");

    let ticket = host.join(join(""));
    assert_eq!(host.joined(ticket).unwrap_err().refusal, Refusal::InconsistentProtocol);
    let classic = [
        host.call(Request::Heartbeat(heartbeat("a", 1))),
        host.call(Request::Sync(sync(&joined, &[]))),
    ];
    let unknown = Refusal::UnknownMember;
    assert_eq!(classic, [Reply::Heartbeat(Err(unknown)), Reply::Sync(Err(unknown))]);
    assert_eq!(
        host.call(Request::Delete(GROUP.into())),
        Reply::Deleted(Err(Refusal::NonEmptyGroup))
    );
    host.beat(beat("a", -1)).unwrap();
    host.stable();
    host.crash();
    assert_eq!(host.state(), GroupState::Stable);
    assert_eq!(host.consumers().err(), Some(Refusal::OtherProtocol));
}

#[test]
fn a_deleted_group_leaves_nothing() {
    let mut host = host();
    host.beat(by_pattern("a", "t")).unwrap();
    host.call(Request::Commit(commit("a", 1, &[("t", 0, 5)])));
    let delete = DeleteOffsetsRequest { group: GROUP.into(), topics: vec![("t".into(), vec![0])] };
    assert_eq!(
        host.call(Request::DeleteOffsets(delete)),
        Reply::OffsetsDeleted(Ok(vec![Err(Refusal::SubscribedToTopic)]))
    );
    host.beat(beat("a", -1)).unwrap();
    assert_eq!(host.call(Request::Delete(GROUP.into())), Reply::Deleted(Ok(())));
    assert_eq!(host.consumers().err(), Some(Refusal::GroupNotFound));
    host.crash();
    assert_eq!(host.coordinator.list().count(), 0);
    let mut newest = BTreeMap::new();
    for entry in &host.log {
        let record = entry.encode();
        newest.insert(record.key, record.value);
    }
    assert!(newest.values().all(Option::is_none), "compaction leaves nothing of it");
}

#[test]
fn offsets_that_nobody_reads_expire_with_the_group() {
    let mut host = Host::alone();
    host.call(Request::Commit(commit("a", 1, &[("t", 0, 5)])));
    for _ in 0..130 {
        host.pass(Duration::from_secs(40));
        host.beat(beat("a", 1)).unwrap();
    }
    let fetch = FetchOffsetsRequest { group: GROUP.into(), member: None, topics: None };
    let Reply::Offsets(Ok(offsets)) = host.call(Request::FetchOffsets(fetch)) else { panic!() };
    assert_eq!(offsets.len(), 1, "it reads them");
    host.beat(beat("a", -1)).unwrap();
    host.pass(Duration::from_secs(1200));
    assert_eq!(host.coordinator.list().count(), 0);
}

/// Whatever part of an operation a crash leaves in the log, the group finds its way.
#[test]
fn operations_cut_short_are_made_up_for() {
    let all: Vec<_> = [(T, 0), (T, 1), (T, 2), (T, 3), (U, 0), (U, 1)].into();
    type Start = fn(&mut Host);
    let away: Start = |host| {
        host.beat(of_instance("i", first("a", &["t"]))).unwrap();
        host.beat(first("b", &["t", "u"])).unwrap();
        host.beat(of_instance("i", owning("a", 1, &[]))).unwrap();
        host.beat(of_instance("i", beat("a", -2))).unwrap();
    };
    let two: Start = |host| {
        host.beat(first("a", &["t"])).unwrap();
        host.beat(first("b", &["t", "u"])).unwrap();
        host.beat(owning("a", 1, &[])).unwrap();
    };
    for (name, start, torn) in [
        ("join", two, first("c", &["t", "u"])),
        ("resubscribe", two, ConsumerHeartbeatRequest { epoch: 2, ..first("a", &["u"]) }),
        ("leave", two, beat("a", -1)),
        ("take over", away, of_instance("i", first("c", &["t"]))),
    ] {
        for cut in 0.. {
            let mut host = host();
            start(&mut host);
            host.ask(Request::ConsumerHeartbeat(torn.clone()));
            let planned = host.log.len() - host.durable;
            if cut > planned {
                assert!(planned > 1, "{name}: {planned} entries are cut");
                break;
            }
            host.tear(|_| cut);
            // Whoever does not come back is taken out in time; `b` stays, and owns what it is told.
            let (mut epoch, mut owned) = (0, Vec::new());
            for _ in 0..20 {
                host.pass(Duration::from_secs(5));
                let partitions: Vec<(TopicId, &[i32])> =
                    owned.iter().map(|(topic, own): &(_, Vec<i32>)| (*topic, &**own)).collect();
                let request = match epoch {
                    0 => first("b", &["t", "u"]),
                    _ => owning("b", epoch, &partitions),
                };
                let (now, told) = host.beat(request).unwrap();
                epoch = now;
                owned = told.unwrap_or(owned);
            }
            let has: Vec<_> = (owned.iter())
                .flat_map(|(topic, own)| own.iter().map(move |index| (*topic, *index)))
                .collect();
            assert_eq!(has, all, "{name}, cut after {cut} of {planned}");
            assert_eq!(host.consumer_state(), ConsumerState::Stable, "{name}, {cut}");
            assert_eq!(host.consumers().unwrap().members.len(), 1, "{name}, {cut}");
        }
    }
}

/// What is lost of an epoch may not be lost for good: nobody has to leave for it to be made up.
#[test]
fn a_cut_leave_makes_the_target_anew_at_once() {
    let mut host = host();
    host.beat(first("a", &["t"])).unwrap();
    host.beat(first("b", &["t"])).unwrap();
    host.beat(owning("a", 1, &[(T, &[0, 1])])).unwrap();
    host.beat(beat("b", 2)).unwrap();
    host.ask(Request::ConsumerHeartbeat(beat("a", -1)));
    let planned = host.log.len() - host.durable;
    // All but the last entry, as a batch that is full would hold them.
    host.tear(|_| planned - 1);
    host.beat(beat("b", 2)).unwrap();
    let described = host.consumers().unwrap();
    assert_eq!((described.epoch, described.target_epoch), (3, 3));
}

#[test]
fn a_static_member_takes_no_other_members_id() {
    let mut host = host();
    host.beat(of_instance("i", first("a", &["t"]))).unwrap();
    host.beat(first("b", &["u"])).unwrap();
    host.beat(of_instance("i", beat("a", -2))).unwrap();
    let taken = host.beat(of_instance("i", first("b", &["t"])));
    assert_eq!(taken, Err(Refusal::UnreleasedInstance));
    assert_eq!(host.beat(beat("b", 2)), Ok((2, None)), "it has what it had");
    assert_eq!(host.consumers().unwrap().members.len(), 2);
}

/// What members say of themselves is bounded for all of them together.
#[test]
fn members_together_fit_a_record() {
    let mut host = host();
    let long = "x".repeat(GROUP_ENTRY_BYTES_MAX / 4);
    let talkative =
        |id: &str| ConsumerHeartbeatRequest { rack: Some((*long).into()), ..first(id, &["t"]) };
    for id in ["a", "b", "c"] {
        host.beat(talkative(id)).unwrap();
    }
    assert_eq!(host.beat(talkative("d")), Err(Refusal::StateTooLarge));
    host.beat(first("d", &["t"])).unwrap();
    host.beat(beat("c", -1)).unwrap();
    host.beat(talkative("e")).unwrap();
}

#[test]
fn who_is_in_stays_in_when_topics_grow_too_large() {
    let mut host = Host::alone();
    host.set_topics(&[("t", 1, 500_000), ("u", 2, 2)]);
    let four = [(T, [0, 1, 2, 3].as_slice())];
    assert_eq!(host.beat(owning("a", 1, &four)), Ok((2, None)), "its target stays as it is");
    assert_eq!(host.beat(first("b", &["u"])), Err(Refusal::StateTooLarge));
    let less = ConsumerHeartbeatRequest { topics: Some(vec!["u".into()]), ..beat("a", 2) };
    assert_eq!(host.beat(less), Ok((2, Some(vec![]))), "it may read less");
    assert_eq!(host.beat(owning("a", 2, &[])), Ok((3, Some(vec![(U, vec![0, 1])]))));
}

#[test]
fn patterns_are_counted() {
    let mut options = options();
    options.consumer.size_max = 1000;
    let mut host = Host::with(options);
    host.set_topics(&[("t", 1, 1)]);
    for number in 0..GROUP_PATTERNS_MAX {
        host.beat(by_pattern(&format!("m{number}"), &format!("p{number}"))).unwrap();
    }
    assert_eq!(host.beat(by_pattern("x", "new")), Err(Refusal::TooManyPatterns));
    host.beat(by_pattern("x", "p7")).unwrap();
    host.beat(by_pattern("m3", "new")).unwrap();
}

/// A pattern that stands for too many topics to be written down keeps those that it had.
#[test]
fn a_pattern_that_grows_too_large_stays_as_it_is() {
    let mut host = host();
    let both = vec![(T, vec![0, 1, 2, 3]), (U, vec![0, 1])];
    assert_eq!(host.beat(by_pattern("a", ".*")), Ok((1, Some(both))));
    let name: &'static str = "x".repeat(GROUP_ENTRY_BYTES_MAX).leak();
    host.set_topics(&[("t", 1, 4), ("u", 2, 2), (name, 3, 1)]);
    host.pass(Duration::from_secs(10));
    assert_eq!(host.beat(beat("a", 1)), Ok((1, None)));
    assert_eq!(host.beat(by_pattern("b", ".+")), Err(Refusal::StateTooLarge));
}
