//! The mark in a record by which its receiver knows the run, the record, and its intended time.

/// Number and intended send time of a record, as its value begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Drawn for each run: records of earlier runs are told apart.
    pub(crate) run: u64,
    /// Counts a worker's records.
    pub(crate) number: u64,
    /// Intended send time on the run's clock.
    pub(crate) intended_ns: u64,
}

const MAGIC: [u8; 8] = *b"ringload";
/// Size of a stamp; smaller records cannot carry one.
pub(crate) const STAMP_BYTES: usize = 32;

impl Stamp {
    /// Writes the stamp to the front of `value`.
    pub(crate) fn write(&self, value: &mut [u8]) {
        let words = [
            MAGIC,
            self.run.to_be_bytes(),
            self.number.to_be_bytes(),
            self.intended_ns.to_be_bytes(),
        ];
        for (to, from) in value.iter_mut().zip(words.as_flattened()) {
            *to = *from;
        }
    }

    /// The stamp at the front of `value`, if there is one of `run`.
    pub(crate) fn read(value: &[u8], run: u64) -> Option<Stamp> {
        let head = value.first_chunk::<STAMP_BYTES>()?;
        let (words, _) = head.as_chunks::<8>();
        let [magic, of_run, number, intended_ns] = words else { return None };
        if *magic != MAGIC || u64::from_be_bytes(*of_run) != run {
            return None;
        }
        Some(Stamp {
            run,
            number: u64::from_be_bytes(*number),
            intended_ns: u64::from_be_bytes(*intended_ns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_for_its_run_only() {
        let stamp = Stamp { run: 7, number: 8, intended_ns: 9 };
        let mut value = [0; 100];
        stamp.write(&mut value);
        assert_eq!(Stamp::read(&value, 7), Some(stamp));
        assert_eq!(Stamp::read(&value, 8), None);
        assert_eq!(Stamp::read(&value[..31], 7), None);
    }
}
