//! Members that come, go, crash and come back.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_members_share_and_one_leads() {
    let mut host = Host::new();
    let first = host.join(join(""));
    host.pass(SECOND);
    let second = host.join(join(""));
    assert_eq!(host.reply(first), None);
    // The second one made the first rebalance wait for others as long again.
    host.pass(3 * SECOND);
    assert_eq!(host.reply(first), None);
    host.pass(2 * SECOND);
    let first = host.joined(first).unwrap();
    let second = host.joined(second).unwrap();
    assert_eq!((first.generation, second.generation), (1, 1));
    assert_eq!(first.leader, second.leader);
    let (leader, follower) =
        if first.members.is_empty() { (second, first) } else { (first, second) };
    assert_eq!(leader.leader.as_deref(), Some(&*leader.member));
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    assert_eq!(leader.members[0].metadata, subscription(&["t"]));
    assert_eq!(host.state(), GroupState::CompletingRebalance);

    let waiting = host.sync(&follower, &[]);
    assert_eq!(host.reply(waiting), None);
    let assignments = [(&*leader.member, "a"), (&*follower.member, "b")];
    let assigned = host.sync(&leader, &assignments);
    assert_eq!(host.assignment(assigned).unwrap(), "a");
    assert_eq!(host.assignment(waiting).unwrap(), "b");
    assert_eq!(host.state(), GroupState::Stable);

    // One leaves: the other is told by its heartbeat, and gets everything in the next generation.
    assert_eq!(host.call(leave(&[(&follower.member, None)])), Reply::Leave(Ok(vec![Ok(())])));
    assert_eq!(host.heartbeat(&leader), Err(Refusal::RebalanceInProgress));
    let again = host.join(join(&leader.member));
    let again = host.joined(again).unwrap();
    assert_eq!((again.generation, again.members.len()), (2, 1));
}

#[test]
fn a_new_member_comes_back_with_the_id_it_is_given() {
    let mut host = Host::new();
    let request = JoinRequest { needs_known_id: true, ..join("") };
    let ticket = host.join(request.clone());
    let Err(JoinRefused { refusal: Refusal::MemberIdRequired, member }) = host.joined(ticket)
    else {
        panic!("it is let in without an id")
    };
    assert!(member.starts_with("client-") && member.len() == "client-".len() + 36, "{member}");
    assert_eq!(host.state(), GroupState::Empty);
    let ticket = host.join(JoinRequest { needs_known_id: true, ..join(&member) });
    host.pass(3 * SECOND);
    let joined = host.joined(ticket).unwrap();
    assert_eq!(joined.member, member);
    let synced = host.sync(&joined, &[]);
    assert!(host.assignment(synced).is_ok());

    // One that does not come back holds nobody up for longer than its session.
    let other = host.join(request);
    assert!(host.joined(other).is_err());
    let rejoin = host.join(join(&member));
    assert_eq!(host.reply(rejoin), None);
    host.pass(10 * SECOND);
    assert_eq!(host.joined(rejoin).unwrap().generation, 2);
}

#[test]
fn a_member_that_is_silent_is_gone_after_its_session() {
    let mut host = Host::new();
    let joined = host.stable();
    for _ in 0..5 {
        host.pass(6 * SECOND);
        assert_eq!(host.heartbeat(&joined), Ok(()));
    }
    host.pass(9 * SECOND);
    assert_eq!(host.state(), GroupState::Stable);
    host.pass(SECOND);
    assert_eq!(host.state(), GroupState::Empty);
    assert_eq!(host.heartbeat(&joined), Err(Refusal::UnknownMember));
    // The empty generation is written down.
    host.crash();
    let described = host.describe().unwrap();
    assert_eq!((described.state, &*described.protocol_type), (GroupState::Empty, "consumer"));
}

#[test]
fn a_commit_keeps_a_member_alive() {
    let mut host = Host::new();
    let joined = host.stable();
    for offset in 0..3 {
        host.pass(9 * SECOND);
        let request = commit(&joined.member, joined.generation, &[("t", 0, offset)]);
        assert_eq!(host.call(Request::Commit(request)), Reply::Commit(Ok(vec![Ok(())])));
    }
    assert_eq!(host.state(), GroupState::Stable);
}

