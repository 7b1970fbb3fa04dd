//! From the first blocks of all journal files to the order in which they are read.

use std::collections::BTreeMap;

use super::entry::{FileNumber, Lane};
use super::format::{FileHeader, HeaderFault};
use crate::ids::{Incarnation, ShardId};

/// A run of consecutive files of one incarnation, shard and lane. Chains can be read side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The start that wrote it.
    pub incarnation: Incarnation,
    /// The shard that wrote it, under that start's shard count.
    pub shard: ShardId,
    /// Which of its journals.
    pub lane: Lane,
    /// The files in order, each with the caller's index for it and its header.
    pub files: Vec<(usize, FileHeader)>,
}

/// What is wrong with the set of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanFault {
    /// A file without a readable header. It may have held acknowledged records, or be one whose
    /// creation a crash cut short.
    Header {
        /// The caller's index.
        file: usize,
        /// What its first block is.
        fault: HeaderFault,
    },
    /// The oldest file that was in use is not there, nor perhaps those behind it. The rest is read:
    /// [`Merge`](super::Merge) finds the partitions to which nothing leads up. The removal of files
    /// of a shard that no longer exists leaves this, if a crash cuts it short.
    MissingOldest {
        /// The start that wrote it.
        incarnation: Incarnation,
        /// Its shard.
        shard: ShardId,
        /// Its lane.
        lane: Lane,
        /// Its number.
        file: FileNumber,
    },
    /// A file between two others is not there. What comes after it is not read.
    Missing {
        /// The start that wrote it.
        incarnation: Incarnation,
        /// Its shard.
        shard: ShardId,
        /// Its lane.
        lane: Lane,
        /// Its number.
        file: FileNumber,
    },
    /// Two files claim the same number. Only the first is read.
    Twice {
        /// The caller's index of the second.
        file: usize,
    },
}

/// The order of replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// By incarnation, then shard, then lane.
    pub chains: Vec<Chain>,
    /// What does not fit. The caller decides whether to go on.
    pub faults: Vec<PlanFault>,
    /// Files with nothing to read: never used, or no longer needed when a later one was prepared,
    /// or behind one that is missing.
    pub unneeded: Vec<usize>,
}

