//! Work that blocks: run on glommio's blocking threads, its results collected for the hot task.
//!
//! The hot task awaits none of this. A result lies in a queue until a turn takes it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use glommio::{Latency, Shares, TaskQueueHandle};

/// Shares of the background queue against the 1000 of the queue the hot task runs in.
const SHARES: usize = 50;

/// What the tasks and the hot task share; all of them run in one thread.
struct Shared<T> {
    finished: RefCell<VecDeque<T>>,
    open: Cell<usize>,
}

/// A shard's background work. `T` is what it comes to.
pub(super) struct Background<T> {
    queue: TaskQueueHandle,
    shared: Rc<Shared<T>>,
}

impl<T: Send + 'static> Background<T> {
    /// Inside an executor.
    #[must_use]
    pub(super) fn new() -> Background<T> {
        let queue = glommio::executor().create_task_queue(
            Shares::Static(SHARES),
            Latency::NotImportant,
            "background",
        );
        let shared = Shared { finished: RefCell::default(), open: Cell::new(0) };
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
}
