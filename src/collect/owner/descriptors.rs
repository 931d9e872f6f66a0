//! The sockets that a process has open, by the links in `/proc/PID/task/TID/fd`.
//!
//! Owns the files' form. What is remembered of them is the business of `processes`.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The sockets that a process has open with their descriptors, and the thread by which
/// they are seen. One whose first thread has ended shows its files by the others only.
pub(super) fn open_sockets(process: u32) -> io::Result<(u32, Vec<(u32, u32)>)> {
    let directory = PathBuf::from(format!("/proc/{process}/task"));
    let mut found = sockets_of(&directory, process)?;
    if let Some(sockets) = found {
        return Ok((process, sockets));
    }
    // Two for itself, one for each thread.
    if fs::metadata(&directory)?.nlink() > 3 {
        for task in fs::read_dir(&directory)?.flatten() {
            let name = task.file_name();
            let Some(task) = name.to_str().and_then(|it| it.parse().ok()) else {
                continue;
            };
            found = sockets_of(&directory, task)?;
            if let Some(sockets) = found {
                return Ok((task, sockets));
            }
        }
    }
    Ok((process, Vec::new()))
}

/// Those that are seen by that thread; `None` if no file at all is. Who owns the process
/// may list the files of one that may do more, and not look at them.
fn sockets_of(directory: &Path, task: u32) -> io::Result<Option<Vec<(u32, u32)>>> {
    let (mut sockets, mut any) = (Vec::new(), false);
    for entry in fs::read_dir(directory.join(format!("{task}/fd")))?.flatten() {
        any = true;
        let name = entry.file_name();
        let descriptor = name.to_str().and_then(|it| it.parse().ok());
        let link = match fs::read_link(entry.path()) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(error),
            link => link.ok(),
        };
        if let (Some(descriptor), Some(socket)) = (descriptor, link.as_deref().and_then(socket_of))
        {
            sockets.push((socket, descriptor));
        }
    }
    Ok(any.then_some(sockets))
}

/// Which descriptor of a process is that socket.
pub(super) fn descriptor_of(process: u32, socket: u32) -> Option<u32> {
    let mut entries = fs::read_dir(format!("/proc/{process}/fd")).ok()?.flatten();
    let entry = entries.find(|entry| {
        fs::read_link(entry.path()).is_ok_and(|link| socket_of(&link) == Some(socket))
    })?;
    entry.file_name().to_str()?.parse().ok()
}

/// `socket:[31337]`
pub(super) fn socket_of(link: &Path) -> Option<u32> {
    let text = link.to_str()?.strip_prefix("socket:[")?;
    text.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_other_kinds_are_no_sockets() {
        for link in ["pipe:[7]", "socket:[]", "/socket:[7]", "socket:[x]"] {
            assert_eq!(socket_of(Path::new(link)), None, "{link}");
        }
    }
}
