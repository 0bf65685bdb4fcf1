//! What is known of endpoints outlives sleep, which probes do not hinder.

use super::*;
use crate::sleep::asleep;
use crate::support::run;

#[test]
fn what_is_known_outlives_sleep_and_probes_do_not_hinder_it() {
    run(async {
        let (a, b) = (Server::start("a").await, Server::start("b").await);
        let keys = "health = { path = \"/healthz\", interval = \"30ms\", unhealthy = 1 }\n\
                    outlier = { errors = 2, eject = \"1h\", max_ejected = \"100%\" }";
        let c = Server::start("c").await;
        let (at, mut setup) = gateway(&[a.address, b.address, c.address], keys);
        setup.gateway += "\nidle = { sleep = \"400ms\" }";
        let gateway = setup.start().await;
        a.health(500);
        b.status(500);
        gateway.logged(&["\"endpoint down\""]).await.unwrap();
        who(&gateway, 16).await;
        gateway.logged(&["\"endpoint ejected\""]).await.unwrap();
        asleep(&gateway).await;
        // Asked without waking it.
        assert!(admin(at, "/status").await.contains("\"state\":\"asleep\""));
        let asked = a.probes() + b.probes();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(a.probes() + b.probes(), asked);
        // Two workers: whichever takes them.
        assert_eq!(who(&gateway, 12).await, "c");
        gateway.logged(&["\"awake\""]).await.unwrap();
        shows(at, "/metrics", "to=\"ejected\"} 1").await;
        assert_eq!((times(&gateway, "endpoint down"), times(&gateway, "endpoint ejected")), (1, 1));
        // One probe is enough after sleep.
        asleep(&gateway).await;
        a.health(200);
        assert_eq!(who(&gateway, 1).await, "c");
        gateway.logged(&["\"endpoint up\""]).await.unwrap();
        assert_eq!(who(&gateway, 12).await, "a c");
    });
}
