//! The broker's assignors: who shall read what.
//!
//! Both keep as much as they can of what was assigned before. `range` gives every subscriber of a
//! topic nearly the same number of its partitions, neighbours where it can, so that topics with as
//! many partitions are read alike; `uniform` gives every member nearly the same number of all.

use std::collections::{BTreeMap, BTreeSet};

use crate::group::MemberId;
use crate::ids::TopicId;

use super::entry::Partitions;

/// An assignor, by the name that clients ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// `uniform`
    Uniform,
    /// `range`
    Range,
}

impl Assignor {
    /// Kafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Assignor> {
        [Assignor::Uniform, Assignor::Range].into_iter().find(|assignor| assignor.name() == name)
    }
}

/// A member as assignors see it.
#[derive(Clone, Debug)]
pub(super) struct Subscriber {
    pub id: MemberId,
    /// Topics that exist.
    pub topics: BTreeSet<TopicId>,
    /// What it was assigned before. After a crash in the middle of an assignment, others may have
    /// been assigned some of it too; the first one keeps it.
    pub had: Partitions,
}

/// What each of `members` shall have, in their order. `counts` are the partitions of every topic
/// that one of them subscribes to.
pub(super) fn assign(
    assignor: Assignor,
    members: &[Subscriber],
    counts: &BTreeMap<TopicId, i32>,
) -> Vec<Partitions> {
    let alike = members.windows(2).all(|pair| match pair {
        [one, other] => one.topics == other.topics,
        _ => true,
    });
    match assignor {
        Assignor::Range => range(members, counts),
        Assignor::Uniform if alike => uniform(members, counts),
        Assignor::Uniform => balanced(members, counts),
    }
}

/// Indexes of the subscribers of each topic.
fn subscribers(members: &[Subscriber]) -> BTreeMap<TopicId, Vec<usize>> {
    let mut subscribers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        for topic in &member.topics {
            subscribers.entry(*topic).or_default().push(index);
        }
    }
    subscribers
}

/// The partitions of a topic, if it exists, that are among those.
fn kept(had: &Partitions, topic: TopicId, count: i32) -> impl Iterator<Item = i32> {
    had.get(&topic).into_iter().flatten().copied().filter(move |index| (0..count).contains(index))
}

fn range(members: &[Subscriber], counts: &BTreeMap<TopicId, i32>) -> Vec<Partitions> {
    let mut assigned = vec![Partitions::new(); members.len()];
    for (topic, readers) in subscribers(members) {
        let count = counts.get(&topic).copied().unwrap_or(0);
        let partitions = usize::try_from(count).unwrap_or(0);
        let (least, mut extra) = (partitions / readers.len(), partitions % readers.len());
        let mut free: BTreeSet<i32> = (0..count).collect();
        // Those who may get more, with how much they lack of the least.
        let mut lacking = Vec::new();
        for &index in &readers {
            let had = kept(&members[index].had, topic, count);
            let had: Vec<i32> = had.filter(|partition| free.contains(partition)).collect();
            let more = had.len() > least && extra > 0;
            let keeps = had.len().min(least + usize::from(more));
            for partition in &had[..keeps] {
                free.remove(partition);
                assigned[index].entry(topic).or_default().insert(*partition);
            }
            if more {
                extra -= 1;
            } else {
                lacking.push((index, least - keeps));
            }
        }
        for (index, mut lacks) in lacking {
            if extra > 0 {
                extra -= 1;
                lacks += 1;
            }
            for partition in std::iter::from_fn(|| free.pop_first()).take(lacks) {
                assigned[index].entry(topic).or_default().insert(partition);
            }
        }
        assert!(free.is_empty(), "every partition is assigned");
    }
    assigned
}

