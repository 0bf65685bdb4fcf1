//! Units and containers: the commands that start and end them.

use pilotlight_config::manifest::{Activate, Cron, InstanceLimits, Scale, Schedule, Zone};

use super::*;

/// Of an application with ten places, in its queue and at an instance.
pub(in crate::apps) fn settings(launch: Launch, listens: Listens) -> Settings {
    let second = Duration::from_secs(1);
    let endpoint = (listens == Listens::Endpoint).then(|| at_port(9000));
    let schedule = Cron::new("* * * * *").unwrap();
    let scale = Scale {
        min: 0,
        max: 1,
        concurrency: 10,
        target: 0.7,
        window: 60 * second,
        panic_window: 6 * second,
        tolerance: 0.1,
        cooldown: 120 * second,
        idle: 300 * second,
        surge: None,
        shrink: 0.5,
        schedule: vec![Schedule { cron: schedule, min: 1, hold: second, zone: Zone::Local }],
        predict: false,
    };
    let meant = Arc::new(Activate {
        launch,
        listens,
        ready: Ready::Connect,
        start_timeout: 30 * second,
        stop_timeout: Duration::from_millis(2500),
        queue: 10,
        limits: InstanceLimits { memory: Some(1 << 20), cpu: None, processes: Some(7) },
        scale,
    });
    Settings { meant, endpoint, tls: None, server_name: None }
}

fn launched(launch: Launch, listens: Listens) -> (String, String, u16) {
    let launched = Launched::new(&Rc::default(), &settings(launch, listens), "pilotlight-a-1-2");
    let launched = launched.unwrap();
    let stop = launched.stop.as_ref().map(|stop| stop.join(" ")).unwrap_or_default();
    (launched.argv.join(" "), stop, launched.endpoint.port)
}

#[test]
fn a_unit_is_started_and_waited_for() {
    let (start, stop, port) = launched(Launch::Unit("app@{port}".into()), Listens::Port);
    assert_eq!(start, format!("systemctl start --wait app@{port}"));
    assert_eq!(stop, format!("systemctl stop app@{port}"));
}

#[test]
fn a_container_is_started_with_its_output() {
    let (start, stop, port) = launched(Launch::Container("box".into()), Listens::Endpoint);
    assert_eq!((&*start, port), ("podman start --attach box", 9000));
    assert_eq!(stop, "podman stop --time 3 box");
}

#[test]
fn an_image_runs_with_its_port_and_its_limits() {
    let launch = Launch::Image {
        image: "shop:1".into(),
        port: 80,
        args: vec!["--read-only".into()],
        runtime: vec!["docker".into()],
    };
    let (start, stop, port) = launched(launch, Listens::Port);
    let expected = format!(
        "docker run --rm --name pilotlight-a-1-2 --publish 127.0.0.1:{port}:80 --memory 1048576 \
         --pids-limit 7 --read-only shop:1"
    );
    assert_eq!((&*start, &*stop), (&*expected, "docker stop --time 3 pilotlight-a-1-2"));
}

#[test]
fn places_are_unlike_and_given_back() {
    let places: Rc<Places> = Rc::default();
    let command = Launch::Command {
        argv: vec!["a".into(), "{socket}".into()],
        env: vec![("AT".into(), "{socket}".into())],
        dir: "/".into(),
    };
    let settings = settings(command, Listens::Socket);
    let one = Launched::new(&places, &settings, "a").unwrap();
    let other = Launched::new(&places, &settings, "a").unwrap();
    let path = one.endpoint.unix.clone().unwrap();
    assert_ne!(one.endpoint.unix, other.endpoint.unix);
    assert_eq!(one.argv[1], path.to_str().unwrap());
    assert_eq!(one.env[0].1, one.argv[1]);
    fs::write(&path, "").unwrap();
    drop(one);
    assert!(!path.exists());
    drop((other, places));
    assert!(!path.parent().unwrap().exists());
}
