//! Records of `__consumer_offsets`, and what members of a group tell each other, from bytes of
//! unknown origin. The first byte says how long the key is; 0 takes the rest for members' bytes.
//!
//! What decodes must encode again, and to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringmain::group::consumer_protocol::{Assignment, Subscription};
use ringmain::group::records::GroupRecord;

fn members(bytes: &[u8]) {
    if let Ok(subscription) = Subscription::parse(bytes) {
        let again = subscription.to_bytes();
        assert_eq!(Subscription::parse(&again), Ok(subscription));
    }
    if let Ok(assignment) = Assignment::parse(bytes) {
        let again = assignment.to_bytes(3);
        assert_eq!(Assignment::parse(&again), Ok(assignment));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&length, rest)) = bytes.split_first() else { return };
    if length == 0 {
        return members(rest);
    }
    let Some((key, value)) = rest.split_at_checked(usize::from(length)) else { return };
    let value = (!value.is_empty()).then_some(value);
    let Ok(record) = GroupRecord::decode(key, value) else { return };
    let again = record.encode();
    let read = GroupRecord::decode(&again.key, again.value.as_deref());
    assert_eq!(read.map(|read| read.encode()), Ok(again));
});
