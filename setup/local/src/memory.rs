//! The memory of a process.

/// The process's anonymous and shared memory in MB, which counts against a function's memory size.
///
/// Pages of mapped files do not count, because the system drops them when memory is short. None if there is
/// no `/proc`, or if the process has ended.
pub(crate) fn used_mb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()
    };
    Some((kilobytes("RssAnon")? + kilobytes("RssShmem")?) / 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_written_to_counts() {
        let me = std::process::id();
        let before = used_mb(me).unwrap();
        let block = std::hint::black_box(vec![1u8; 100 << 20]);
        let after = used_mb(me).unwrap();
        assert!((95..=130).contains(&(after - before)), "100 MB more read as {before} to {after} MB");
        drop(std::hint::black_box(block));
        assert_eq!(used_mb(u32::MAX), None);
    }
}
