//! Requests that come at once.

use tokio::task::JoinSet;

use crate::support::gateway::Setup;
use crate::support::upstream::{Script, Upstream};
use crate::support::{Request, h1, run};

const MANY: usize = 24;

/// Each beginning takes about a millisecond, that of `/first` so long that the others have all come by then.
/// Answers tell how many had begun.
const COUNTS: &str = r#"
local begun = 0
return {
  request = function(req)
    if req.path == "/first" then begun = 0 end
    begun = begun + 1
    local sum = 0
    for n = 1, req.path == "/first" and 3e6 or 2e5 do sum = sum + n % 7 end
    req.headers["x-sum"] = sum
  end,
  response = function(resp) resp.headers["x-begun"] = begun end,
}
"#;

#[test]
fn the_first_of_a_burst_are_answered_before_the_last_begin() {
    run(async {
        let upstream = Upstream::always(Script::ok("here")).await;
        let rest = format!(
            "[upstreams.up]\nendpoints = [\"http://{}\"]\n[filters.counts]\nlua = \"counts.lua\"\n\
             [[routes]]\nfilters = [\"counts\"]\nupstream = \"up\"\n",
            upstream.address
        );
        let gateway = Setup::new(rest).file("counts.lua", COUNTS).start().await;
        let mut clients = Vec::new();
        for _ in 0..=MANY {
            let mut client = h1::Client::connect(gateway.clear).await;
            client.send(&Request::get("/")).await.assert(200);
            clients.push(client);
        }
        // The upstream has to answer while the burst is under way, which a busy machine may not let it.
        for _ in 0..20 {
            let mut sent = JoinSet::new();
            for (at, mut client) in clients.drain(..).enumerate() {
                sent.spawn(async move {
                    let path = if at == 0 { "/first" } else { "/" };
                    let answer = client.send(&Request::get(path)).await;
                    let begun = answer.assert(200).field("x-begun").unwrap().parse().unwrap();
                    (client, at, begun)
                });
            }
            let mut others: Vec<usize> = Vec::new();
            for (client, at, begun) in sent.join_all().await {
                clients.push(client);
                if at > 0 {
                    others.push(begun);
                }
            }
            if others.iter().any(|begun| *begun <= MANY / 2) {
                return;
            }
        }
        panic!("all {MANY} had begun before the first was answered");
    });
}
