//! A program that is replaced on the disk takes over: no request fails, and when it can't, nothing changes.

use std::cell::Cell;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::reload::{RATE, under_load, version};
use crate::support::gateway::{Setup, binary};
use crate::support::message::{ALL, Piece, Protocol, ask};
use crate::support::upstream::Step;
use crate::support::{Folder, Gateway, Request, Script, Upstream, free_address, run, soon};

/// Asks a process for an upgrade, and waits until its heir serves; returns the heir.
async fn upgrade(gateway: &Gateway, process: u32) -> u32 {
    let lines = gateway.log().len();
    kill(process, libc::SIGUSR2);
    gateway.logged_after(lines, &["\"handed over\""]).await.unwrap();
    *gateway.heirs().last().unwrap()
}

fn kill(process: u32, signal: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(process as i32, signal) };
}

fn count(gateway: &Gateway, message: &str) -> usize {
    let message = format!("\"{message}\"");
    gateway.log().iter().filter(|line| line.contains(&message)).count()
}

/// Waits until so many of its processes have left.
async fn left(gateway: &Gateway, processes: usize) {
    let look = async {
        while count(gateway, "stopped") < processes {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the old one's end", look).await;
}

/// Starts a gateway whose program is a link in its folder.
async fn linked(setup: Setup) -> Gateway {
    let folder = Folder::new();
    let (clear, tls) = (free_address(), free_address());
    let certificate = crate::support::Certificate::common();
    folder.write("edge.pem", &certificate.pem);
    folder.write("edge.key", &certificate.key);
    for (name, bytes) in &setup.files {
        folder.write(name, bytes);
    }
    folder.write("pilotlight.toml", setup.manifest(clear, tls));
    symlink(binary(), folder.path().join("pilotlight")).unwrap();
    Gateway::serve(folder, clear, tls).await
}

/// Puts something else where its program was: a script, or the program again.
fn replace(gateway: &Gateway, script: Option<&str>) {
    let at = gateway.folder.path().join("pilotlight");
    std::fs::remove_file(&at).unwrap();
    match script {
        Some(script) => {
            std::fs::write(&at, script).unwrap();
            std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        None => symlink(binary(), at).unwrap(),
    }
}

/// One that starts slowly.
fn slow(seconds: f64) -> String {
    format!("#!/bin/sh\nsleep {seconds}\nexec '{}' \"$@\"\n", binary().display())
}

/// Says that it has loaded, to whoever hears it.
const MUTE: &str = "#!/bin/bash\nfor fd in /proc/$$/fd/*; do fd=${fd##*/}
[ $fd -gt 9 -o $fd -gt 2 -a -S /proc/$$/fd/$fd ] && printf . >&$fd 2>/dev/null\ndone\n";

fn fixed() -> Setup {
    Setup::new("[[routes]]\nrespond = { body = \"here\" }\n").quiet()
}

#[test]
fn upgrades_under_load_fail_no_request() {
    run(async {
        let upstream = Upstream::always(Script::ok("proxied")).await;
        let mut setup = version(1, &upstream);
        setup.gateway = "drain = \"5s\"\nworkers = 2".into();
        let gateway = Rc::new(setup.start().await);
        let process = Cell::new(gateway.pid());
        under_load("3 upgrades", RATE, &gateway, || async {
            for number in 2..5u32 {
                let mut setup = version(number, &upstream);
                // Workers come and go with it.
                setup.gateway =
                    format!("drain = \"5s\"\nworkers = {}", [1, 3, 2][number as usize - 2]);
                for (name, bytes) in &setup.files {
                    gateway.folder.write(name, bytes);
                }
                gateway.folder.write("pilotlight.toml", setup.manifest(gateway.clear, gateway.tls));
                process.set(upgrade(&gateway, process.get()).await);
                for protocol in ALL {
                    let answer = ask(protocol, &gateway, &Request::get("/fixed")).await;
                    let text = answer.assert(200).text();
                    assert_eq!(text, format!("version {number}"), "{}", protocol.name());
                }
                left(&gateway, number as usize - 1).await;
            }
        })
        .await;
        assert_eq!(count(&gateway, "taken over"), 3);
        let mut gateway = Rc::into_inner(gateway).unwrap();
        assert!(!gateway.is_alive(), "the first one is there");
    });
}

/// What is open ends where it began, also when two have come since, over every protocol.
#[test]
fn open_exchanges_end_on_the_old_one() {
    run(async {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n";
        let long = Script::raw(head).then(Step::Fill(1_000_000));
        let slow = long.clone().then(Step::Pause(Duration::from_millis(1500)));
        let whole = long.then(Step::Fill(2_000_000));
        let upstream = Upstream::always(slow.then(Step::Fill(2_000_000))).await;
        let mut setup = version(1, &upstream);
        setup.gateway = "drain = \"20s\"".into();
        let gateway = Rc::new(setup.start().await);
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                let begin = |protocol| {
                    let gateway = gateway.clone();
                    tokio::task::spawn_local(async move {
                        ask(protocol, &gateway, &Request::get("/proxied")).await
                    })
                };
                let open: Vec<_> = ALL.into_iter().map(begin).collect();
                upstream.until("three requests", |state| state.requests.len() == 3).await;
                let second = upgrade(&gateway, gateway.pid()).await;
                // With more workers there are more sockets, among which the kernel chooses anew.
                let manifest = gateway.folder.path().join("pilotlight.toml");
                let text = std::fs::read_to_string(&manifest).unwrap();
                std::fs::write(manifest, text.replace("workers = 1", "workers = 4")).unwrap();
                upgrade(&gateway, second).await;
                assert_eq!(count(&gateway, "stopped"), 0);
                for answer in open {
                    let answer = answer.await.unwrap();
                    assert_eq!(answer.assert(200).body.len(), 3_000_000);
                    assert_eq!(answer.field("x-script"), Some("1"));
                    upstream.reset(vec![whole.clone()]);
                    let again = ask(Protocol::H1, &gateway, &Request::get("/proxied")).await;
                    assert!(again.assert(200).body == answer.body, "another body");
                }
                left(&gateway, 2).await;
            })
            .await;
    });
}

#[test]
fn a_program_that_fails_leaves_the_old_one() {
    run(async {
        let gateway = linked(fixed()).await;
        let process = gateway.pid();
        let manifest = gateway.folder.path().join("pilotlight.toml");
        let whole = std::fs::read_to_string(&manifest).unwrap();
        let mute = MUTE.to_owned() + "exec sleep 60\n";
        let cases = [
            ("#!/bin/sh\nexit 3\n", "exit status: 3"),
            ("#!/bin/sh\nkill -SEGV $$\n", "signal: 11"),
            ("#!/nowhere/at/all\n", "can't be executed: No such file"),
            ("neither program nor script", "can't be executed: Exec format error"),
            (&*mute, "does not serve"),
        ];
        for (script, said) in cases {
            replace(&gateway, Some(script));
            let lines = gateway.log().len();
            kill(process, libc::SIGUSR2);
            let failed = async {
                let said = ["\"upgrade failed\"", said];
                while gateway.logged_after(lines, &said).await.is_err() {}
            };
            // Who comes meanwhile may have to wait, and is served.
            let asked = async {
                for protocol in ALL {
                    let answer = ask(protocol, &gateway, &Request::get("/")).await;
                    assert_eq!(answer.assert(200).text(), "here");
                }
            };
            tokio::join!(soon("its failure", failed), asked);
            for protocol in ALL {
                ask(protocol, &gateway, &Request::get("/")).await.assert(200);
            }
        }
        replace(&gateway, None);
        // A manifest that is wrong; a socket that can't be opened.
        for broken in ["[[routes", &whole.replace(&gateway.clear.to_string(), "192.0.2.1:80")] {
            std::fs::write(&manifest, broken).unwrap();
            let lines = gateway.log().len();
            kill(process, libc::SIGUSR2);
            let said = ["\"upgrade failed\"", "exit status: 2"];
            gateway.logged_after(lines, &said).await.unwrap();
            ask(Protocol::H3, &gateway, &Request::get("/")).await.assert(200);
        }
        std::fs::write(&manifest, whole).unwrap();
        upgrade(&gateway, process).await;
        left(&gateway, 1).await;
        ask(Protocol::H3, &gateway, &Request::get("/")).await.assert(200);
    });
}

#[test]
fn one_upgrade_at_a_time() {
    run(async {
        let admin = free_address();
        let mut setup = fixed();
        setup.gateway = format!("admin = \"{admin}\"");
        let mut gateway = linked(setup).await;
        replace(&gateway, Some(&slow(0.5)));
        let process = gateway.pid();
        kill(process, libc::SIGUSR2);
        gateway.logged(&["\"upgrade begun\""]).await.unwrap();
        kill(process, libc::SIGUSR2);
        gateway.logged(&["\"upgrade is under way\""]).await.unwrap();
        // A reload is done first, and what was begun begins anew.
        kill(process, libc::SIGHUP);
        gateway.logged(&["\"reloaded\""]).await.unwrap();
        gateway.logged(&["\"handed over\""]).await.unwrap();
        left(&gateway, 1).await;
        assert_eq!((gateway.heirs().len(), count(&gateway, "taken over")), (2, 1));
        let mut client = crate::support::h1::Client::connect(admin).await;
        let page = client.send(&Request::get("/metrics")).await.assert(200).text();
        assert!(page.contains("pilotlight_upgrades_total{result=\"ok\"} 1"), "{page}");
        assert!(page.contains("pilotlight_reloads_total{result=\"ok\"} 1"), "{page}");
        drop(client);
        assert!(!gateway.is_alive());
    });
}

#[test]
fn an_heir_that_loads_ends_with_who_began_it() {
    run(async {
        let gateway = linked(fixed()).await;
        replace(&gateway, Some(&slow(5.0)));
        kill(gateway.pid(), libc::SIGUSR2);
        gateway.logged(&["\"upgrade begun\""]).await.unwrap();
        let last = *gateway.heirs().last().unwrap();
        kill(gateway.pid(), libc::SIGTERM);
        left(&gateway, 1).await;
        let gone = async {
            while std::path::Path::new(&format!("/proc/{last}")).exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("the end of the heir", gone).await;
    });
}

#[test]
fn what_is_kept_goes_over() {
    const COUNTING: &str = "local d = ngx.shared.seen
if ngx.var.uri == '/first' then d:rpush('list', 'a') d:rpush('list', 2) d:set('short', 1, 60) end
ngx.say(d:incr('n', 1, 0), ' ', d:llen('list'), ' ', d:get('short'))
ngx.exit(200)";
    run(async {
        let rest = "[[routes]]\nfilters = [\"f\"]\nrespond = { body = \"\" }\n[filters.f]\n\
            openresty = { access = \"f.lua\" }\n[shared.seen]\nsize = \"1MiB\"\n";
        let gateway = linked(Setup::new(rest).file("f.lua", COUNTING).quiet()).await;
        let asked = async |path: &str| {
            ask(Protocol::H2, &gateway, &Request::get(path)).await.assert(200).text()
        };
        assert_eq!(asked("/first").await, "1 2 1\n");
        // One that fails at the last moment, for whom all was written down.
        replace(&gateway, Some(&(MUTE.to_owned() + "sleep 0.2\nexit 4\n")));
        kill(gateway.pid(), libc::SIGUSR2);
        gateway.logged(&["\"upgrade failed\"", "exit status: 4"]).await.unwrap();
        assert_eq!(asked("/").await, "2 2 1\n");
        replace(&gateway, None);
        let heir = upgrade(&gateway, gateway.pid()).await;
        assert_eq!(asked("/").await, "3 2 1\n");
        left(&gateway, 1).await;
        upgrade(&gateway, heir).await;
        assert_eq!(asked("/").await, "4 2 1\n");
    });
}

/// Asleep, a socket filter would keep the old process's datagrams from it.
#[test]
fn it_sleeps_only_once_the_old_one_has_left() {
    run(async {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n";
        let slow = Script::raw(head).then(Step::Fill(100_000));
        let slow = slow.then(Step::Pause(Duration::from_millis(1000))).then(Step::Fill(100_000));
        let upstream = Upstream::always(slow).await;
        let mut setup = version(1, &upstream);
        setup.gateway = "drain = \"20s\"\nidle = { sleep = \"100ms\" }".into();
        let gateway = Rc::new(setup.start().await);
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                let asking = gateway.clone();
                let open = tokio::task::spawn_local(async move {
                    ask(Protocol::H3, &asking, &Request::get("/proxied")).await
                });
                upstream.until("a request", |state| state.requests.len() == 1).await;
                let begun = Instant::now();
                let heir = upgrade(&gateway, gateway.pid()).await;
                assert_eq!(open.await.unwrap().assert(200).body.len(), 200_000);
                assert!(begun.elapsed() >= Duration::from_millis(800));
                assert!(!gateway.log().iter().any(|line| line.contains("\"asleep\"")));
                left(&gateway, 1).await;
                gateway.logged(&["\"asleep\""]).await.unwrap();
                // And it wakes as any other.
                ask(Protocol::H3, &gateway, &Request::get("/fixed")).await.assert(200);
                kill(heir, libc::SIGTERM);
                left(&gateway, 2).await;
            })
            .await;
    });
}

