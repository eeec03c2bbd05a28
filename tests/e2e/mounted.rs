//! Real mounts, which root does not pass as it passes permissions.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::skipped;

/// A mount that ends with the test.
pub struct Mounted(PathBuf);

impl Mounted {
    /// None where the system does not allow mounts: the caller skips, and says so.
    pub fn new(folder: &Path, arguments: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("a folder");
        let mounted = Command::new("mount").args(arguments).arg(folder).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder.to_owned()));
        }
        skipped("the right to mount: run as root")
    }

    /// Another place where this folder is seen as well.
    pub fn bind(folder: &Path, at: &Path) -> Option<Self> {
        Self::new(at, &["--bind", &folder.display().to_string()])
    }

    pub fn tmpfs(folder: &Path, megabytes: u32) -> Option<Self> {
        Self::new(folder, &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
    }

    /// Lets nobody write to what is seen here, as a file system does that has found an error of its disk; or lets everybody
    /// again.
    pub fn make_read_only(&self, is_read_only: bool) {
        let options = format!("remount,bind,{}", if is_read_only { "ro" } else { "rw" });
        let status = Command::new("mount").args(["-o", &options]).arg(&self.0).status().expect("mount runs");
        assert!(status.success(), "mount -o {options}");
    }

    /// Takes all the room there is, until the file is removed.
    pub fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = std::fs::File::create(&ballast).expect("a file");
        let block = vec![1_u8; 4096];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        ballast
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