#[test]
fn who_does_not_rejoin_in_time_is_out() {
    let mut host = Host::new();
    let slow = host.stable();
    let quick = host.join(join(""));
    // The slow one sends heartbeats, and never joins.
    for _ in 0..11 {
        host.pass(5 * SECOND);
        assert_eq!(host.heartbeat(&slow), Err(Refusal::RebalanceInProgress));
        assert_eq!(host.reply(quick), None);
    }
    host.pass(5 * SECOND);
    let quick = host.joined(quick).unwrap();
    assert_eq!((quick.generation, quick.members.len()), (2, 1));
    assert_eq!(host.heartbeat(&slow), Err(Refusal::UnknownMember));
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    let mut host = Host::new();
    let first = host.join(join(""));
    let second = host.join(join(""));
    host.pass(6 * SECOND);
    let (first, second) = (host.joined(first).unwrap(), host.joined(second).unwrap());
    let (leader, silent) = if first.members.is_empty() { (second, first) } else { (first, second) };
    let waiting = host.sync(&leader, &[(&leader.member, "a")]);
    assert_eq!(host.assignment(waiting).unwrap(), "a");
    for _ in 0..11 {
        host.pass(5 * SECOND);
        assert_eq!(host.heartbeat(&leader), Ok(()));
        assert_eq!(host.heartbeat(&silent), Ok(()));
    }
    host.pass(5 * SECOND);
    assert_eq!(host.heartbeat(&leader), Err(Refusal::RebalanceInProgress));
    assert_eq!(host.heartbeat(&silent), Err(Refusal::UnknownMember));
}

#[test]
fn a_new_member_that_goes_unheard_is_not_waited_for_for_ever() {
    let mut host = Host::new();
    let busy = host.stable();
    let _dead = host.join(JoinRequest { rebalance_timeout_ms: 3_600_000, ..join("") });
    for _ in 0..61 {
        host.pass(5 * SECOND);
        assert_eq!(host.heartbeat(&busy), Err(Refusal::RebalanceInProgress));
    }
    let again = host.join(join(&busy.member));
    assert_eq!(host.joined(again).unwrap().members.len(), 1);
}

#[test]
fn a_join_that_is_sent_again_frees_the_first_one() {
    let mut host = Host::new();
    let first = host.join(static_join("i"));
    host.pass(3 * SECOND);
    let joined = host.joined(first).unwrap();
    let other = host.join(join(""));
    let once = host.join(join(&joined.member));
    assert_eq!(host.joined(once).unwrap().members.len(), 2);
    let other = host.joined(other).unwrap();
    // A rebalance that waits for the other one.
    let again = host.join(JoinRequest {
        protocols: vec![("range".into(), "new".into())],
        ..join(&joined.member)
    });
    assert_eq!(host.reply(again), None);
    let and_again = host.join(join(&joined.member));
    assert_eq!(host.joined(again).unwrap_err().refusal, Refusal::RebalanceInProgress);
    let rest = host.join(join(&other.member));
    assert_eq!(host.joined(and_again).unwrap().generation, host.joined(rest).unwrap().generation);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let mut host = Host::new();
    let ticket = host.join(static_join("i"));
    host.pass(3 * SECOND);
    let before = host.joined(ticket).unwrap();
    let synced = host.sync(&before, &[(&before.member, "all")]);
    assert_eq!(host.assignment(synced).unwrap(), "all");

    let ticket = host.join(static_join("i"));
    let after = host.joined(ticket).unwrap();
    assert_ne!(before.member, after.member);
    assert_eq!((after.generation, after.skip_assignment), (before.generation, true));
    assert_eq!(after.members.len(), 1);
    let synced = host.sync(&after, &[]);
    assert_eq!(host.assignment(synced).unwrap(), "all");

    // The one before it is fenced, whatever it asks.
    let claim = MemberClaim { id: (*before.member).into(), instance: Some("i".into()) };
    let request = HeartbeatRequest { member: claim.clone(), ..heartbeat("", before.generation) };
    let fenced = Reply::Heartbeat(Err(Refusal::FencedInstance));
    assert_eq!(host.call(Request::Heartbeat(request)), fenced);
    let request = CommitRequest { member: claim, ..commit("", before.generation, &[("t", 0, 1)]) };
    assert_eq!(host.call(Request::Commit(request)), Reply::Commit(Err(Refusal::FencedInstance)));

    // The new id is written down.
    host.crash();
    assert_eq!(host.heartbeat(&after), Ok(()));
    // An older client is told that the old id leads, so that it leaves the assignment alone.
    let request = JoinRequest { may_skip_assignment: false, ..static_join("i") };
    let ticket = host.join(request);
    let old_client = host.joined(ticket).unwrap();
    assert_eq!(old_client.leader, Some(after.member));
    assert!(old_client.members.is_empty() && !old_client.skip_assignment);
    // An administrator sends it away by its instance.
    assert_eq!(host.call(leave(&[("", Some("i"))])), Reply::Leave(Ok(vec![Ok(())])));
    assert_eq!(host.state(), GroupState::Empty);
}

