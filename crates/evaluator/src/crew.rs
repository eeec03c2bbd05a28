//! Who works on partitions: one hand, or several at once. Nothing crosses a partition, so nothing depends on who did what
//! in which order: effects are put together in the order of records and partitions.
//!
//! records → engine → **crew** → partitions

/// Does tasks that do not depend on each other. The evaluator has no threads: whoever has some brings them.
pub trait Crew: Sync {
    /// How many tasks are done at once at most.
    fn hands(&self) -> usize;

    /// Calls `task` once with each number below `count`, in whatever order, and returns when all are done.
    fn each(&self, count: usize, task: &(dyn Fn(usize) + Sync));
}

/// One task after the other, here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Crew for Alone {
    fn hands(&self) -> usize {
        1
    }

    fn each(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(task);
    }
}
