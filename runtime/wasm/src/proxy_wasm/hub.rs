//! What instances share, by `vm_id`, across workers and generations: data and queues.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};

use pilotlight_abi::limit::{WASM_QUEUE, WASM_QUEUES, WASM_SHARED_DATA};

use super::abi::Status;

/// What an entry costs beside its key and value.
const ENTRY: u64 = 64;

/// All spaces.
#[derive(Default)]
pub(crate) struct Hub {
    spaces: Mutex<HashMap<Box<str>, Weak<Space>>>,
}

/// What instances with one `vm_id` share. It lives as long as a filter with that id.
pub(crate) struct Space {
    id: Box<str>,
    data: Mutex<Data>,
    queues: Mutex<Vec<Arc<Queue>>>,
}

#[derive(Default)]
struct Data {
    entries: HashMap<Box<[u8]>, Entry>,
    /// Keys by when they were used last.
    order: BTreeMap<u64, Box<[u8]>>,
    bytes: u64,
    /// Counts uses, and writes.
    clock: u64,
    cas: u32,
}

struct Entry {
    value: Box<[u8]>,
    cas: u32,
    used: u64,
}

/// A queue between plugins.
pub(crate) struct Queue {
    pub(crate) id: u32,
    name: Box<[u8]>,
    items: Mutex<Items>,
    /// Who registered it last.
    owner: Mutex<Weak<Registered>>,
}

#[derive(Default)]
struct Items {
    list: VecDeque<Box<[u8]>>,
    bytes: u64,
}

/// A plugin's context that is told of a queue.
pub(crate) struct Registered {
    pub(crate) id: u32,
    ready: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// The space of this id; a new one when no filter has it.
    pub(crate) fn space(&self, id: &str) -> Arc<Space> {
        let mut spaces = lock(&self.spaces);
        if let Some(space) = spaces.get(id).and_then(Weak::upgrade) {
            return space;
        }
        spaces.retain(|_, space| space.strong_count() > 0);
        let (data, queues) = (Mutex::default(), Mutex::default());
        let space = Arc::new(Space { id: id.into(), data, queues });
        spaces.insert(id.into(), Arc::downgrade(&space));
        space
    }

    /// The space of an id that some filter has.
    pub(crate) fn known(&self, id: &str) -> Option<Arc<Space>> {
        lock(&self.spaces).get(id)?.upgrade()
    }
}

impl Space {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Copies the value of `key` to `out`, and gives its CAS number.
    pub(crate) fn get(&self, key: &[u8], out: &mut Vec<u8>) -> Option<u32> {
        let data = &mut *lock(&self.data);
        let entry = data.entries.get_mut(key)?;
        data.clock += 1;
        if let Some(key) = data.order.remove(&entry.used) {
            entry.used = data.clock;
            data.order.insert(entry.used, key);
        }
        out.extend_from_slice(&entry.value);
        Some(entry.cas)
    }

    /// Puts a value, if `cas` is 0 or the entry's number. Others make room, those that were used
    /// longest ago first.
    pub(crate) fn set(&self, key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        let needs = (key.len() + value.len()) as u64 + ENTRY;
        if needs > WASM_SHARED_DATA {
            return Err(Status::InternalFailure);
        }
        let data = &mut *lock(&self.data);
        let known = data.entries.get(key).map(|entry| entry.cas);
        if cas != 0 && known != Some(cas) {
            return Err(Status::CasMismatch);
        }
        data.remove(key);
        while data.bytes + needs > WASM_SHARED_DATA {
            let Some((_, oldest)) = data.order.pop_first() else { break };
            data.remove(&oldest);
        }
        data.clock += 1;
        // 0 means any.
        data.cas = data.cas.wrapping_add(1).max(1);
        data.bytes += needs;
        data.order.insert(data.clock, key.into());
        let entry = Entry { value: value.into(), cas: data.cas, used: data.clock };
        data.entries.insert(key.into(), entry);
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Option<Arc<Queue>> {
        lock(&self.queues).iter().find(|queue| *queue.name == *name).cloned()
    }

    /// The queue's id, when somebody has registered it.
    pub(crate) fn resolve(&self, name: &[u8]) -> Option<u32> {
        self.find(name).map(|queue| queue.id)
    }

    /// A queue that the caller is told of from now on.
    pub(crate) fn register(&self, name: &[u8]) -> Result<Arc<Registered>, Status> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let queue = match self.find(name) {
            Some(queue) => queue,
            None => {
                let mut queues = lock(&self.queues);
                if queues.len() >= WASM_QUEUES || name.len() > 1024 {
                    return Err(Status::InternalFailure);
                }
                let id = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
                let (items, owner) = (Mutex::default(), Mutex::default());
                queues.push(Arc::new(Queue { id, name: name.into(), items, owner }));
                queues[queues.len() - 1].clone()
            }
        };
        let ready = AtomicBool::new(!lock(&queue.items).list.is_empty());
        let registered = Arc::new(Registered { id: queue.id, ready, waker: Mutex::default() });
        *lock(&queue.owner) = Arc::downgrade(&registered);
        Ok(registered)
    }
}

