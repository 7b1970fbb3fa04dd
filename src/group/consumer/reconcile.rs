//! A member's way from what it has to what it shall have: it gives up first, and gets what others
//! have given up.

use std::collections::BTreeMap;

use crate::ids::TopicId;

use super::entry::{Current, MemberState, Owned, Partitions};

/// A member's next step towards its target.
pub(super) struct Step<'a> {
    /// What it has.
    pub current: &'a Current,
    /// What it shall have.
    pub target: &'a Partitions,
    /// The epoch of the target.
    pub target_epoch: i32,
    /// What the member says it owns; `None` if it does not say.
    pub owned: Option<&'a Partitions>,
    /// Whether somebody else has a partition.
    pub taken: &'a dyn Fn(TopicId, i32) -> bool,
}

impl Step<'_> {
    /// What the member has from now on.
    pub(super) fn take(&self) -> Current {
        match self.current.state {
            MemberState::Stable if self.current.epoch == self.target_epoch => self.current.clone(),
            MemberState::Unrevoked if self.still_owns(&self.current.revoking) => {
                self.current.clone()
            }
            _ => self.next(),
        }
    }

    /// As long as a member does not say that it has given partitions up, it may use them.
    fn still_owns(&self, revoking: &Owned) -> bool {
        let Some(owned) = self.owned else { return true };
        revoking.iter().any(|(topic, partitions)| {
            let owned = owned.get(topic);
            owned.is_some_and(|owned| partitions.keys().any(|index| owned.contains(index)))
        })
    }

    fn next(&self) -> Current {
        let current = self.current;
        let wanted = |topic: &TopicId, index: &i32| {
            self.target.get(topic).is_some_and(|partitions| partitions.contains(index))
        };
        let part = |keep: bool| {
            let topics = current.assigned.iter().filter_map(|(topic, partitions)| {
                let part: BTreeMap<i32, i32> = partitions
                    .iter()
                    .filter(|(index, _)| wanted(topic, index) == keep)
                    .map(|(index, epoch)| (*index, *epoch))
                    .collect();
                (!part.is_empty()).then_some((*topic, part))
            });
            topics.collect::<Owned>()
        };
        let (mut assigned, revoking) = (part(true), part(false));
        if !revoking.is_empty() && self.still_owns(&revoking) {
            return Current {
                epoch: current.epoch,
                previous_epoch: current.epoch,
                state: MemberState::Unrevoked,
                assigned,
                revoking,
            };
        }
        let mut state = MemberState::Stable;
        for (topic, partitions) in self.target {
            for index in partitions {
                if assigned.get(topic).is_some_and(|assigned| assigned.contains_key(index)) {
                    continue;
                }
                if (self.taken)(*topic, *index) {
                    state = MemberState::Unreleased;
                } else {
                    assigned.entry(*topic).or_default().insert(*index, self.target_epoch);
                }
            }
        }
        let moved = current.epoch != self.target_epoch || current.assigned != assigned;
        Current {
            epoch: self.target_epoch,
            // Where nothing moves the step is none, and is not written down.
            previous_epoch: if moved { current.epoch } else { current.previous_epoch },
            state,
            assigned,
            revoking: Owned::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: TopicId = TopicId([1; 16]);

    fn owned(partitions: &[(i32, i32)]) -> Owned {
        let partitions: BTreeMap<_, _> = partitions.iter().copied().collect();
        if partitions.is_empty() { Owned::new() } else { Owned::from([(TOPIC, partitions)]) }
    }

    fn set(partitions: &[i32]) -> Partitions {
        match partitions {
            [] => Partitions::new(),
            _ => Partitions::from([(TOPIC, partitions.iter().copied().collect())]),
        }
    }

    fn current(
        epochs: (i32, i32),
        state: MemberState,
        assigned: &[(i32, i32)],
        revoking: &[(i32, i32)],
    ) -> Current {
        Current {
            epoch: epochs.0,
            previous_epoch: epochs.1,
            state,
            assigned: owned(assigned),
            revoking: owned(revoking),
        }
    }

    fn step(
        current: &Current,
        target: (i32, &[i32]),
        said: Option<&[i32]>,
        taken: &[i32],
    ) -> Current {
        let (target, target_epoch) = (set(target.1), target.0);
        let owned = said.map(set);
        let taken = |_, index| taken.contains(&index);
        let step =
            Step { current, target: &target, target_epoch, owned: owned.as_ref(), taken: &taken };
        step.take()
    }

    use MemberState::{Stable, Unreleased, Unrevoked};

    #[test]
    fn a_member_that_is_there_stays() {
        let there = current((5, 4), Stable, &[(0, 3)], &[]);
        assert_eq!(step(&there, (5, &[0]), None, &[]), there);
        assert_eq!(step(&there, (5, &[0]), Some(&[0]), &[]), there);
    }

    #[test]
    fn what_is_free_is_given_at_once() {
        let joined = step(&Current::default(), (1, &[0, 1]), Some(&[]), &[]);
        assert_eq!(joined, current((1, 0), Stable, &[(0, 1), (1, 1)], &[]));
        let same = step(&joined, (2, &[0, 1]), None, &[]);
        assert_eq!(same, current((2, 1), Stable, &[(0, 1), (1, 1)], &[]));
    }

    #[test]
    fn giving_up_comes_before_getting() {
        let before = current((1, 0), Stable, &[(0, 1), (1, 1)], &[]);
        let told = step(&before, (2, &[1, 2]), None, &[]);
        assert_eq!(told, current((1, 1), Unrevoked, &[(1, 1)], &[(0, 1)]));
        assert_eq!(step(&told, (2, &[1, 2]), None, &[]), told, "it does not say");
        assert_eq!(step(&told, (2, &[1, 2]), Some(&[0, 1]), &[]), told, "not yet");
        let done = step(&told, (2, &[1, 2]), Some(&[1]), &[]);
        assert_eq!(done, current((2, 1), Stable, &[(1, 1), (2, 2)], &[]));
        let more = step(&told, (3, &[2]), Some(&[1]), &[]);
        assert_eq!(more, current((1, 1), Unrevoked, &[], &[(1, 1)]), "the target has moved on");
        let less = step(&before, (2, &[1]), Some(&[1]), &[]);
        assert_eq!(less, current((2, 1), Stable, &[(1, 1)], &[]), "it had given it up already");
    }

    #[test]
    fn what_others_have_is_waited_for() {
        let waits = step(&Current::default(), (3, &[0, 1]), Some(&[]), &[1]);
        assert_eq!(waits, current((3, 0), Unreleased, &[(0, 3)], &[]));
        assert_eq!(step(&waits, (3, &[0, 1]), None, &[1]), waits);
        let more = step(&waits, (4, &[0, 1]), None, &[1]);
        assert_eq!(more, current((4, 3), Unreleased, &[(0, 3)], &[]));
        let there = step(&more, (4, &[0, 1]), None, &[]);
        assert_eq!(there, current((4, 4), Stable, &[(0, 3), (1, 4)], &[]));
        let away = step(&waits, (4, &[1]), None, &[1]);
        assert_eq!(away, current((3, 3), Unrevoked, &[], &[(0, 3)]));
    }
}
