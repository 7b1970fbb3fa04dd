//! Unlinks what was renamed away: gigabytes take their time, and nobody waits for it.
//!
//! One thread at a time, made when there is something to do, so that a topic of thousands of
//! partitions does not need thousands of threads. Where the system refuses a thread the work is done
//! in the place of the caller.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<PathBuf>,
    /// Somebody is at work and looks at `waiting` again before it ends.
    running: bool,
}

/// Removes directories one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Janitor(Arc<Mutex<State>>);

impl Janitor {
    /// Removes a directory some time. It has a name that the next start removes if this one cannot.
    pub(crate) fn remove(&self, directory: PathBuf) {
        let mut state = self.state();
        state.waiting.push_back(directory);
        if std::mem::replace(&mut state.running, true) {
            return;
        }
        drop(state);
        let janitor = self.clone();
        let thread = std::thread::Builder::new().name("janitor".to_owned());
        if thread.spawn(move || janitor.work()).is_err() {
            self.work();
        }
    }

    fn work(&self) {
        while let Some(directory) = self.next() {
            if let Err(error) = fs::remove_dir_all(&directory) {
                tracing::warn!(path = %directory.display(), %error,
                    "cannot remove a deleted partition; trying again at the next start");
            }
        }
    }

    fn next(&self) -> Option<PathBuf> {
        let mut state = self.state();
        let next = state.waiting.pop_front();
        state.running = next.is_some();
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::scratch::Scratch;

    #[test]
    fn everything_handed_over_is_removed() {
        let scratch = Scratch::new();
        let janitor = Janitor::default();
        let paths: Vec<PathBuf> =
            (0..100).map(|n| scratch.path().join(format!("{n}-delete"))).collect();
        for path in &paths {
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "x").unwrap();
            janitor.remove(path.clone());
        }
        while janitor.state().running {
            std::thread::yield_now();
        }
        assert!(paths.iter().all(|path| !path.exists()));
    }
}
