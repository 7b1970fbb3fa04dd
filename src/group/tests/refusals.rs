//! What bad requests get, and that nobody else feels them.

use super::*;

fn refusal_of(reply: Reply) -> Option<Refusal> {
    match reply {
        Reply::Join(joined) => joined.err().map(|refused| refused.refusal),
        Reply::Sync(synced) => synced.err(),
        Reply::Heartbeat(alive) => alive.err(),
        Reply::Leave(left) => left.map(|left| left[0].err()).unwrap_or_else(Some),
        Reply::Commit(done) | Reply::OffsetsDeleted(done) => {
            done.map(|done| done[0].err()).unwrap_or_else(Some)
        }
        Reply::Offsets(offsets) => offsets.err(),
        Reply::Described(described) => described.err(),
        Reply::Deleted(deleted) => deleted.err(),
        Reply::ConsumerHeartbeat(stands) => stands.err(),
        Reply::ConsumersDescribed(described) => described.err(),
    }
}

#[test]
fn a_stable_group_refuses_what_is_not_right() {
    let mut host = Host::new();
    let joined = host.stable();
    let (member, generation) = (&*joined.member, joined.generation);
    let with_instance = |id: &str| MemberClaim { id: id.into(), instance: Some("i".into()) };
    let long = "x".repeat(4097);
    let mut noted = commit(member, generation, &[("t", 0, 1)]);
    noted.topics[0].1[0].metadata = long.into();
    let delete = |topic: &str| {
        let topics = vec![(topic.into(), vec![0])];
        Request::DeleteOffsets(DeleteOffsetsRequest { group: GROUP.into(), topics })
    };
    let of_other_group =
        |request: HeartbeatRequest| HeartbeatRequest { group: "h".into(), ..request };
    let table = [
        // Members nobody knows.
        (Request::Join(join("nobody")), Refusal::UnknownMember),
        (
            Request::Sync(SyncRequest { member: MemberClaim::default(), ..sync(&joined, &[]) }),
            Refusal::UnknownMember,
        ),
        (Request::Heartbeat(heartbeat("nobody", generation)), Refusal::UnknownMember),
        (Request::Heartbeat(of_other_group(heartbeat(member, generation))), Refusal::UnknownMember),
        (leave(&[("nobody", None)]), Refusal::UnknownMember),
        (leave(&[("", Some("i"))]), Refusal::UnknownMember),
        (leave(&[("", None)]), Refusal::UnknownMember),
        (Request::Commit(commit("nobody", generation, &[("t", 0, 1)])), Refusal::UnknownMember),
        (Request::Commit(commit("", -1, &[("t", 0, 1)])), Refusal::UnknownMember),
        (
            Request::Heartbeat(HeartbeatRequest {
                member: with_instance(member),
                ..heartbeat("", generation)
            }),
            Refusal::UnknownMember,
        ),
        // Generations that are over, or have not begun.
        (Request::Heartbeat(heartbeat(member, generation - 1)), Refusal::IllegalGeneration),
        (Request::Heartbeat(heartbeat(member, generation + 1)), Refusal::IllegalGeneration),
        (
            Request::Sync(SyncRequest { generation: generation + 1, ..sync(&joined, &[]) }),
            Refusal::IllegalGeneration,
        ),
        (
            Request::Commit(commit(member, generation - 1, &[("t", 0, 1)])),
            Refusal::IllegalGeneration,
        ),
        (Request::Commit(commit(member, -1, &[("t", 0, 1)])), Refusal::IllegalGeneration),
        // Protocols that do not go together.
        (
            Request::Join(JoinRequest { protocol_type: "connect".into(), ..join("") }),
            Refusal::InconsistentProtocol,
        ),
        (
            Request::Join(JoinRequest {
                protocols: vec![("other".into(), Bytes::new())],
                ..join("")
            }),
            Refusal::InconsistentProtocol,
        ),
        (
            Request::Join(JoinRequest { protocols: Vec::new(), ..join("") }),
            Refusal::InconsistentProtocol,
        ),
        (
            Request::Sync(SyncRequest { protocol: Some("other".into()), ..sync(&joined, &[]) }),
            Refusal::InconsistentProtocol,
        ),
        (
            Request::Sync(SyncRequest {
                protocol_type: Some("connect".into()),
                ..sync(&joined, &[])
            }),
            Refusal::InconsistentProtocol,
        ),
        // Sessions too short or too long.
        (
            Request::Join(JoinRequest { session_timeout_ms: 5_999, ..join("") }),
            Refusal::InvalidSessionTimeout,
        ),
        (
            Request::Join(JoinRequest { session_timeout_ms: 1_800_001, ..join("") }),
            Refusal::InvalidSessionTimeout,
        ),
        (
            Request::Join(JoinRequest { session_timeout_ms: -1, ..join("") }),
            Refusal::InvalidSessionTimeout,
        ),
        // Offsets.
        (Request::Commit(noted), Refusal::MetadataTooLarge),
        (delete("t"), Refusal::SubscribedToTopic),
        // Groups.
        (Request::Delete(GROUP.into()), Refusal::NonEmptyGroup),
        (Request::Delete("h".into()), Refusal::GroupNotFound),
        (Request::Describe("h".into()), Refusal::GroupNotFound),
    ];
    let before = host.describe();
    let written = host.log.len();
    for (request, refusal) in table {
        assert_eq!(refusal_of(host.call(request.clone())), Some(refusal), "{request:?}");
    }
    assert_eq!(host.describe(), before);
    assert_eq!(host.heartbeat(&joined), Ok(()));
    assert_eq!(host.log.len(), written, "nothing is written of it");
}