impl Data {
    fn remove(&mut self, key: &[u8]) {
        if let Some(old) = self.entries.remove(key) {
            self.bytes -= (key.len() + old.value.len()) as u64 + ENTRY;
            self.order.remove(&old.used);
        }
    }
}

impl Hub {
    /// A queue of any space: ids are the process's.
    fn queue(&self, id: u32) -> Option<Arc<Queue>> {
        let spaces: Vec<_> = lock(&self.spaces).values().filter_map(Weak::upgrade).collect();
        let found = |space: &Arc<Space>| lock(&space.queues).iter().find(|q| q.id == id).cloned();
        spaces.iter().find_map(found)
    }

    /// Puts an item at a queue's end, and tells whoever registered it.
    pub(crate) fn enqueue(&self, id: u32, item: &[u8]) -> Result<(), Status> {
        let queue = self.queue(id).ok_or(Status::NotFound)?;
        let mut items = lock(&queue.items);
        let needs = item.len() as u64 + ENTRY;
        if items.bytes + needs > WASM_QUEUE {
            return Err(Status::InternalFailure);
        }
        items.bytes += needs;
        items.list.push_back(item.into());
        drop(items);
        if let Some(owner) = lock(&queue.owner).upgrade() {
            owner.ready.store(true, Ordering::Release);
            if let Some(waker) = lock(&owner.waker).take() {
                waker.wake();
            }
        }
        Ok(())
    }

    /// Takes the item at a queue's front.
    pub(crate) fn dequeue(&self, id: u32) -> Result<Box<[u8]>, Status> {
        let queue = self.queue(id).ok_or(Status::NotFound)?;
        let mut items = lock(&queue.items);
        let item = items.list.pop_front().ok_or(Status::Empty)?;
        items.bytes -= item.len() as u64 + ENTRY;
        Ok(item)
    }
}

impl Registered {
    /// Whether something has come since the last look; else the next item wakes the caller.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> bool {
        *lock(&self.waker) = Some(cx.waker().clone());
        self.ready.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_compared_and_swapped_and_the_oldest_go_first() {
        let hub = Hub::default();
        let space = hub.space("a");
        let mut out = Vec::new();
        assert_eq!(space.get(b"k", &mut out), None);
        assert_eq!(space.set(b"k", b"1", 7), Err(Status::CasMismatch));
        space.set(b"k", b"1", 0).unwrap();
        let cas = space.get(b"k", &mut out).unwrap();
        space.set(b"k", b"2", cas).unwrap();
        assert_eq!(space.set(b"k", b"3", cas), Err(Status::CasMismatch));
        let large = vec![0; WASM_SHARED_DATA as usize];
        assert_eq!(space.set(b"large", &large, 0), Err(Status::InternalFailure));
        // A million keys: the space stays as large as it may be, and `k` is used all the time.
        for number in 0_u32..100_000 {
            space.set(&number.to_le_bytes(), &[0; 100], 0).unwrap();
            assert!(space.get(b"k", &mut Vec::new()).is_some());
        }
        assert!(space.get(&0_u32.to_le_bytes(), &mut out).is_none());
        let data = lock(&space.data);
        assert!(data.bytes <= WASM_SHARED_DATA && data.entries.len() == data.order.len());
    }

    #[test]
    fn queues_tell_who_registered_them_and_have_an_end() {
        let hub = Hub::default();
        let space = hub.space("a");
        assert_eq!(space.resolve(b"q"), None);
        let owner = space.register(b"q").unwrap();
        assert_eq!(space.resolve(b"q"), Some(owner.id));
        assert_eq!(hub.dequeue(owner.id), Err(Status::Empty));
        let cx = Context::from_waker(Waker::noop());
        assert!(!owner.poll(&cx));
        hub.enqueue(owner.id, b"one").unwrap();
        assert!(owner.poll(&cx) && !owner.poll(&cx));
        assert_eq!(&*hub.dequeue(owner.id).unwrap(), b"one");
        let large = vec![0; WASM_QUEUE as usize / 4];
        assert_eq!((0..9).filter(|_| hub.enqueue(owner.id, &large).is_ok()).count(), 3);
        assert_eq!(hub.enqueue(owner.id + 99, b""), Err(Status::NotFound));
        drop(space);
        assert!(hub.known("a").is_none());
    }
}
