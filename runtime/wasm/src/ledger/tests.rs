use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::{Facts, Ledger, NAME, YOUNG};

/// A folder with a ledger that knows the old one of two files.
fn folder(name: &str) -> (PathBuf, Facts, Facts) {
    let dir = std::env::temp_dir().join(format!("pilotlight-{name}-{}", std::process::id()));
    let mut ledger = Ledger::open(&dir);
    ledger.begin();
    let young = Facts::of(&fs::metadata(&ledger.scratch.as_ref().unwrap().0).unwrap());
    let before = |time: i128| time - 2 * YOUNG;
    let (modified, changed) = (before(young.modified), before(young.changed));
    let old = Facts { inode: 1, modified, changed, ..young };
    ledger.note(young, "young");
    ledger.note(old, "old");
    ledger.note_trial("quiet".into(), "0".into());
    ledger.note_trial("ticks".into(), "1".into());
    drop(ledger);
    (dir, old, young)
}

#[test]
fn what_was_hashed_is_known_unless_it_changes() {
    let (dir, old, young) = folder("known");
    let ledger = Ledger::open(&dir);
    assert_eq!(ledger.key(&old), Some("old"));
    assert_eq!(ledger.key(&young), None);
    let tried = ["quiet", "ticks", "another"].map(|trial| ledger.tried(trial));
    assert_eq!(tried, [Some("0"), Some("1"), None]);
    for changed in [
        Facts { size: old.size + 1, ..old },
        Facts { changed: old.changed + 1, ..old },
        Facts { modified: old.modified - 1, ..old },
        Facts { inode: 2, ..old },
    ] {
        assert_eq!(ledger.key(&changed), None);
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is left over");
    drop(ledger);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_ledger_of_others_or_another_version_is_none() {
    let (dir, old, _) = folder("others");
    let file = dir.join(NAME);
    let known = || Ledger::open(&dir).key(&old).is_some();
    let whole = fs::read_to_string(&file).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o622)).unwrap();
    assert!(!known());
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert!(known());
    for other in [whole.replacen("pilotlight", "torchlight", 1), whole.clone() + "\n1", "\0".into()]
    {
        fs::write(&file, other).unwrap();
        assert!(!known());
    }
    fs::remove_dir_all(dir).unwrap();
}
