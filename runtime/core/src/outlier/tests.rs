use super::*;

const RULES: manifest::Outlier = manifest::Outlier {
    errors: 3,
    window: Duration::from_secs(10),
    eject: Duration::from_secs(30),
    max_ejected: 0.5,
};

#[test]
fn errors_count_in_a_row_and_within_the_window() {
    let erred = |times: &[u64]| {
        let mut outlier = Outlier::default();
        times.iter().map(|at| outlier.erred(*at, &RULES)).collect::<Vec<_>>()
    };
    assert_eq!(erred(&[0, 1, 2]), [false, false, true]);
    // The first is too old by the third, not by the fourth.
    assert_eq!(erred(&[0, 9_000, 10_001, 18_000]), [false, false, false, true]);
    let mut outlier = Outlier::default();
    assert!(!outlier.is_in_trouble());
    for _ in 0..5 {
        assert!(!outlier.erred(0, &RULES) && !outlier.erred(0, &RULES));
        assert!(outlier.is_in_trouble());
        outlier.answered();
        assert!(!outlier.is_in_trouble());
    }
    // One that nobody may eject goes on to be one too many, in no more room.
    let all: Vec<bool> = (0..1000).map(|at| outlier.erred(at, &RULES)).collect();
    assert!(!all[1] && all[2..].iter().all(|many| *many) && outlier.errors.len() == 3);
}

#[test]
fn each_time_is_longer_and_rest_forgives() {
    let (mut outlier, mut now) = (Outlier::default(), 0);
    for times in (1..=12).map(|times: u64| times.min(10)) {
        assert_eq!(outlier.eject(now, &RULES), 30_000 * times);
        assert_eq!(outlier.until(), Some(now + 30_000 * times));
        assert!(!outlier.erred(now + 1, &RULES), "what was under way counts no more");
        now += 30_000 * times;
        outlier.come_back(now);
        now += 29_999;
    }
    // Of ten, seven are forgiven after seven times the first.
    now += 6 * 30_000 + 1;
    assert_eq!(outlier.eject(now, &RULES), 30_000 * 4);
    let mut again = Outlier::remembered(outlier.times(), outlier.until(), now);
    assert_eq!(again.until(), outlier.until());
    again.come_back(now + 90_000);
    assert_eq!(again.eject(now + 90_000, &RULES), 30_000 * 5);
}
