//! The threads that work on partitions: as many as there are cores.
//!
//! records → evaluator, by **hands** → effects: alike for the pipeline and for past runs

use evaluator::Crew;
use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::threads::Turn;

/// A crew of threads of its own, which rest while there is nothing to do.
pub struct Hands(ThreadPool);

impl Hands {
    /// One for each core.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn of_all_cores() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let pool = ThreadPoolBuilder::new()
            .num_threads(cores)
            .thread_name(|number| format!("thermogate-judge-{number}"))
            .start_handler(|_| Turn::Second.take())
            .build();
        pool.map(Self).map_err(std::io::Error::other)
    }
}

impl Crew for Hands {
    fn hands(&self) -> usize {
        self.0.current_num_threads()
    }

    fn each(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        // Partitions differ in size, so that none is given away together with others.
        self.0.install(|| (0..count).into_par_iter().with_max_len(1).for_each(task));
    }
}