/// Orders journal files of all shards and lanes, given the index by which the caller knows each and
/// what [`FileHeader::parse`] says about its first block.
#[must_use]
pub fn plan(found: impl IntoIterator<Item = (usize, Result<FileHeader, HeaderFault>)>) -> Plan {
    let mut plan = Plan::default();
    let mut journals: BTreeMap<_, BTreeMap<FileNumber, (usize, FileHeader)>> = BTreeMap::new();
    for (file, header) in found {
        match header {
            Ok(header) => {
                let journal =
                    journals.entry((header.incarnation, header.shard, header.lane)).or_default();
                match journal.get(&header.number) {
                    Some(_) => plan.faults.push(PlanFault::Twice { file }),
                    None => {
                        journal.insert(header.number, (file, header));
                    }
                }
            }
            Err(HeaderFault::Unused) => plan.unneeded.push(file),
            Err(fault) => plan.faults.push(PlanFault::Header { file, fault }),
        }
    }
    // Every header says which file was the oldest in use; a later one knows more.
    let mut oldest_of_lane: BTreeMap<_, (Incarnation, FileNumber)> = BTreeMap::new();
    let mut oldest_of_journal: BTreeMap<_, FileNumber> = BTreeMap::new();
    for (_, header) in journals.values().flat_map(BTreeMap::values) {
        let (incarnation, number) = match header.oldest {
            (Incarnation(0), number) => (header.incarnation, number),
            oldest => {
                let known = oldest_of_lane.entry((header.shard, header.lane)).or_default();
                *known = (*known).max(oldest);
                oldest
            }
        };
        let key = (incarnation, header.shard, header.lane);
        let oldest = oldest_of_journal.entry(key).or_default();
        *oldest = (*oldest).max(number);
    }
    for (key, mut journal) in journals {
        let (incarnation, shard, lane) = key;
        let (oldest, _) = oldest_of_lane.get(&(shard, lane)).copied().unwrap_or_default();
        // No header tells of the release of a file of this incarnation: all since the first count.
        let front = oldest_of_journal.get(&key).copied().unwrap_or(FileNumber(1));
        let needed = if incarnation < oldest { BTreeMap::new() } else { journal.split_off(&front) };
        plan.unneeded.extend(journal.into_values().map(|(file, _)| file));
        let mut files = Vec::new();
        let mut number = front;
        let mut needed = needed.into_iter();
        while let Some((found, file)) = needed.next() {
            if found != number && files.is_empty() {
                let fault = PlanFault::MissingOldest { incarnation, shard, lane, file: number };
                plan.faults.push(fault);
            } else if found != number {
                let fault = PlanFault::Missing { incarnation, shard, lane, file: number };
                plan.faults.push(fault);
                plan.unneeded.push(file.0);
                plan.unneeded.extend(needed.map(|(_, (file, _))| file));
                break;
            }
            files.push(file);
            number = FileNumber(found.0.saturating_add(1));
        }
        if !files.is_empty() {
            plan.chains.push(Chain { incarnation, shard, lane, files });
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(incarnation: u64, shard: u16, number: u64, oldest: u64) -> FileHeader {
        FileHeader {
            incarnation: Incarnation(incarnation),
            shard: ShardId(shard),
            lane: Lane::Flushed,
            number: FileNumber(number),
            file_bytes: 1 << 20,
            oldest: (Incarnation(incarnation), FileNumber(oldest)),
        }
    }

    fn numbers(plan: &Plan) -> Vec<(u64, u16, Vec<u64>)> {
        plan.chains
            .iter()
            .map(|chain| {
                let files = chain.files.iter().map(|(_, header)| header.number.0).collect();
                (chain.incarnation.0, chain.shard.0, files)
            })
            .collect()
    }

    #[test]
    fn incarnations_come_in_order_and_files_by_number() {
        let mut second = header(2, 0, 1, 1);
        second.oldest.0 = Incarnation(1);
        let headers = [second, header(1, 1, 4, 3), header(1, 0, 1, 1), header(1, 1, 3, 2)];
        // File 2 of shard 1 has been recycled, as the header of file 4 says.
        let plan = plan(headers.into_iter().map(Ok).enumerate());
        assert_eq!(numbers(&plan), [(1, 0, vec![1]), (1, 1, vec![3, 4]), (2, 0, vec![1])]);
        assert_eq!(plan.faults, []);
    }

    #[test]
    fn released_files_are_not_read() {
        let headers = [header(1, 0, 1, 1), header(1, 0, 2, 1), header(1, 0, 3, 2)];
        let plan = plan(headers.into_iter().map(Ok).enumerate());
        assert_eq!(numbers(&plan), [(1, 0, vec![2, 3])]);
        assert_eq!(plan.unneeded, [0]);
    }

    #[test]
    fn a_missing_file_is_reported_and_nothing_behind_it_is_read() {
        let headers = [header(1, 0, 5, 4), header(1, 0, 4, 4), header(1, 0, 7, 4)];
        let plan = plan(headers.into_iter().map(Ok).enumerate());
        assert_eq!(numbers(&plan), [(1, 0, vec![4, 5])]);
        let Some(&PlanFault::Missing { file, .. }) = plan.faults.first() else {
            panic!("{:?}", plan.faults)
        };
        assert_eq!(file, FileNumber(6));
    }

    #[test]
    fn a_later_incarnation_says_what_it_recycled_of_an_earlier_one() {
        let mut later = header(2, 0, 1, 1);
        later.oldest = (Incarnation(1), FileNumber(4));
        // File 3 of incarnation 1 has become file 1 of incarnation 2.
        let found = [header(1, 0, 4, 2), header(1, 0, 5, 3), later];
        let plan_some = plan(found.into_iter().map(Ok).enumerate());
        assert_eq!(numbers(&plan_some), [(1, 0, vec![4, 5]), (2, 0, vec![1])]);
        assert_eq!(plan_some.faults, []);
        // And once none of incarnation 1 is needed, what is left of it is not read.
        let found = [header(1, 0, 5, 3), later, header(2, 0, 2, 1)];
        let plan_none = plan(found.into_iter().map(Ok).enumerate());
        assert_eq!(numbers(&plan_none), [(2, 0, vec![1, 2])]);
        assert_eq!((plan_none.faults, plan_none.unneeded), (vec![], vec![0]));
    }

    #[test]
    fn a_journal_that_took_over_nothing_says_nothing_of_earlier_ones() {
        // A crash came before the second start had brought what it replayed to the segments.
        let mut later = header(2, 0, 1, 1);
        later.oldest.0 = Incarnation(0);
        let mut second = header(2, 0, 2, 2);
        second.oldest.0 = Incarnation(0);
        let found = [header(1, 0, 1, 1), later, second];
        let plan = plan(found.into_iter().map(Ok).enumerate());
        assert_eq!(numbers(&plan), [(1, 0, vec![1]), (2, 0, vec![2])]);
        assert_eq!((plan.faults, plan.unneeded), (vec![], vec![1]));
    }

    #[test]
    fn a_missing_front_is_reported_and_the_rest_is_read() {
        let found = [header(1, 0, 4, 3), header(1, 0, 5, 3)];
        let plan = plan(found.into_iter().map(Ok).enumerate());
        assert_eq!(numbers(&plan), [(1, 0, vec![4, 5])]);
        let [PlanFault::MissingOldest { file, .. }] = plan.faults[..] else {
            panic!("{:?}", plan.faults)
        };
        assert_eq!(file, FileNumber(3));
    }

    #[test]
    fn unreadable_headers_and_doubles_are_reported() {
        let found = [
            (7, Err(HeaderFault::Unused)),
            (8, Err(HeaderFault::Corrupt)),
            (9, Ok(header(1, 0, 1, 1))),
            (10, Ok(header(1, 0, 1, 1))),
        ];
        let plan = plan(found);
        assert_eq!(plan.unneeded, [7]);
        let corrupt = PlanFault::Header { file: 8, fault: HeaderFault::Corrupt };
        assert_eq!(plan.faults, [corrupt, PlanFault::Twice { file: 10 }]);
        assert_eq!(plan.chains.len(), 1);
    }
}
