//! Messages between shards: a full mesh of bounded single-producer queues, and a knock for a peer
//! that sleeps.
//!
//! Never blocks and never drops: what finds a queue full waits in a local spill in front of it, in
//! order, and moves on in later turns. How much may be under way at all is the engine's concern
//! (credits); the spill only decouples the turns.
//!
//! The sleeping protocol. A shard that wants to sleep stores `sleeping`, fences, and looks into its
//! queues once more; only if they are empty does it sleep. A sender pushes, fences, and then looks
//! at `sleeping`. With both fences sequentially consistent, one of the two sees the other: either
//! the sender sees `sleeping` and knocks, or the sleeper sees the message and stays awake. The
//! sender that swaps `sleeping` back to awake is the one that knocks, so a sleeper hears one knock,
//! not one per message.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering, fence};

use rtrb::{Consumer, Producer, RingBuffer};

use super::ring::Ring;
use super::sys;
use crate::ids::ShardId;

/// Messages one queue holds.
const QUEUE_MESSAGES: usize = 1024;
/// Messages taken from one peer in one turn.
const MESSAGES_PER_TURN: usize = 256;

/// How one shard is woken by others.
pub struct Door {
    sleeping: AtomicBool,
    /// Descriptor of the shard's ring, or -1 before it is up and after it is down.
    ring: AtomicI32,
    event: std::sync::OnceLock<Arc<OwnedFd>>,
}

impl Door {
    fn new() -> Door {
        Door {
            sleeping: AtomicBool::new(false),
            ring: AtomicI32::new(-1),
            event: std::sync::OnceLock::new(),
        }
    }

    /// The shard's ring is there.
    pub fn open(&self, ring: &Ring) {
        // A door is opened once; the second event would be the same.
        let _ = self.event.set(Arc::clone(ring.event()));
        self.ring.store(ring.descriptor(), Ordering::SeqCst);
    }

    /// The shard's ring is about to go.
    pub fn close(&self) {
        self.ring.store(-1, Ordering::SeqCst);
    }

    /// Wakes the shard from any thread, whatever it sleeps in.
    pub fn wake(&self) {
        if let Some(event) = self.event.get() {
            // Fails only if the count is at its maximum, and then it is signalled anyway.
            let _ = sys::signal_eventfd(event.as_fd());
        }
    }
}

/// One shard's ends of the mesh.
pub(super) struct Mesh<M> {
    own: ShardId,
    doors: Arc<[Door]>,
    to: Vec<Option<Producer<M>>>,
    from: Vec<Option<Consumer<M>>>,
    spill: Vec<VecDeque<M>>,
    spilled: usize,
    /// Peers that got messages since the last flush.
    touched: Vec<ShardId>,
}

/// The meshes of all shards, in order of shard.
#[must_use]
pub(super) fn full<M: Send>(shards: u16) -> (Vec<Mesh<M>>, Arc<[Door]>) {
    let count = usize::from(shards);
    let doors: Arc<[Door]> = (0..count).map(|_| Door::new()).collect();
    let mut meshes: Vec<Mesh<M>> = (0..shards)
        .map(|own| Mesh {
            own: ShardId(own),
            doors: Arc::clone(&doors),
            to: (0..count).map(|_| None).collect(),
            from: (0..count).map(|_| None).collect(),
            spill: (0..count).map(|_| VecDeque::new()).collect(),
            spilled: 0,
            touched: Vec::new(),
        })
        .collect();
    for sender in 0..count {
        for receiver in (0..count).filter(|receiver| *receiver != sender) {
            let (producer, consumer) = RingBuffer::new(QUEUE_MESSAGES);
            meshes[sender].to[receiver] = Some(producer);
            meshes[receiver].from[sender] = Some(consumer);
        }
    }
    (meshes, doors)
}

impl<M> Mesh<M> {
    /// How this shard is woken.
    #[must_use]
    pub(super) fn door(&self) -> &Door {
        &self.doors[usize::from(self.own.0)]
    }

    /// Hands a message to another shard. It is on its way with the next [`Mesh::flush`].
    pub(super) fn send(&mut self, to: ShardId, message: M) {
        let at = usize::from(to.0);
        let producer = self.to[at].as_mut().expect("a message goes to another shard");
        if self.spill[at].is_empty() {
            match producer.push(message) {
                Ok(()) => {}
                Err(rtrb::PushError::Full(message)) => {
                    self.spill[at].push_back(message);
                    self.spilled += 1;
                }
            }
        } else {
            self.spill[at].push_back(message);
            self.spilled += 1;
        }
        if !self.touched.contains(&to) {
            self.touched.push(to);
        }
    }