#[test]
fn groups_that_do_not_exist() {
    let mut host = Host::new();
    let delete = DeleteOffsetsRequest { group: GROUP.into(), topics: Vec::new() };
    let nobody = Joined {
        generation: 1,
        protocol_type: None,
        protocol: None,
        leader: None,
        skip_assignment: false,
        member: "nobody".into(),
        members: Vec::new(),
    };
    for (request, refusal) in [
        (Request::Join(join("nobody")), Refusal::UnknownMember),
        (
            Request::Join(JoinRequest { protocol_type: "".into(), ..join("") }),
            Refusal::InconsistentProtocol,
        ),
        (Request::Sync(sync(&nobody, &[])), Refusal::UnknownMember),
        (Request::Heartbeat(heartbeat("nobody", 1)), Refusal::UnknownMember),
        (leave(&[("nobody", None)]), Refusal::UnknownMember),
        (Request::Commit(commit("nobody", 1, &[("t", 0, 1)])), Refusal::GroupNotFound),
        (Request::DeleteOffsets(delete), Refusal::GroupNotFound),
    ] {
        assert_eq!(refusal_of(host.call(request.clone())), Some(refusal), "{request:?}");
    }
    assert_eq!(host.coordinator.list().count(), 0);
    assert!(host.log.is_empty());
}

#[test]
fn while_the_assignment_is_not_there() {
    let mut host = Host::new();
    let ticket = host.join(join(""));
    host.pass(Duration::from_secs(3));
    let joined = host.joined(ticket).unwrap();
    let request = commit(&joined.member, joined.generation, &[("t", 0, 1)]);
    let refused = Reply::Commit(Err(Refusal::RebalanceInProgress));
    assert_eq!(host.call(Request::Commit(request)), refused);
    // In the first step of a rebalance it may still commit what it has read.
    let synced = host.sync(&joined, &[]);
    assert!(host.assignment(synced).is_ok());
    let _other = host.join(join(""));
    let request = commit(&joined.member, joined.generation, &[("t", 0, 1)]);
    assert_eq!(host.call(Request::Commit(request)), Reply::Commit(Ok(vec![Ok(())])));
    let synced = host.sync(&joined, &[]);
    assert_eq!(host.assignment(synced), Err(Refusal::RebalanceInProgress));
}

#[test]
fn a_group_has_so_many_members_and_no_more() {
    let mut host = Host::with(GroupOptions { size_max: 2, ..options() });
    let tickets: Vec<_> = (0..3).map(|_| host.join(join(""))).collect();
    assert_eq!(host.joined(tickets[2]).unwrap_err().refusal, Refusal::GroupFull);
    host.pass(Duration::from_secs(6));
    let joined = host.joined(tickets[0]).unwrap();
    assert!(host.joined(tickets[1]).is_ok());
    // Those who are in it come back as they like.
    let again = host.join(join(&joined.member));
    assert_eq!(host.joined(again).unwrap().generation, 1);
    let late = host.join(join(""));
    assert_eq!(host.joined(late).unwrap_err().refusal, Refusal::GroupFull);
}

#[test]
fn a_state_that_fits_no_record_is_not_stored() {
    let mut host = Host::new();
    let ticket = host.join(join(""));
    host.pass(Duration::from_secs(3));
    let joined = host.joined(ticket).unwrap();
    let large = "x".repeat(crate::limits::GROUP_ENTRY_BYTES_MAX);
    let synced = host.sync(&joined, &[(&joined.member, &large)]);
    assert_eq!(host.assignment(synced), Err(Refusal::StateTooLarge));
    assert_eq!(host.state(), GroupState::PreparingRebalance);
    assert_eq!(host.heartbeat(&joined), Err(Refusal::RebalanceInProgress));
}
