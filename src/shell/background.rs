//! Work that blocks: run on glommio's blocking threads, its results collected for the hot task.
//!
//! The hot task awaits none of this. A result lies in a queue until a turn takes it; if the hot task
//! is parked, its eventfd is signalled.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use glommio::{Latency, Shares, TaskQueueHandle};

use super::sys;

/// Shares of the background queue against the 1000 of the queue the hot task runs in.
const SHARES: usize = 50;

/// What the tasks and the hot task share; all of them run in one thread.
struct Shared<T> {
    finished: RefCell<VecDeque<T>>,
    open: Cell<usize>,
    parked: Cell<bool>,
    event: Arc<OwnedFd>,
}

/// A shard's background work. `T` is what it comes to.
pub(super) struct Background<T> {
    queue: TaskQueueHandle,
    shared: Rc<Shared<T>>,
}

impl<T: Send + 'static> Background<T> {
    /// Inside an executor. `event` wakes its hot task.
    #[must_use]
    pub(super) fn new(event: Arc<OwnedFd>) -> Background<T> {
        let queue = glommio::executor().create_task_queue(
            Shares::Static(SHARES),
            Latency::NotImportant,
            "background",
        );
        let shared = Shared {
            finished: RefCell::default(),
            open: Cell::new(0),
            parked: Cell::new(false),
            event,
        };
        Background { queue, shared: Rc::new(shared) }
    }

    /// Runs `work` on a blocking thread. A panic in it ends the process (see `fatal`).
    pub(super) fn run(&self, work: impl FnOnce() -> T + Send + 'static) {
        let shared = Rc::clone(&self.shared);
        shared.open.set(shared.open.get() + 1);
        let task = async move {
            let result = glommio::executor().spawn_blocking(work).await;
            shared.finished.borrow_mut().push_back(result);
            shared.open.set(shared.open.get() - 1);
            if shared.parked.get() {
                // Writing an eventfd whose count is small cannot fail.
                sys::signal_eventfd(shared.event.as_fd()).expect("the eventfd takes a signal");
            }
        };
        glommio::spawn_local_into(task, self.queue)
            .expect("the background queue lives as long as its executor")
            .detach();
    }

    /// The next result.
    #[must_use]
    pub(super) fn take(&self) -> Option<T> {
        self.shared.finished.borrow_mut().pop_front()
    }

    /// Whether results wait to be taken.
    #[must_use]
    pub(super) fn has_finished(&self) -> bool {
        !self.shared.finished.borrow().is_empty()
    }

    /// Pieces of work whose results do not lie ready yet.
    #[must_use]
    pub(super) fn open(&self) -> usize {
        self.shared.open.get()
    }

    /// Says whether the hot task sleeps and has to be woken for a result.
    pub(super) fn set_parked(&self, parked: bool) {
        self.shared.parked.set(parked);
    }
}
