//! Memory of the machine, from which defaults follow.

/// Returns the memory that this process may use: that of the machine, or of its container (cgroup
/// v2). Returns `None` where it is not known.
#[cfg(target_os = "linux")]
pub(super) fn memory_bytes() -> Option<u64> {
    use procfs::Current;

    let machine = procfs::Meminfo::current().ok()?.mem_total;
    let groups = procfs::process::Process::myself().ok()?.cgroups().ok()?;
    // A container sees its own group as the root.
    let own = groups.into_iter().map(|group| format!("/sys/fs/cgroup{}", group.pathname));
    let limits = own.chain(["/sys/fs/cgroup".to_string()]).filter_map(|folder| {
        // A group without a limit has the text `max`.
        std::fs::read_to_string(format!("{folder}/memory.max")).ok()?.trim().parse().ok()
    });
    Some(limits.fold(machine, u64::min))
}

/// Returns the memory that this process may use. It is known on Linux only.
#[cfg(not(target_os = "linux"))]
pub(super) fn memory_bytes() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_at_most_that_of_the_machine() {
        let table = std::fs::read_to_string("/proc/meminfo").unwrap();
        let kib: u64 = table.split_whitespace().nth(1).unwrap().parse().unwrap();
        let bytes = memory_bytes().unwrap();
        assert!(0 < bytes && bytes <= kib * 1_024, "{bytes} of {kib} KiB");
    }
}
