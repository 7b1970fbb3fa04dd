//! Time: members that are not heard of, and members that do not give up what they must.

use crate::group::coordinator::Outcome;
use crate::time::Now;

use super::Group;
use super::heartbeat::Known;

impl Group {
    /// Time passed.
    pub(in crate::group) fn on_time(&mut self, known: Known<'_>, now: Now, out: &mut Outcome) {
        let mut gone = Vec::new();
        for (id, deadlines) in &self.deadlines {
            let over = |deadline: Option<crate::time::Instant>| {
                deadline.is_some_and(|deadline| deadline <= now.instant)
            };
            if over(deadlines.session) {
                tracing::info!(group = &*self.id, member = &**id, "member is not heard of");
                gone.push(id.clone());
            } else if over(deadlines.revocation) {
                tracing::info!(group = &*self.id, member = &**id, "member gave nothing up in time");
                gone.push(id.clone());
            }
        }
        if !gone.is_empty() {
            self.remove(gone, known, out);
        }
        self.set_wake();
    }

    pub(super) fn set_wake(&mut self) {
        let all = self.deadlines.values();
        self.wake = all.flat_map(|one| one.session.into_iter().chain(one.revocation)).min();
    }
}
