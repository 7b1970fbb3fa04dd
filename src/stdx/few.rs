//! Lists that mostly have one element. It then lies in the list itself: most requests are about one
//! partition, and nothing on their way through the core has to ask for memory.

use smallvec::SmallVec;

/// A list with room for one element in itself; from the second on it is as `Vec` is.
pub type Few<T> = SmallVec<[T; 1]>;