/// All members subscribe to the same topics.
fn uniform(members: &[Subscriber], counts: &BTreeMap<TopicId, i32>) -> Vec<Partitions> {
    let Some(first) = members.first() else { return Vec::new() };
    let mut assigned = vec![Partitions::new(); members.len()];
    let mut free: BTreeSet<(TopicId, i32)> = BTreeSet::new();
    for topic in &first.topics {
        let count = counts.get(topic).copied().unwrap_or(0);
        free.extend((0..count).map(|index| (*topic, index)));
    }
    let (least, mut extra) = (free.len() / members.len(), free.len() % members.len());
    let mut quotas = Vec::with_capacity(members.len());
    for (index, member) in members.iter().enumerate() {
        let had = |topic: TopicId| {
            let count = counts.get(&topic).copied().unwrap_or(0);
            kept(&member.had, topic, count).map(move |partition| (topic, partition))
        };
        let had = first.topics.iter().copied().flat_map(had);
        let had: Vec<_> = had.filter(|partition| free.contains(partition)).collect();
        let more = had.len() > least && extra > 0;
        extra -= usize::from(more);
        let keeps = had.len().min(least + usize::from(more));
        for (topic, partition) in had.into_iter().take(keeps) {
            free.remove(&(topic, partition));
            assigned[index].entry(topic).or_default().insert(partition);
        }
        // What it lacks, and whether it may get one more.
        quotas.push((least.saturating_sub(keeps), !more));
    }
    let quotas = quotas.into_iter().map(|(lacks, may_get_more)| {
        let more = may_get_more && extra > 0;
        extra -= usize::from(more);
        lacks + usize::from(more)
    });
    for (mine, quota) in assigned.iter_mut().zip(quotas) {
        for (topic, partition) in std::iter::from_fn(|| free.pop_first()).take(quota) {
            mine.entry(topic).or_default().insert(partition);
        }
    }
    assert!(free.is_empty(), "every partition is assigned");
    assigned
}

