//! Who writes a history: one netmon at a time.
//!
//! Owns a lock file beside the history. The history itself is not locked so: a closed
//! descriptor of it would take the locks of SQLite with it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Uid, User};

/// Held as long as it lives; the kernel lets go of it even if netmon is killed.
pub struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Becomes the one writer of the history in `file`.
    ///
    /// # Errors
    /// If another process is it, or no lock file can be made.
    pub fn take(file: &Path) -> Result<Lock> {
        let beside = beside(&real(file), "-lock");
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(super::schema::MODE)
            .open(&beside)
            .map_err(|error| {
                owned_by_another(&beside, &error).unwrap_or_else(|| {
                    let directory = beside.parent().unwrap_or(file).display();
                    anyhow!(error).context(format!(
                        "could not write in {directory}, where the history is kept; allow it or \
                         give --db a file elsewhere"
                    ))
                })
            })?;
        match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => Ok(Lock { _file: locked }),
            Err((_, Errno::EWOULDBLOCK)) => bail!(
                "another netmon writes {}; stop that one or give --db another file",
                file.display()
            ),
            Err((_, error)) => {
                Err(anyhow!(error).context(format!("could not lock {}", beside.display())))
            }
        }
    }
}

/// The one path of a file that may have several, by links to it or to its directories.
/// Hard links stay apart: nothing tells that two of them are one history.
fn real(file: &Path) -> PathBuf {
    let directory = match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let of_directory = || {
        let name = file.file_name()?;
        Some(directory.canonicalize().ok()?.join(name))
    };
    // What cannot be found out is told when the file is opened.
    let found = file.canonicalize().ok().or_else(of_directory);
    found.unwrap_or_else(|| file.to_owned())
}

/// What to do if a file of a history is there and may not be opened: most often one that
/// root's netmon left, where the service's user goes on.
pub fn owned_by_another(file: &Path, error: &std::io::Error) -> Option<anyhow::Error> {
    let owner = file.metadata().ok()?.uid();
    let own = Uid::effective();
    if error.kind() != ErrorKind::PermissionDenied || owner == own.as_raw() {
        return None;
    }
    let name = |uid: Uid| {
        let user = User::from_uid(uid).ok().flatten();
        user.map_or_else(|| uid.to_string(), |user| user.name)
    };
    let (owner, own) = (name(Uid::from_raw(owner)), name(own));
    let file = file.display();
    Some(anyhow!(
        "{file} belongs to {owner}, and netmon runs as {own}; run: chown {own} {file}"
    ))
}

/// The path of a file that belongs to `file` and is called like it, with an ending.
pub fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sink::history::scratch::Scratch;

    #[test]
    fn there_is_one_writer_at_a_time() {
        let scratch = Scratch::new();
        let file = scratch.path.join("history.db");
        let first = Lock::take(&file).unwrap();
        let refused = Lock::take(&file).err().unwrap().to_string();
        assert!(refused.contains("another netmon writes"), "{refused}");
        assert!(refused.contains(&*file.to_string_lossy()), "{refused}");
        Lock::take(&scratch.path.join("other.db")).unwrap();
        drop(first);
        Lock::take(&file).unwrap();
    }

    #[test]
    fn names_of_one_file_are_one_history() {
        let scratch = Scratch::new();
        let inside = scratch.path.join("real");
        std::fs::create_dir(&inside).unwrap();
        let file = inside.join("history.db");
        let link = scratch.path.join("link.db");
        let directory = scratch.path.join("linked");
        symlink(&file, &link).unwrap();
        symlink(&inside, &directory).unwrap();
        // Before the file is there, and after.
        let first = Lock::take(&file).unwrap();
        assert!(Lock::take(&directory.join("history.db")).is_err());
        std::fs::write(&file, "").unwrap();
        for name in [link, directory.join("history.db")] {
            let refused = Lock::take(&name).err().unwrap().to_string();
            assert!(refused.contains("another netmon writes"), "{refused}");
        }
        drop(first);
    }
}
