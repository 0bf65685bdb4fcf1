use std::path::Path;

use super::Cgroup;

#[test]
fn the_fullest_of_all_cgroups_around_counts() {
    let root = std::env::temp_dir().join(format!("pilotlight-cgroup-{}", std::process::id()));
    let inner = root.join("system.slice/edge.service");
    std::fs::create_dir_all(&inner).unwrap();
    let write = |folder: &Path, files: &[(&str, &str)]| {
        files.iter().for_each(|(name, text)| std::fs::write(folder.join(name), text).unwrap());
    };
    let cgroup = Cgroup::find(&root, "4:memory:/old\n0::/system.slice/edge.service\n");
    assert_eq!((cgroup.used(), cgroup.0.len()), ((None, None), 3));
    let mine = [("memory.max", "1000\n"), ("memory.high", "max\n"), ("memory.current", "600\n")];
    write(&inner, &mine);
    write(&inner, &[("memory.stat", "anon 200\ninactive_file 300\nactive_file 0\n")]);
    assert_eq!(cgroup.used(), (Some(0.3), Some(1000)));
    // The one around it holds others, too.
    let around = [("memory.max", "max\n"), ("memory.high", "2000\n"), ("memory.current", "1800\n")];
    write(&root.join("system.slice"), &around);
    assert_eq!(cgroup.used(), (Some(0.9), Some(2000)));
    // Limits change.
    write(&inner, &[("memory.max", "320\n")]);
    assert_eq!(cgroup.used(), (Some(0.9375), Some(320)));
    let stalls = "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\n";
    write(&inner, &[("memory.pressure", stalls)]);
    assert_eq!(cgroup.stalled(), Some(77));
    std::fs::remove_dir_all(&root).unwrap();
}