#[test]
fn a_static_member_that_waits_is_fenced_by_its_successor() {
    let mut host = Host::new();
    let first = host.join(static_join("i"));
    let second = host.join(static_join("i"));
    let refused = host.joined(first).unwrap_err();
    assert_eq!(refused.refusal, Refusal::FencedInstance);
    host.pass(6 * SECOND);
    assert_eq!(host.joined(second).unwrap().members.len(), 1);
}

#[test]
fn the_protocol_is_one_that_all_know() {
    let protocols = |names: &[&str]| {
        names.iter().map(|name| ((*name).into(), Bytes::from_static(b"m"))).collect::<Vec<_>>()
    };
    let mut host = Host::new();
    let asked = [&["a", "b", "c"][..], &["c", "b"], &["b", "c"]];
    let tickets: Vec<_> = asked
        .iter()
        .map(|names| host.join(JoinRequest { protocols: protocols(names), ..join("") }))
        .collect();
    host.pass(6 * SECOND);
    for ticket in tickets {
        // Two of them like b better than c; a is not for all.
        assert_eq!(host.joined(ticket).unwrap().protocol.as_deref(), Some("b"));
    }
}

#[test]
fn a_group_survives_a_crash_with_members_and_assignments() {
    let mut host = Host::new();
    let joined = host.stable();
    let before = host.describe();
    host.crash();
    assert_eq!(host.describe(), before);
    assert_eq!(host.heartbeat(&joined), Ok(()));
    let synced = host.sync(&joined, &[]);
    assert_eq!(host.assignment(synced).unwrap(), "all");
    // And it is waited for as long as any.
    host.pass(10 * SECOND);
    assert_eq!(host.state(), GroupState::Empty);
}

#[test]
fn replies_wait_for_what_they_tell_of() {
    let mut host = Host::new();
    let ticket = host.join(join(""));
    host.pass(3 * SECOND);
    let joined = host.joined(ticket).unwrap();
    let synced = host.sync(&joined, &[(&joined.member, "all")]);
    assert!(host.replies.is_empty());
    // Not durable: the crash takes it, and nobody was told.
    host.crash();
    assert_eq!(host.reply(synced), None);
    assert_eq!(host.state(), GroupState::Empty);
}

#[test]
fn when_the_coordinator_resigns_nobody_waits_on() {
    let mut host = Host::new();
    let _stable = host.stable();
    let waiting = host.join(join(""));
    assert_eq!(host.reply(waiting), None);
    let commit = host.ask(Request::Commit(commit("", -1, &[("t", 0, 1)])));
    assert!(host.held.iter().any(|(_, ticket, _)| *ticket == commit));
    let coordinator =
        std::mem::replace(&mut host.coordinator, Coordinator::new(host.options.clone(), 9));
    let replies = coordinator.resign(Refusal::NotCoordinator);
    let tickets: Vec<_> = replies.iter().map(|(ticket, _)| *ticket).collect();
    assert_eq!(tickets, [waiting]);
    let Reply::Join(Err(refused)) = &replies[0].1 else { panic!("it is let in") };
    assert_eq!(refused.refusal, Refusal::NotCoordinator);
}
