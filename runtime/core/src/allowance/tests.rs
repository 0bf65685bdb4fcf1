use proptest::prelude::*;

use super::*;

/// A bucket on one node, as a dictionary holds it: when it is full.
#[derive(Default, Clone, Copy)]
struct Local(f64);

impl Local {
    fn take(&mut self, now: f64, of: &Allowance) -> bool {
        let full_in = (self.0 - now).max(0.0) + of.cost();
        let passes = full_in <= of.fills_in() + 1e-9;
        self.0 = if passes { now + full_in } else { self.0 };
        passes
    }
}

#[derive(Default, Clone)]
struct Node {
    lease: Lease,
    local: Local,
    /// When the answer to what it asked for is here.
    answer: Option<(f64, Grant)>,
    passed: Vec<f64>,
    waiting: u32,
}

struct World {
    of: Allowance,
    full_at: f64,
    nodes: Vec<Node>,
    lost: bool,
    latency: f64,
}

impl World {
    fn new(of: Allowance, nodes: usize, latency: f64) -> World {
        World { of, full_at: 0.0, nodes: vec![Node::default(); nodes], lost: false, latency }
    }

    fn request(&mut self, node: usize, now: f64) {
        let share = self.of.share(self.nodes.len() as u32);
        let World { of, full_at, latency, lost, .. } = self;
        let node = &mut self.nodes[node];
        let passes = match *lost {
            true => node.lease.take_left(now) || node.local.take(now, &share),
            false => match node.lease.take(now, of) {
                Step::Pass(_) => true,
                Step::Refuse(_) => false,
                Step::Wait(ask) => {
                    node.waiting += 1;
                    if let Some(want) = ask {
                        node.answer = Some((now + *latency, grant(full_at, now, of, want)));
                    }
                    false
                }
            },
        };
        if passes {
            node.passed.push(now);
        }
    }

    fn tick(&mut self, now: f64) {
        for node in 0..self.nodes.len() {
            let at = &mut self.nodes[node];
            let waiting = match at.answer {
                Some((when, grant)) if when <= now && !self.lost => {
                    at.answer = None;
                    at.lease.granted(now, grant);
                    std::mem::take(&mut at.waiting)
                }
                Some(_) if self.lost => {
                    // Taken out of the bucket, and never heard of.
                    at.answer = None;
                    at.lease.lost();
                    std::mem::take(&mut at.waiting)
                }
                _ => 0,
            };
            (0..waiting).for_each(|_| self.request(node, now));
        }
    }

    /// Goes on to `end` with so many requests a second at each node.
    fn run(&mut self, from: f64, end: f64, rates: &[f64]) {
        let (step, mut due) = (0.005, vec![0.0; rates.len()]);
        let mut now = from;
        while now < end {
            self.tick(now);
            for (node, rate) in rates.iter().enumerate() {
                due[node] += rate * step;
                while due[node] >= 1.0 {
                    due[node] -= 1.0;
                    self.request(node, now);
                }
            }
            now += step;
        }
    }

