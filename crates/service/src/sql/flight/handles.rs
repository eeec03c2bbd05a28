//! What clients refer to between two calls: bounded in number and in time, since clients go away without a word.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tonic::Status;

/// Values under handles that nobody guesses.
pub struct Handles<T> {
    /// For messages: `prepared statement`.
    what: &'static str,
    count_max: usize,
    life: Duration,
    kept: Mutex<BTreeMap<Bytes, Kept<T>>>,
}

struct Kept<T> {
    value: T,
    ends: Instant,
}

impl<T: Clone> Handles<T> {
    /// Keeps at most `count_max` values, each for `life` after it was used last.
    pub fn new(what: &'static str, count_max: usize, life: Duration) -> Self {
        Self { what, count_max, life, kept: Mutex::new(BTreeMap::new()) }
    }

    /// Keeps a value.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when as many are kept as may be.
    pub fn keep(&self, value: T) -> Result<Bytes, Status> {
        let mut kept = self.kept.lock().expect("no panic under this lock");
        let now = Instant::now();
        kept.retain(|_, kept| kept.ends > now);
        if kept.len() >= self.count_max {
            return Err(Status::resource_exhausted(format!(
                "{} {}s are open, as many as may: close some, or come again in {} s, when unused ones are forgotten",
                self.count_max,
                self.what,
                self.life.as_secs()
            )));
        }
        let handle = Bytes::from(uuid::Uuid::new_v4().to_string());
        kept.insert(handle.clone(), Kept { value, ends: now + self.life });
        Ok(handle)
    }

    /// The value, which goes on living.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn get(&self, handle: &[u8]) -> Result<T, Status> {
        let mut kept = self.kept.lock().expect("no panic under this lock");
        let now = Instant::now();
        match kept.get_mut(handle).filter(|kept| kept.ends > now) {
            Some(found) => {
                found.ends = now + self.life;
                Ok(found.value.clone())
            }
            None => Err(self.unknown()),
        }
    }

    /// Changes the value.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn change(&self, handle: &[u8], change: impl FnOnce(&mut T)) -> Result<(), Status> {
        let mut kept = self.kept.lock().expect("no panic under this lock");
        let found = kept.get_mut(handle).ok_or_else(|| self.unknown())?;
        change(&mut found.value);
        Ok(())
    }

    /// The value, which is forgotten here.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn take(&self, handle: &[u8]) -> Result<T, Status> {
        let taken = self.kept.lock().expect("no panic under this lock").remove(handle);
        taken.filter(|kept| kept.ends > Instant::now()).map(|kept| kept.value).ok_or_else(|| self.unknown())
    }

    fn unknown(&self) -> Status {
        Status::not_found(format!(
            "no {} has this handle: it was used up or closed, or unused for {} s; ask again",
            self.what,
            self.life.as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_known_until_it_is_taken() {
        let handles = Handles::new("ticket", 2, Duration::from_secs(60));
        let handle = handles.keep("value").unwrap();
        assert_eq!(handles.get(&handle).unwrap(), "value");
        assert_eq!(handles.take(&handle).unwrap(), "value");
        assert_eq!(handles.take(&handle).unwrap_err().code(), tonic::Code::NotFound);
    }

    #[test]
    fn too_many_are_refused_until_old_ones_are_forgotten() {
        let handles = Handles::new("ticket", 1, Duration::from_millis(20));
        handles.keep(1).unwrap();
        let refused = handles.keep(2).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().contains("1 tickets are open"), "{}", refused.message());
        std::thread::sleep(Duration::from_millis(30));
        handles.keep(3).unwrap();
    }
}
