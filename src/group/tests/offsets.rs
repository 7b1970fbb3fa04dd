//! Committed offsets: kept, found, forgotten.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn fetch(host: &mut Host, topics: Option<Topics<i32>>) -> Vec<(String, i32, Option<i64>)> {
    let request = FetchOffsetsRequest { group: GROUP.into(), member: None, topics };
    let Reply::Offsets(Ok(offsets)) = host.call(Request::FetchOffsets(request)) else {
        panic!("offsets are refused")
    };
    let mut found = Vec::new();
    for (topic, offsets) in offsets {
        for FetchedOffset { partition, committed } in offsets {
            if let Some((_, leader_epoch, metadata)) = &committed {
                assert_eq!((*leader_epoch, &**metadata), (4, "note"));
            }
            found.push((topic.to_string(), partition, committed.map(|(offset, ..)| offset)));
        }
    }
    found
}

fn committed(host: &mut Host, offsets: &[(&str, i32, i64)]) {
    let reply = host.call(Request::Commit(commit("", -1, offsets)));
    assert_eq!(reply, Reply::Commit(Ok(vec![Ok(()); offsets.len()])));
}

#[test]
fn anyone_commits_for_a_group_without_members() {
    let mut host = Host::new();
    committed(&mut host, &[("t", 0, 5), ("t", 1, 6), ("u", 0, 7)]);
    committed(&mut host, &[("t", 1, 9)]);
    let all = [("t".into(), 0, Some(5)), ("t".into(), 1, Some(9)), ("u".into(), 0, Some(7))];
    assert_eq!(fetch(&mut host, None), all);
    host.crash();
    assert_eq!(fetch(&mut host, None), all);
    let asked = vec![("u".into(), vec![1, 0]), ("v".into(), vec![3])];
    let found = [("u".into(), 1, None), ("u".into(), 0, Some(7)), ("v".into(), 3, None)];
    assert_eq!(fetch(&mut host, Some(asked)), found);
    let described = host.describe().unwrap();
    assert_eq!((described.state, &*described.protocol_type), (GroupState::Empty, ""));
}

#[test]
fn offsets_of_a_group_that_never_had_members_go_by_their_commits() {
    let mut host = Host::new();
    committed(&mut host, &[("t", 0, 5)]);
    host.pass(HOUR / 2);
    committed(&mut host, &[("t", 1, 6)]);
    host.pass(HOUR / 2 + Duration::from_secs(600));
    assert_eq!(fetch(&mut host, None), [("t".into(), 1, Some(6))]);
    host.pass(HOUR);
    assert_eq!(host.describe().unwrap_err(), Refusal::GroupNotFound);
    host.crash();
    assert_eq!(host.coordinator.list().count(), 0);
}

#[test]
fn offsets_are_kept_while_there_are_members_and_a_while_longer() {
    let mut host = Host::new();
    let joined = host.stable();
    let offsets = [("t", 0, 5), ("u", 0, 6)];
    let request = commit(&joined.member, joined.generation, &offsets);
    assert_eq!(host.call(Request::Commit(request)), Reply::Commit(Ok(vec![Ok(()), Ok(())])));
    for _ in 0..1000 {
        host.pass(Duration::from_secs(8));
        assert_eq!(host.heartbeat(&joined), Ok(()));
    }
    // The members read t only; u they have left behind.
    assert_eq!(fetch(&mut host, None), [("t".into(), 0, Some(5))]);
    assert_eq!(host.call(leave(&[(&joined.member, None)])), Reply::Leave(Ok(vec![Ok(())])));
    host.pass(HOUR - Duration::from_secs(1));
    assert_eq!(fetch(&mut host, None), [("t".into(), 0, Some(5))]);
    host.pass(Duration::from_secs(601));
    assert_eq!(fetch(&mut host, None), []);
    assert_eq!(host.describe().unwrap_err(), Refusal::GroupNotFound);
}

#[test]
fn an_old_client_says_itself_how_long() {
    let mut host = Host::new();
    let mut request = commit("", -1, &[("t", 0, 5)]);
    request.retention_ms = Some(60_000);
    assert_eq!(host.call(Request::Commit(request)), Reply::Commit(Ok(vec![Ok(())])));
    let kept = |entry: &LogEntry| match entry {
        LogEntry::Offset { committed: Some(committed), .. } => committed.expires,
        _ => None,
    };
    assert_eq!(host.log.iter().find_map(kept), Some(Timestamp(1_060_000)));
    host.pass(Duration::from_secs(600));
    assert_eq!(host.describe().unwrap_err(), Refusal::GroupNotFound);
}

#[test]
fn a_group_is_deleted_with_its_offsets() {
    let mut host = Host::new();
    let joined = host.stable();
    let request = commit(&joined.member, joined.generation, &[("t", 0, 5)]);
    assert_eq!(host.call(Request::Commit(request)), Reply::Commit(Ok(vec![Ok(())])));
    host.call(leave(&[(&joined.member, None)]));
    assert_eq!(host.call(Request::Delete(GROUP.into())), Reply::Deleted(Ok(())));
    assert_eq!(fetch(&mut host, None), []);
    let last: Vec<_> = host.log.iter().rev().take(2).cloned().collect();
    assert_eq!(last[0], LogEntry::Group { group: GROUP.into(), value: None });
    assert!(matches!(&last[1], LogEntry::Offset { committed: None, .. }));
    host.crash();
    assert_eq!(host.describe().unwrap_err(), Refusal::GroupNotFound);
}

#[test]
fn offsets_of_topics_that_nobody_reads_can_be_deleted() {
    let mut host = Host::new();
    let joined = host.stable();
    let request = commit(&joined.member, joined.generation, &[("t", 0, 5), ("u", 1, 6)]);
    host.call(Request::Commit(request));
    let topics = vec![("t".into(), vec![0]), ("u".into(), vec![1, 2])];
    let request = DeleteOffsetsRequest { group: GROUP.into(), topics };
    let deleted = vec![Err(Refusal::SubscribedToTopic), Ok(()), Ok(())];
    assert_eq!(
        host.call(Request::DeleteOffsets(request.clone())),
        Reply::OffsetsDeleted(Ok(deleted))
    );
    assert_eq!(fetch(&mut host, None), [("t".into(), 0, Some(5))]);
    host.call(leave(&[(&joined.member, None)]));
    let deleted = Reply::OffsetsDeleted(Ok(vec![Ok(()), Ok(()), Ok(())]));
    assert_eq!(host.call(Request::DeleteOffsets(request)), deleted);
    assert_eq!(fetch(&mut host, None), []);
}

#[test]
fn a_group_of_another_kind_keeps_its_offsets_while_it_has_members() {
    let mut host = Host::new();
    let ticket = host.join(JoinRequest { protocol_type: "connect".into(), ..join("") });
    host.pass(Duration::from_secs(3));
    assert!(host.joined(ticket).is_ok());
    let request = DeleteOffsetsRequest { group: GROUP.into(), topics: Vec::new() };
    let refused = Reply::OffsetsDeleted(Err(Refusal::NonEmptyGroup));
    assert_eq!(host.call(Request::DeleteOffsets(request)), refused);
}

#[test]
fn offsets_go_with_their_topic() {
    let mut host = Host::new();
    committed(&mut host, &[("t", 0, 5), ("u", 0, 6)]);
    host.coordinator.forget_topics_gone(&|topic| topic == "u");
    host.collect();
    assert_eq!(fetch(&mut host, None), [("u".into(), 0, Some(6))]);
    host.crash();
    assert_eq!(fetch(&mut host, None), [("u".into(), 0, Some(6))]);
}