    fn passed(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self.nodes.iter().flat_map(|node| node.passed.clone()).collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

/// The most that passed in any time, beside what may.
fn worst(passed: &[f64], of: &Allowance) -> f64 {
    let mut worst = f64::MIN;
    for (first, from) in passed.iter().enumerate() {
        for (last, to) in passed.iter().enumerate().skip(first) {
            let may = of.burst + of.per_second * (to - from + LEASE);
            worst = worst.max((last - first + 1) as f64 - may);
        }
    }
    worst
}

#[test]
fn one_node_spends_what_there_is() {
    let of = Allowance { per_second: 5.0, burst: 5.0 };
    let mut local = Local::default();
    assert_eq!((0..9).filter(|_| local.take(10.0, &of)).count(), 5);
    assert!(!local.take(10.19, &of));
    assert!(local.take(10.2, &of));
    assert_eq!(of.tokens(0.4), 3.0);
    assert!((of.next_in(1.0) - 0.2).abs() < 1e-9);
}

#[test]
fn a_lease_grows_to_what_is_needed_and_shrinks_again() {
    let of = Allowance { per_second: 100.0, burst: 1000.0 };
    let mut lease = Lease::default();
    let mut asked = Vec::new();
    let mut full_at = 0.0;
    for request in 0..300 {
        let now = 100.0 + f64::from(request) * 0.001;
        while let Step::Wait(Some(want)) = lease.take(now, &of) {
            asked.push(want);
            lease.granted(now, grant(&mut full_at, now, &of, want));
        }
    }
    assert_eq!(asked, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0, 100.0]);
    // The last is over, with some of it unspent.
    let Step::Wait(Some(want)) = lease.take(200.0, &of) else { panic!() };
    assert_eq!(want, 73.0);
}

#[test]
fn a_low_rate_is_exact() {
    let of = Allowance { per_second: 5.0 / 60.0, burst: 5.0 };
    let mut world = World::new(of, 7, 0.01);
    world.run(1000.0, 1060.0, &[3.0; 7]);
    let passed = world.passed().len();
    assert!((9..=10).contains(&passed), "{passed}");
}

#[test]
fn nothing_is_wasted_by_nodes_with_unequal_loads() {
    let of = Allowance { per_second: 100.0, burst: 100.0 };
    let mut world = World::new(of, 4, 0.002);
    world.run(1000.0, 1020.0, &[400.0, 30.0, 3.0, 0.5]);
    let passed = world.passed().len();
    assert!((1900..=2101).contains(&passed), "{passed}");
}

#[test]
fn a_lost_server_leaves_each_node_its_share() {
    let of = Allowance { per_second: 100.0, burst: 40.0 };
    let mut world = World::new(of, 4, 0.002);
    world.run(1000.0, 1005.0, &[100.0; 4]);
    world.lost = true;
    world.run(1005.0, 1015.0, &[100.0; 4]);
    world.lost = false;
    world.run(1015.0, 1020.0, &[100.0; 4]);
    let passed = world.passed();
    let during = passed.iter().filter(|at| (1006.0..1014.0).contains(*at)).count();
    assert!((790..=840).contains(&during), "{during}");
    // Going and coming cost a burst of the nodes' own each, at most.
    assert!(worst(&passed, &of) <= 2.0 * of.burst, "{}", worst(&passed, &of));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn never_more_than_the_limit_and_a_lease(
        per_second in 0.5f64..80.0,
        burst in 1.0f64..60.0,
        latency in 0.0f64..0.3,
        rates in prop::collection::vec(0.0f64..120.0, 1..6),
    ) {
        let of = Allowance { per_second, burst: burst.floor() };
        let mut world = World::new(of, rates.len(), latency);
        world.run(1000.0, 1006.0, &rates);
        let worst = worst(&world.passed(), &of);
        prop_assert!(worst <= 1.0 + per_second * latency, "{worst}");
    }

    #[test]
    fn nor_while_the_server_comes_and_goes(
        per_second in 0.5f64..80.0,
        burst in 1.0f64..60.0,
        times in prop::collection::vec(0.1f64..2.0, 1..6),
        rates in prop::collection::vec(0.0f64..120.0, 1..6),
    ) {
        let of = Allowance { per_second, burst: burst.floor() };
        let mut world = World::new(of, rates.len(), 0.01);
        let mut now = 1000.0;
        let (mut lost, mut losses) = (0.0, 0.0);
        for time in &times {
            world.run(now, now + time, &rates);
            now += time;
            if world.lost {
                lost += time;
                losses += 1.0;
            }
            world.lost = !world.lost;
        }
        // The nodes' shares come on top: the rate while it is lost, and a burst, at least one a node, each
        // time, since their own buckets fill in between.
        let nodes = rates.len() as f64;
        let on_top = losses * (of.burst.max(nodes) + nodes) + per_second * lost;
        let worst = worst(&world.passed(), &of);
        prop_assert!(worst <= on_top + 1.0 + per_second * 0.01, "{worst} {on_top}");
    }
}