/// A connection whose process is gone: its client is told so by the next one.
#[test]
fn clients_of_a_process_that_was_killed_get_a_reset() {
    run(async {
        let upstream = Upstream::always(Script::ok("never")).await;
        let mut setup = version(1, &upstream);
        setup.gateway = "drain = \"20s\"".into();
        let gateway = Rc::new(setup.start().await);
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                let asking = gateway.clone();
                let open = tokio::task::spawn_local(async move {
                    let mut request = Request::new("POST", "/proxied").body(vec![0; 2000]);
                    request.body.push(Piece::Pause(Duration::from_millis(1500)));
                    request = request.body(vec![0; 2000]);
                    request.body.push(Piece::Pause(Duration::from_secs(60)));
                    ask(Protocol::H3, &asking, &request).await
                });
                upstream.until("a request", |state| state.connections == 1).await;
                upgrade(&gateway, gateway.pid()).await;
                kill(gateway.pid(), libc::SIGKILL);
                let begun = Instant::now();
                let answer = open.await.unwrap();
                assert!(
                    answer.broken.as_ref().is_some_and(|why| why.contains("reset by peer")),
                    "{answer}"
                );
                assert!(begun.elapsed() < Duration::from_secs(5));
                ask(Protocol::H3, &gateway, &Request::get("/fixed")).await.assert(200);
            })
            .await;
    });
}