/// Members subscribe to different topics. What was assigned stays; the rest goes to whoever has the
/// least; then partitions move one by one while that makes two members more alike.
fn balanced(members: &[Subscriber], counts: &BTreeMap<TopicId, i32>) -> Vec<Partitions> {
    let subscribers = subscribers(members);
    let mut loads = vec![0_usize; members.len()];
    let mut owners: BTreeMap<TopicId, Vec<Option<usize>>> = BTreeMap::new();
    for (topic, readers) in &subscribers {
        let count = counts.get(topic).copied().unwrap_or(0);
        let mut of_topic = vec![None; usize::try_from(count).unwrap_or(0)];
        for &index in readers {
            for partition in kept(&members[index].had, *topic, count) {
                if let Some(owner @ None) = of_topic.get_mut(partition as usize) {
                    *owner = Some(index);
                    loads[index] += 1;
                }
            }
        }
        owners.insert(*topic, of_topic);
    }
    // Topics that few can read first, for the others can make up for it.
    let mut order: Vec<(&TopicId, &Vec<usize>)> = subscribers.iter().collect();
    order.sort_by_key(|(topic, readers)| (readers.len(), **topic));
    for (topic, readers) in &order {
        let mut by_load: BTreeSet<(usize, usize)> =
            readers.iter().map(|&index| (loads[index], index)).collect();
        for owner in owners.get_mut(*topic).into_iter().flatten().filter(|owner| owner.is_none()) {
            let Some((load, index)) = by_load.pop_first() else { continue };
            by_load.insert((load + 1, index));
            loads[index] += 1;
            *owner = Some(index);
        }
    }
    // Every move makes the sum of the squared loads smaller, so this ends.
    let mut moved = true;
    while moved {
        moved = false;
        for (topic, readers) in &order {
            let mut by_load: BTreeSet<(usize, usize)> =
                readers.iter().map(|&index| (loads[index], index)).collect();
            for owner in owners.get_mut(*topic).into_iter().flatten() {
                let (Some(from), Some(&(least, to))) = (*owner, by_load.first()) else { continue };
                if loads[from] <= least + 1 {
                    continue;
                }
                by_load.remove(&(loads[from], from));
                by_load.remove(&(least, to));
                loads[from] -= 1;
                loads[to] += 1;
                by_load.insert((loads[from], from));
                by_load.insert((loads[to], to));
                *owner = Some(to);
                moved = true;
            }
        }
    }
    let mut assigned = vec![Partitions::new(); members.len()];
    for (topic, of_topic) in owners {
        for (partition, owner) in (0..).zip(of_topic) {
            if let Some(index) = owner {
                assigned[index].entry(topic).or_default().insert(partition);
            }
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stdx::prng::Prng;

    fn topic(number: u8) -> TopicId {
        TopicId([number; 16])
    }

    fn member(number: usize, topics: &[u8], had: &[(u8, &[i32])]) -> Subscriber {
        Subscriber {
            id: format!("m{number}").into(),
            topics: topics.iter().map(|number| topic(*number)).collect(),
            had: had.iter().map(|(id, had)| (topic(*id), had.iter().copied().collect())).collect(),
        }
    }

    fn counts(counts: &[(u8, i32)]) -> BTreeMap<TopicId, i32> {
        counts.iter().map(|(number, count)| (topic(*number), *count)).collect()
    }

    fn told(assigned: &Partitions) -> Vec<(u8, Vec<i32>)> {
        let each = assigned.iter();
        each.map(|(id, partitions)| (id.0[0], partitions.iter().copied().collect())).collect()
    }

    #[test]
    fn range_gives_neighbours_and_the_same_of_every_topic() {
        let members = [member(0, &[1, 2], &[]), member(1, &[1, 2], &[]), member(2, &[1], &[])];
        let assigned = assign(Assignor::Range, &members, &counts(&[(1, 7), (2, 3)]));
        assert_eq!(told(&assigned[0]), [(1, vec![0, 1, 2]), (2, vec![0, 1])]);
        assert_eq!(told(&assigned[1]), [(1, vec![3, 4]), (2, vec![2])]);
        assert_eq!(told(&assigned[2]), [(1, vec![5, 6])]);
    }

    #[test]
    fn range_keeps_what_it_can() {
        let had: &[(u8, &[i32])] = &[(1, &[0, 1, 2, 3])];
        let members = [member(0, &[1], had), member(1, &[1], &[])];
        let assigned = assign(Assignor::Range, &members, &counts(&[(1, 4)]));
        assert_eq!(told(&assigned[0]), [(1, vec![0, 1])]);
        assert_eq!(told(&assigned[1]), [(1, vec![2, 3])]);
        let members = [member(0, &[1], &[(1, &[2, 3])]), member(1, &[1], &[(1, &[0, 1])])];
        let assigned = assign(Assignor::Range, &members, &counts(&[(1, 5)]));
        assert_eq!(told(&assigned[0]), [(1, vec![2, 3, 4])]);
        assert_eq!(told(&assigned[1]), [(1, vec![0, 1])]);
    }

    /// As a crash in the middle of an assignment leaves them.
    #[test]
    fn what_two_had_is_kept_by_one() {
        let both: &[(u8, &[i32])] = &[(1, &[0, 1, 2, 3])];
        let counts = counts(&[(1, 4), (2, 1)]);
        for (assignor, others) in [
            (Assignor::Range, [1].as_slice()),
            (Assignor::Uniform, &[1]),
            (Assignor::Uniform, &[1, 2]),
        ] {
            let members = [member(0, &[1], both), member(1, others, both), member(2, &[1], both)];
            let assigned = assign(assignor, &members, &counts);
            let mut all: Vec<_> = assigned.iter().flat_map(told).collect();
            all.retain(|(topic, _)| *topic == 1);
            let mut all: Vec<_> = all.into_iter().flat_map(|(_, partitions)| partitions).collect();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3], "{assignor:?} {others:?}");
            let sizes: Vec<_> = assigned.iter().map(|one| one.values().flatten().count()).collect();
            assert!(sizes.iter().all(|size| (1..=2).contains(size)), "{assignor:?}: {sizes:?}");
        }
    }

    #[test]
    fn more_members_than_partitions_leave_some_idle() {
        let members = [member(0, &[1], &[]), member(1, &[1], &[]), member(2, &[1], &[(1, &[1])])];
        for assignor in [Assignor::Range, Assignor::Uniform] {
            let assigned = assign(assignor, &members, &counts(&[(1, 2)]));
            let sizes: Vec<_> = assigned.iter().map(|one| one.values().flatten().count()).collect();
            assert_eq!(sizes.iter().sum::<usize>(), 2, "{assignor:?}");
            assert!(sizes.iter().all(|size| *size <= 1), "{assignor:?}");
        }
        let nobody: [Subscriber; 0] = [];
        assert_eq!(assign(Assignor::Uniform, &nobody, &counts(&[])), Vec::<Partitions>::new());
    }

    #[test]
    fn uniform_counts_over_topics() {
        let topics: Vec<u8> = (1..=5).collect();
        let members = [member(0, &topics, &[]), member(1, &topics, &[])];
        let one_each: Vec<(u8, i32)> = topics.iter().map(|topic| (*topic, 1)).collect();
        let assigned = assign(Assignor::Uniform, &members, &counts(&one_each));
        assert_eq!(told(&assigned[0]), [(1, vec![0]), (2, vec![0]), (3, vec![0])]);
        assert_eq!(told(&assigned[1]), [(4, vec![0]), (5, vec![0])]);
    }

    #[test]
    fn different_subscriptions_are_balanced_as_far_as_they_allow() {
        let had: &[(u8, &[i32])] = &[(1, &[0, 1, 2, 3])];
        let members = [member(0, &[1], had), member(1, &[1, 2], &[]), member(2, &[2], &[])];
        let assigned = assign(Assignor::Uniform, &members, &counts(&[(1, 4), (2, 2)]));
        let sizes: Vec<_> = assigned.iter().map(|one| one.values().flatten().count()).collect();
        assert_eq!(sizes, [3, 2, 1], "no single move makes two members more alike");
        assert!(!assigned[0].contains_key(&topic(2)) && !assigned[2].contains_key(&topic(1)));
    }

    /// In random groups every partition has one reader who subscribes to it, the members are as
    /// alike as the assignor promises, and a second run changes nothing.
    #[test]
    fn random_groups() {
        for seed in 0..400 {
            let mut random = Prng::new(seed);
            let topics = random.between(1, 6) as u8;
            let each: Vec<_> =
                (1..=topics).map(|topic| (topic, random.between(1, 9) as i32)).collect();
            let counts = counts(&each);
            let alike = random.chance(1, 2);
            let all: Vec<u8> = (1..=topics).collect();
            let mut members: Vec<_> = (0..random.between(1, 8) as usize)
                .map(|number| {
                    let some: Vec<u8> =
                        all.iter().copied().filter(|_| alike || random.chance(1, 2)).collect();
                    member(number, &some, &[])
                })
                .collect();
            for round in 0..6 {
                let assignor =
                    *[Assignor::Uniform, Assignor::Range].get(random.below(2) as usize).unwrap();
                let assigned = assign(assignor, &members, &counts);
                let mut readers = BTreeSet::new();
                for (member, partitions) in members.iter().zip(&assigned) {
                    for (topic, index) in
                        partitions.iter().flat_map(|(t, ps)| ps.iter().map(move |p| (t, p)))
                    {
                        assert!(member.topics.contains(topic), "seed {seed}");
                        assert!((0..counts[topic]).contains(index), "seed {seed}");
                        assert!(readers.insert((*topic, *index)), "seed {seed}: read twice");
                    }
                }
                let wanted: BTreeSet<_> = members.iter().flat_map(|m| &m.topics).collect();
                let count: i32 = wanted.iter().map(|topic| counts[topic]).sum();
                assert_eq!(readers.len(), count as usize, "seed {seed}: all is read");
                let sizes: Vec<_> =
                    assigned.iter().map(|one| one.values().flatten().count()).collect();
                let same = members.windows(2).all(|pair| pair[0].topics == pair[1].topics);
                if assignor == Assignor::Uniform && same {
                    let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                    assert!(most - least <= 1, "seed {seed}: {sizes:?}");
                } else if assignor == Assignor::Uniform {
                    for (from, partitions) in assigned.iter().enumerate() {
                        for topic in partitions.keys() {
                            let worse = (0..members.len()).any(|to| {
                                members[to].topics.contains(topic) && sizes[to] + 1 < sizes[from]
                            });
                            assert!(!worse, "seed {seed}: {sizes:?}");
                        }
                    }
                }
                for (member, partitions) in members.iter_mut().zip(&assigned) {
                    member.had.clone_from(partitions);
                }
                assert_eq!(assign(assignor, &members, &counts), assigned, "seed {seed}: stays");
                if round % 2 == 0 && members.len() > 1 {
                    members.remove(random.below(members.len() as u64) as usize);
                } else {
                    members.push(member(100 + round, &all, &[]));
                    members.sort_by(|a, b| a.id.cmp(&b.id));
                }
            }
        }
    }
}
