//! Where a file lies, by the kernel's table of mounts; Linux alone has one.
//!
//! Only here: PostgreSQL looks after its own files.

use std::path::{Path, PathBuf};

/// File systems of which another machine may have the same file open.
const OF_NETWORK: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "lustre",
    "gfs2",
    "ocfs2",
    "glusterfs",
    "fuse.glusterfs",
    "fuse.sshfs",
];

/// Local file systems of the kernel, which tell the time of a write as soon as it is made. Those of a guest or of a program (`fuse`, `9p`,
/// `virtiofs`) may put another time there later.
const TELLS_WRITES: &[&str] = &[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "overlay",
];

/// The mount that a file lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) is_of_network: bool,
    pub(super) tells_writes: bool,
    /// The file itself is mounted, not a folder that holds it.
    pub(super) is_the_file: bool,
}

/// The mount of a path without links; none where the kernel does not tell.
pub(super) fn of(path: &Path) -> Option<Mount> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    find(&table, path)
}

/// The longest mount point above the path; of two mounts at one point the later covers the earlier.
fn find(table: &str, path: &Path) -> Option<Mount> {
    let mounts = table.lines().filter_map(read).filter(|(point, _)| path.starts_with(point));
    let (point, kind) = mounts.max_by_key(|(point, _)| point.components().count())?;
    Some(Mount {
        is_of_network: OF_NETWORK.contains(&kind),
        tells_writes: TELLS_WRITES.contains(&kind),
        is_the_file: point == path,
    })
}

/// Mount point and file system of a line: the fifth field, and the first one after a lone hyphen (`proc_pid_mountinfo(5)`).
fn read(line: &str) -> Option<(PathBuf, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?;
    Some((PathBuf::from(unescaped(point)), after.split(' ').next()?))
}

/// The kernel writes blanks, tabs, line ends and backslashes as `\` with three octal digits.
fn unescaped(word: &str) -> String {
    let marks = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    marks.iter().fold(word.to_owned(), |word, (mark, plain)| word.replace(mark, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /var/lib/with\\040blank rw - nfs4 server:/export rw
31 22 254:0 /data/ums.db /srv/ums.db rw,relatime - ext4 /dev/vda rw
32 22 0:41 / /mnt/share rw - ext4 /dev/vdb rw
33 22 0:42 / /mnt/share rw - cifs //server/share rw";

    #[test]
    fn a_file_lies_on_the_last_of_the_nearest_mounts() {
        let rows = [
            ("/var/lib/ums.db", false, false),
            ("/var/lib/with blank/ums.db", true, false),
            ("/var/lib/with blanks/ums.db", false, false),
            ("/srv/ums.db", false, true),
            ("/srv/other.db", false, false),
            ("/mnt/share/ums.db", true, false),
        ];
        for (path, is_of_network, is_the_file) in rows {
            let expected = Mount {
                is_of_network,
                tells_writes: !is_of_network,
                is_the_file,
            };
            assert_eq!(find(TABLE, Path::new(path)), Some(expected), "{path}");
        }
        assert_eq!(find("", Path::new("/srv/ums.db")), None);
    }
}