    /// Moves spilled messages on and knocks at the doors of sleeping peers.
    pub(super) fn flush(&mut self, ring: &mut Ring) {
        if self.spilled > 0 {
            for (at, spill) in self.spill.iter_mut().enumerate() {
                let Some(producer) = self.to[at].as_mut() else { continue };
                while !spill.is_empty() && !producer.is_full() {
                    let message = spill.pop_front().expect("not empty");
                    assert!(producer.push(message).is_ok(), "there was room");
                    self.spilled -= 1;
                    let to = ShardId(at as u16);
                    if !self.touched.contains(&to) {
                        self.touched.push(to);
                    }
                }
            }
        }
        if self.touched.is_empty() {
            return;
        }
        // Pairs with the fence of `fall_asleep`.
        fence(Ordering::SeqCst);
        for to in self.touched.drain(..) {
            let door = &self.doors[usize::from(to.0)];
            if door.sleeping.load(Ordering::Relaxed) && door.sleeping.swap(false, Ordering::SeqCst)
            {
                let target: RawFd = door.ring.load(Ordering::SeqCst);
                if target >= 0 {
                    ring.knock(target, to.0);
                }
            }
        }
    }

    /// A knock went wrong: the peer's ring would not take it. Its eventfd does.
    pub(super) fn on_knock_failed(&self, shard: u16) {
        if let Some(door) = self.doors.get(usize::from(shard)) {
            door.wake();
        }
    }

    /// Takes what peers said, a bounded number from each.
    pub(super) fn receive(&mut self, mut each: impl FnMut(ShardId, M)) {
        for (at, consumer) in self.from.iter_mut().enumerate() {
            let Some(consumer) = consumer else { continue };
            for _ in 0..MESSAGES_PER_TURN {
                let Ok(message) = consumer.pop() else { break };
                each(ShardId(at as u16), message);
            }
        }
    }

    /// Whether peers have said something.
    #[must_use]
    pub(super) fn has_messages(&self) -> bool {
        self.from.iter().flatten().any(|consumer| !consumer.is_empty())
    }

    /// Whether messages wait for room in a peer's queue. Nobody says when there is room: while this
    /// is true the shard looks again every turn.
    #[must_use]
    pub(super) fn has_spilled(&self) -> bool {
        self.spilled > 0
    }

    /// Announces that this shard sleeps from now on. False if there are messages: stay awake.
    #[must_use]
    pub(super) fn fall_asleep(&self) -> bool {
        let door = self.door();
        door.sleeping.store(true, Ordering::SeqCst);
        // Pairs with the fence of `flush`.
        fence(Ordering::SeqCst);
        if self.has_messages() {
            self.wake_up();
            return false;
        }
        true
    }

    /// This shard is awake.
    pub(super) fn wake_up(&self) {
        self.door().sleeping.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::shell::operation::Operation;

    #[test]
    fn two_threads_exchange_everything_in_order_and_sleep_in_between() {
        const COUNT: u64 = 50_000;
        let (meshes, _doors) = full::<u64>(2);
        let ready = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for mut mesh in meshes {
                let ready = &ready;
                scope.spawn(move || {
                    let mut ring = Ring::new().unwrap();
                    mesh.door().open(&ring);
                    ready.wait();
                    let peer = ShardId(1 - mesh.own.0);
                    let (mut sent, mut expected, mut sleeps) = (0, 0, 0);
                    let mut completions = Vec::new();
                    while expected < COUNT || sent < COUNT || mesh.has_spilled() {
                        // Bursts larger than the queue, so that the spill is used.
                        for _ in 0..(sent % 7 * 400 + 1).min(COUNT - sent) {
                            mesh.send(peer, sent);
                            sent += 1;
                        }
                        mesh.flush(&mut ring);
                        mesh.receive(|from, message| {
                            assert_eq!((from, message), (peer, expected));
                            expected += 1;
                        });
                        if sent == COUNT && !mesh.has_spilled() && mesh.fall_asleep() {
                            sleeps += 1;
                            // Without the knock this would end by the timeout only, and the test
                            // would take hours.
                            ring.wait(Duration::from_secs(if expected < COUNT { 5 } else { 0 }))
                                .unwrap();
                            mesh.wake_up();
                        } else {
                            ring.enter().unwrap();
                        }
                        completions.clear();
                        ring.reap(&mut completions, 1024);
                        for completion in &completions {
                            if let Operation::Knock(shard) = completion.operation
                                && completion.result < 0
                            {
                                mesh.on_knock_failed(shard);
                            }
                        }
                    }
                    assert_eq!(expected, COUNT);
                    assert!(sleeps < COUNT);
                    ready.wait();
                    mesh.door().close();
                });
            }
        });
    }
}
